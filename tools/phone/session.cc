// SPDX-License-Identifier: Apache-2.0
#include "tools/phone/session.h"

#include <fmt/format.h>
#include <google/protobuf/descriptor.h>

#include <algorithm>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <csignal>
#include <fstream>

namespace sotto::tools {
namespace {

namespace asio = boost::asio;

constexpr auto kAwait = asio::as_tuple(asio::use_awaitable);
// A server that floods must not fill this process.
constexpr size_t kMaxHappenings = 4096;
constexpr size_t kMaxIdentitySize = 8192;

// The name of a frame's body, as in signaling.proto.
template <typename Frame>
std::string KindOf(const Frame& frame) {
  const auto* body = frame.GetDescriptor()->FindOneofByName("body");
  const auto* field = frame.GetReflection()->GetOneofFieldDescriptor(frame, body);
  return field == nullptr ? "none" : field->name();
}

}  // namespace

Session::Session(asio::io_context& io, const PhoneOptions& options, StateFile& state,
                 const EventLog& log)
    : io_(io),
      options_(options),
      state_(state),
      log_(log),
      signals_(io, SIGINT, SIGTERM),
      happened_(io, Clock::time_point::max()),
      drop_(io) {
  WaitForSignal();
}

Session::~Session() = default;

void Session::WaitForSignal() {
  signals_.async_wait([this](boost::system::error_code error, int) {
    if (error) return;
    Happen(Interrupted{});
    WaitForSignal();
  });
}

absl::StatusOr<std::string> Session::FindIdentity() const {
  const int given =
      !options_.identity.empty() + !options_.identity_file.empty() + !options_.development.empty();
  if (given != 1) {
    return absl::InvalidArgumentError(
        "give exactly one identity: --identity JWT, --identity-file FILE or --development NAME");
  }
  if (!options_.development.empty()) {
    auto identities = FetchDevelopmentIdentities(endpoint_, options_.tls, {options_.development});
    if (!identities.ok()) return identities.status();
    return identities->front();
  }
  if (!options_.identity.empty()) return options_.identity;
  std::ifstream file(options_.identity_file);
  std::string identity(kMaxIdentitySize + 1, '\0');
  if (!file) {
    return absl::InvalidArgumentError(
        fmt::format("can't read the identity file {}", options_.identity_file));
  }
  file.read(identity.data(), static_cast<std::streamsize>(identity.size()));
  identity.resize(static_cast<size_t>(file.gcount()));
  while (!identity.empty() && identity.back() <= ' ') identity.pop_back();
  return identity;
}

asio::awaitable<absl::Status> Session::Open() {
  auto endpoint = Endpoint::Parse(options_.server);
  if (!endpoint.ok()) co_return endpoint.status();
  endpoint_ = *std::move(endpoint);
  auto identity = FindIdentity();
  if (!identity.ok()) co_return identity.status();
  auto connector = Connector::Create(io_, endpoint_, options_.tls);
  if (!connector.ok()) co_return connector.status();
  connector_ = *std::move(connector);
  connection_ = std::make_unique<Connection>(*connector_,
                                             ClientOptions{.identity = *std::move(identity),
                                                           .device = state_.state().device,
                                                           .notice_key = notice_key().public_key},
                                             *this);
  connection_->Start();
  while (!welcomed_ && !ended_) {
    co_await happened_.async_wait(kAwait);
    happened_.expires_at(Clock::time_point::max());
    if (!happenings_.empty() && std::holds_alternative<Interrupted>(happenings_.front())) {
      co_return absl::CancelledError("interrupted before the server answered");
    }
  }
  if (ended_) co_return *ended_;

  const std::string& account = welcome().account();
  if (!IsAccountName(account))
    co_return absl::InternalError("the server's Welcome names no account");
  const std::string& known = state_.state().account;
  if (!known.empty() && known != account) {
    co_return absl::FailedPreconditionError(
        fmt::format("the state file {} belongs to {}, but the identity belongs to {}; give another "
                    "--state",
                    options_.state, known, account));
  }
  if (known.empty()) {
    auto status = state_.Update([&](PhoneState& state) {
      state.account = account;
      return absl::OkStatus();
    });
    if (!status.ok()) co_return status;
  }
  log_.Write("connected",
             {{"account", account},
              {"server_time_ms", welcome().server_time_ms()},
              {"silence_unknown_callers", welcome().settings().silence_unknown_callers()},
              {"protect_ip_address", welcome().settings().protect_ip_address()}});
  if (options_.drop_after_s > 0) {
    drop_.expires_after(
        std::chrono::milliseconds(static_cast<int64_t>(options_.drop_after_s * 1000)));
    drop_.async_wait([this](boost::system::error_code error) {
      if (!error) connection_->Drop();
    });
  }
  co_return absl::OkStatus();
}

asio::awaitable<void> Session::Close() {
  if (!connection_) co_return;
  drop_.cancel();
  if (!ended_) connection_->Stop();
  while (!ended_) {
    co_await happened_.async_wait(kAwait);
    happened_.expires_at(Clock::time_point::max());
  }
  signals_.cancel();
}

asio::awaitable<absl::StatusOr<api::ServerFrame>> Session::Ask(api::ClientFrame frame) {
  if (ended_) co_return *ended_;
  auto question = std::make_shared<Question>(
      Question{std::nullopt, asio::steady_timer(io_, Clock::time_point::max())});
  questions_.push_back(question);
  connection_->Request(std::move(frame), [question](absl::StatusOr<api::ServerFrame> answer) {
    question->answer = std::move(answer);
    question->answered.cancel();
  });
  while (!question->answer) co_await question->answered.async_wait(kAwait);
  std::erase(questions_, question);
  co_return *std::move(question->answer);
}

asio::awaitable<std::optional<Happening>> Session::Next(Clock::time_point deadline) {
  while (happenings_.empty()) {
    happened_.expires_at(deadline);
    const auto [error] = co_await happened_.async_wait(kAwait);
    if (!error && happenings_.empty() && Clock::now() >= deadline) co_return std::nullopt;
  }
  Happening next = std::move(happenings_.front());
  happenings_.pop_front();
  co_return next;
}

void Session::Happen(Happening happening) {
  if (happenings_.size() >= kMaxHappenings) return;
  happenings_.push_back(std::move(happening));
  happened_.cancel();
}

int64_t Session::ServerUnixS() const {
  return connection_->client().ServerUnixMs(SteadyMs()) / 1000;
}

void Session::OnWelcome(const api::Welcome&, bool resumed) {
  if (welcomed_) {
    log_.Write("reconnected", {{"resumed", resumed}});
    if (!resumed) Happen(SessionLost{});
    return;
  }
  welcomed_ = true;
  happened_.cancel();
}

void Session::OnEvent(const api::ServerFrame& frame) { Happen(frame); }

void Session::OnLost(const absl::Status& why) {
  log_.Write("disconnected", {{"why", std::string(why.message())}});
}

void Session::OnEnd(const absl::Status& why) {
  ended_ = why;
  // A question that is open has no answer any more.
  const absl::Status none =
      why.ok() ? absl::CancelledError("the session ended before the server answered") : why;
  for (const auto& question : questions_) {
    if (question->answer) continue;
    question->answer = none;
    question->answered.cancel();
  }
  Happen(Ended{why});
}

void Session::OnFrame(bool incoming, std::string_view bytes) {
  if (!options_.trace) return;
  api::ServerFrame in;
  api::ClientFrame out;
  std::string kind;
  uint64_t seq = 0;
  if (incoming && in.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) {
    kind = KindOf(in);
    seq = in.seq();
  } else if (!incoming && out.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) {
    kind = KindOf(out);
    seq = out.seq();
  }
  log_.Write("frame", {{"direction", incoming ? "in" : "out"},
                       {"kind", kind},
                       {"seq", seq},
                       {"bytes", bytes.size()}});
}

}  // namespace sotto::tools
