// SPDX-License-Identifier: Apache-2.0
#include "tools/signaling_client/client.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace sotto::tools {
namespace {

constexpr uint64_t kWelcomeTimeoutMs = 15'000;
// The protocol asks for an acknowledgement with every 32nd frame at the latest.
constexpr uint64_t kAckEvery = 16;

absl::Status Malformed(std::string_view what) {
  return absl::InvalidArgumentError(
      fmt::format("the server sent {}: it speaks another protocol, or a broken one", what));
}

absl::Status StatusOf(const api::Refused& refused) {
  const std::string text = fmt::format("the server refused: {}", refused.text());
  switch (refused.code()) {
    case api::Refused::CODE_MALFORMED:
      return absl::InvalidArgumentError(text);
    case api::Refused::CODE_TOO_MANY:
      return absl::ResourceExhaustedError(text);
    case api::Refused::CODE_NOT_FOUND:
      return absl::NotFoundError(text);
    case api::Refused::CODE_WRONG_STATE:
      return absl::FailedPreconditionError(text);
    case api::Refused::CODE_IDENTITY:
      return absl::UnauthenticatedError(text);
    case api::Refused::CODE_TRY_AGAIN:
      return absl::UnavailableError(text);
    default:
      return absl::UnknownError(text);
  }
}

}  // namespace

Client::Client(ClientOptions options, Listener& listener, Send send)
    : options_(std::move(options)), listener_(listener), send_(std::move(send)) {}

void Client::OnConnected(uint64_t now_ms) {
  phase_ = Phase::kGreeting;
  last_heard_ms_ = now_ms;
  api::ClientFrame frame;
  api::Hello& hello = *frame.mutable_hello();
  hello.set_identity(options_.identity);
  hello.set_device(AsString(options_.device));
  hello.set_notice_key(AsString(options_.notice_key));
  hello.set_resume(welcome_.session());
  SendFrame(frame, now_ms);
  UpdateDeadline();
}

void Client::OnDisconnected() {
  phase_ = Phase::kOffline;
  UpdateDeadline();
}

absl::Status Client::OnFrame(std::string_view bytes, uint64_t now_ms) {
  api::ServerFrame frame;
  if (!frame.ParseFromArray(bytes.data(), static_cast<int>(bytes.size())) ||
      frame.body_case() == api::ServerFrame::BODY_NOT_SET) {
    return Malformed("a frame that doesn't parse or has no body");
  }
  last_heard_ms_ = now_ms;
  if (frame.body_case() == api::ServerFrame::kWelcome) return OnWelcome(frame, now_ms);
  if (phase_ != Phase::kReady) return Malformed("a frame before Welcome");

  if (frame.ack() > sent_seq_)
    return Malformed("an acknowledgement of a frame that was never sent");
  peer_ack_ = std::max(peer_ack_, frame.ack());
  if (frame.body_case() == api::ServerFrame::kPong) {
    UpdateDeadline();
    return absl::OkStatus();
  }
  if (frame.seq() == 0 || frame.seq() > seen_seq_ + 1) return Malformed("a frame out of order");
  if (frame.seq() <= seen_seq_) return absl::OkStatus();  // seen on an earlier connection
  seen_seq_ = frame.seq();
  if (frame.request() != 0) {
    OnAnswer(frame);
  } else {
    listener_.OnEvent(frame);
  }
  if (phase_ == Phase::kReady && seen_seq_ - said_ack_ >= kAckEvery) SendPing(now_ms);
  UpdateDeadline();
  return absl::OkStatus();
}

absl::Status Client::OnWelcome(const api::ServerFrame& frame, uint64_t now_ms) {
  if (phase_ != Phase::kGreeting) return Malformed("a second Welcome");
  const bool resumed = frame.welcome().resumed();
  if (resumed && welcome_.session().empty())
    return Malformed("a resumed session that never existed");
  if (frame.welcome().heartbeat_s() == 0) return Malformed("a heartbeat of 0 seconds");
  if (resumed && frame.ack() > sent_seq_) {
    return Malformed("an acknowledgement of a frame that was never sent");
  }
  phase_ = Phase::kReady;
  welcome_ = frame.welcome();
  welcome_ms_ = now_ms;
  peer_ack_ = frame.ack();
  if (!resumed) {
    sent_seq_ = seen_seq_ = said_ack_ = peer_ack_ = 0;
    for (OpenRequest& request : requests_) request.seq = 0;
  }
  // What the listener asks for now has its place behind what is sent again, so it comes last.
  const size_t earlier = requests_.size();
  for (size_t i = 0; i < earlier; ++i) {
    if (requests_[i].seq == 0 || requests_[i].seq > peer_ack_) SendRequest(requests_[i], now_ms);
  }
  listener_.OnWelcome(welcome_, resumed);
  UpdateDeadline();
  return absl::OkStatus();
}

