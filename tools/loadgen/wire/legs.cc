// SPDX-License-Identifier: Apache-2.0
#include "tools/loadgen/wire/legs.h"

#include <fmt/format.h>

#include <utility>

#include "tools/loadgen/wire/plan.h"

namespace sotto::tools {

using State = TurnClient::State;

WireLegs::WireLegs(WireLegsOptions options, Send send)
    : options_(std::move(options)), send_(std::move(send)), legs_(options_.legs) {}

std::string WireLegs::algorithm() const {
  const TurnClient* first = legs_[0].client.get();
  const auto algorithm = first == nullptr ? std::nullopt : first->algorithm();
  if (!algorithm) return "";
  return *algorithm == relay::PasswordAlgorithm::kSha256 ? "SHA-256" : "MD5";
}

void WireLegs::Begin(uint32_t leg, uint64_t now_ms) {
  TurnClientOptions client;
  client.server = options_.server;
  if (options_.secret.empty()) {
    client.credentials = options_.credentials;
  } else {
    client.credentials = TimeLimitedCredentials(
        options_.secret, options_.expiry,
        options_.call_policy ? fmt::format("{}-{}/{}", options_.name, leg / 2, "ab"[leg % 2])
                             : options_.name);
  }
  legs_[leg].client =
      std::make_unique<TurnClient>(std::move(client), [this, leg](std::span<const uint8_t> bytes) {
        ++datagrams_sent_;
        send_(leg, bytes);
      });
  Enter(leg, Phase::kAllocating);
  legs_[leg].client->Allocate(now_ms);
  Advance(leg, now_ms);
}

void WireLegs::Step(uint64_t now_ms, uint32_t most) {
  for (; most > 0 && !due_.empty() && due_.top().first <= now_ms; --most) {
    const auto [due_ms, leg] = due_.top();
    due_.pop();
    if (legs_[leg].due_ms != due_ms) continue;  // an earlier entry took its place
    legs_[leg].due_ms = UINT64_MAX;
    if (legs_[leg].client->deadline_ms() <= now_ms) legs_[leg].client->Poll(now_ms);
    Advance(leg, now_ms);
  }
  if (!status_.ok()) return;
  for (; !releasing_ && most > 0 && next_ < options_.legs && waiting_ < options_.window; --most) {
    Begin(next_++, now_ms);
  }
  for (; releasing_ && most > 0 && next_release_ < options_.legs && waiting_ < options_.window;
       --most) {
    const uint32_t leg = next_release_++;
    Enter(leg, Phase::kReleasing);
    if (legs_[leg].client) legs_[leg].client->Release(now_ms);
    Advance(leg, now_ms);
  }
}

void WireLegs::HandleDatagram(uint32_t leg, std::span<const uint8_t> datagram, uint64_t now_ms) {
  if (!legs_[leg].client) return;
  legs_[leg].client->HandleDatagram(datagram, now_ms);
  Advance(leg, now_ms);
}

// Moves a leg on as far as its client's state allows.
void WireLegs::Advance(uint32_t index, uint64_t now_ms) {
  Leg& leg = legs_[index];
  if (!leg.client) {  // released before it began
    Enter(index, Phase::kDone);
    return;
  }
  const State state = leg.client->state();
  if (leg.phase == Phase::kReleasing) {
    if (state == State::kReleased || state == State::kFailed) Enter(index, Phase::kDone);
  } else if (leg.phase != Phase::kDone && !leg.client->status().ok()) {
    if (status_.ok()) {
      const std::string_view message(leg.client->status().message().data(),
                                     leg.client->status().message().size());
      status_ =
          absl::Status(leg.client->status().code(), fmt::format("leg {}: {}", index, message));
    }
    return;
  }
  if (leg.phase == Phase::kAllocating && state == State::kAllocated) {
    ++allocated_;
    Enter(index, options_.allocate_only ? Phase::kReady : Phase::kAllocated);
    if (!options_.allocate_only && legs_[index ^ 1].phase == Phase::kAllocated) {
      Bind(index, now_ms);
      Bind(index ^ 1, now_ms);
    }
  }
  if (leg.phase == Phase::kBinding && leg.client->settled()) Enter(index, Phase::kReady);
  Schedule(index);
}

// A channel brings its permission with it (RFC 8656, section 12).
void WireLegs::Bind(uint32_t index, uint64_t now_ms) {
  const auto peer = legs_[index ^ 1].client->relayed_address(IpFamily::kV4);
  if (!peer) return;  // its client says what was wrong
  Enter(index, Phase::kBinding);
  legs_[index].client->BindChannel(WireChannel(index), *peer, now_ms);
  Schedule(index);
}

void WireLegs::Enter(uint32_t index, Phase phase) {
  const auto waits = [](Phase p) {
    return p == Phase::kAllocating || p == Phase::kBinding || p == Phase::kReleasing;
  };
  Leg& leg = legs_[index];
  waiting_ += waits(phase);
  waiting_ -= waits(leg.phase);
  ready_ += phase == Phase::kReady;
  ready_ -= leg.phase == Phase::kReady;
  released_ += phase == Phase::kDone;
  released_ -= leg.phase == Phase::kDone;
  leg.phase = phase;
}

void WireLegs::Schedule(uint32_t index) {
  Leg& leg = legs_[index];
  const uint64_t deadline = leg.client->deadline_ms();
  if (leg.phase == Phase::kDone || deadline >= leg.due_ms) return;
  leg.due_ms = deadline;
  due_.emplace(deadline, index);
}

}  // namespace sotto::tools