void Client::OnAnswer(const api::ServerFrame& frame) {
  const auto found = std::find_if(requests_.begin(), requests_.end(),
                                  [&](const OpenRequest& r) { return r.seq == frame.request(); });
  if (found == requests_.end()) return;
  const Answer answer = std::move(found->answer);
  requests_.erase(found);
  if (frame.body_case() == api::ServerFrame::kRefused) {
    answer(StatusOf(frame.refused()));
  } else {
    answer(frame);
  }
}

void Client::Request(api::ClientFrame frame, uint64_t now_ms, Answer answer) {
  if (requests_.size() >= kMaxRequests) {
    answer(absl::ResourceExhaustedError(
        fmt::format("{} requests wait for the server; wait for some of them", kMaxRequests)));
    return;
  }
  requests_.push_back({.seq = 0, .frame = std::move(frame), .answer = std::move(answer)});
  if (phase_ == Phase::kReady) SendRequest(requests_.back(), now_ms);
  UpdateDeadline();
}

void Client::Goodbye(uint64_t now_ms) {
  if (phase_ != Phase::kReady) return;
  api::ClientFrame frame;
  frame.mutable_goodbye();
  frame.set_seq(++sent_seq_);
  SendFrame(frame, now_ms);
}

absl::Status Client::Poll(uint64_t now_ms) {
  if (now_ms < deadline_ms_) return absl::OkStatus();
  if (phase_ == Phase::kGreeting) {
    return absl::DeadlineExceededError("the server does not answer Hello");
  }
  const uint64_t heartbeat_ms = uint64_t{welcome_.heartbeat_s()} * 1000;
  if (now_ms - last_heard_ms_ >= 2 * heartbeat_ms) {
    return absl::DeadlineExceededError("no frame arrived from the server for two heartbeats");
  }
  if (now_ms - last_sent_ms_ >= heartbeat_ms / 2) SendPing(now_ms);
  UpdateDeadline();
  return absl::OkStatus();
}

int64_t Client::ServerUnixMs(uint64_t now_ms) const {
  return welcome_.server_time_ms() + static_cast<int64_t>(now_ms - welcome_ms_);
}

void Client::SendRequest(OpenRequest& request, uint64_t now_ms) {
  if (request.seq == 0) request.seq = ++sent_seq_;
  request.frame.set_seq(request.seq);
  SendFrame(request.frame, now_ms);
}

void Client::SendPing(uint64_t now_ms) {
  api::ClientFrame frame;
  frame.mutable_ping();
  SendFrame(frame, now_ms);
}

void Client::SendFrame(api::ClientFrame& frame, uint64_t now_ms) {
  frame.set_ack(seen_seq_);
  said_ack_ = seen_seq_;
  last_sent_ms_ = now_ms;
  std::string bytes;
  frame.SerializeToString(&bytes);
  send_(bytes);
}

void Client::UpdateDeadline() {
  switch (phase_) {
    case Phase::kOffline:
      deadline_ms_ = UINT64_MAX;
      return;
    case Phase::kGreeting:
      deadline_ms_ = last_heard_ms_ + kWelcomeTimeoutMs;
      return;
    case Phase::kReady: {
      // Half of what the server asks for, so that a slow network doesn't cost the session.
      const uint64_t heartbeat_ms = uint64_t{welcome_.heartbeat_s()} * 1000;
      deadline_ms_ = std::min(last_sent_ms_ + heartbeat_ms / 2, last_heard_ms_ + 2 * heartbeat_ms);
      return;
    }
  }
}

}  // namespace sotto::tools
