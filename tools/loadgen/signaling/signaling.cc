// SPDX-License-Identifier: Apache-2.0
#include "tools/loadgen/signaling/signaling.h"

#include <fmt/format.h>
#include <sys/resource.h>

#include <algorithm>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <ctime>
#include <deque>
#include <fstream>
#include <memory>
#include <vector>

#include "tools/loadgen/signaling/device.h"
#include "tools/signaling_client/call_body.h"
#include "tools/signaling_client/identity_minter.h"
#include "tools/signaling_client/token.h"

namespace sotto::tools {
namespace {

namespace asio = boost::asio;
using std::chrono::nanoseconds;

constexpr auto kAwait = asio::as_tuple(asio::use_awaitable);
constexpr uint64_t kNsPerSecond = 1'000'000'000;
constexpr uint64_t kGiveUpNs = 10 * kNsPerSecond;  // on a call that doesn't ring
constexpr uint64_t kLateNs = 10'000'000;
constexpr size_t kOffers = 64;  // different ones
constexpr size_t kIdentitiesAtATime = 256;
constexpr uint32_t kRequestsAtATime = 256;

uint64_t NowNs() {
  return static_cast<uint64_t>(std::chrono::steady_clock::now().time_since_epoch().count());
}

absl::Status RaiseFileLimit(uint32_t devices) {
  rlimit limit;
  getrlimit(RLIMIT_NOFILE, &limit);
  const rlim_t wanted = devices + 64;
  if (limit.rlim_cur >= wanted) return absl::OkStatus();
  limit.rlim_cur = wanted;
  limit.rlim_max = std::max(limit.rlim_max, wanted);
  if (setrlimit(RLIMIT_NOFILE, &limit) == 0) return absl::OkStatus();
  return absl::ResourceExhaustedError(
      fmt::format("{} devices need as many open files, but the limit is {}; raise `ulimit -n`, or "
                  "run as root",
                  devices, std::strerror(errno)));
}

// Anonymous resident memory: what a process holds, not what it maps.
uint64_t MemoryKib(pid_t pid) {
  if (pid == 0) return 0;
  std::ifstream status(fmt::format("/proc/{}/status", pid));
  for (std::string line; std::getline(status, line);) {
    if (line.starts_with("RssAnon:")) return std::strtoull(line.c_str() + 8, nullptr, 10);
  }
  return 0;
}

// As large as those of a WebRTC client with an invitation to call back: 1 KiB sealed.
absl::StatusOr<std::vector<std::string>> MakeOffers() {
  const AccountSecret caller = AccountSecret::Generate(), recipient = AccountSecret::Generate();
  e2e::Offer offer;
  offer.set_caller("load-caller");
  offer.set_recipient("load-recipient");
  offer.set_box(AsString(MakeBoxKeyPair().public_key));
  offer.set_caller_box(AsString(caller.Box().public_key));
  offer.set_caller_sign(AsString(caller.Sign().public_key));
  offer.mutable_media()->set_secret_share(RandomBytes(32));
  auto& invitation = *offer.mutable_invitation();
  invitation.set_account("load-caller");
  invitation.set_box(offer.caller_box());
  invitation.set_sign(offer.caller_sign());
  for (int i = 0; i < 5; ++i) {
    invitation.add_tokens(IssueToken(caller.EpochKey(1, 0), "load-caller", 1, RandomSerial()));
  }
  std::vector<std::string> offers;
  for (size_t i = 0; i < kOffers; ++i) {
    auto sealed = SealOffer(offer, caller.Sign(), recipient.Box().public_key);
    if (!sealed.ok()) return sealed.status();
    offers.push_back(std::move(sealed->bytes));
  }
  return offers;
}

class SignalingRun : public LoadDevice::Owner {
 public:
  SignalingRun(const SignalingOptions& options, const std::atomic<bool>& stop,
               SignalingReport& report)
      : options_(options), stop_(stop), report_(report), timer_(io_) {}

  absl::Status Run() {
    if (auto status = RaiseFileLimit(options_.devices); !status.ok()) return status;
    auto connector = Connector::Create(io_, options_.server, options_.tls);
    if (!connector.ok()) return connector.status();
    connector_ = *std::move(connector);
    auto offers = MakeOffers();
    if (!offers.ok()) return offers.status();
    offers_ = *std::move(offers);
    report_.server_kib_before = MemoryKib(options_.server_pid);
    if (auto status = MakeDevices(); !status.ok()) return status;
    asio::co_spawn(
        io_,
        [this]() -> asio::awaitable<void> {
          co_await Main();
          io_.stop();
        },
        [](const std::exception_ptr& error) {
          if (error) std::rethrow_exception(error);
        });
    io_.run();
    return Verdict();
  }

 private:
  struct Call {
    uint64_t placed_ns = 0;
    std::string id;  // once CallPlaced has come
    TokenSerial serial = {};
    uint32_t caller = 0;
    uint32_t recipient = 0;
    bool rang = false;
    bool over = false;
  };
  // Something to do with a call at a time; all of a queue have the same delay, so they are in
  // order.
  struct Due {
    uint64_t ns;
    uint64_t call;
  };

  absl::Status MakeDevices() {
    std::vector<std::string> names;
    for (uint32_t i = 0; i < options_.devices; ++i) {
      names.push_back(fmt::format("{}-{}", options_.name, i));
    }
    auto identities = MakeIdentities(names);
    if (!identities.ok()) return identities.status();
    for (uint32_t i = 0; i < options_.devices; ++i) {
      devices_.push_back(
          std::make_unique<LoadDevice>(*connector_, *this, names[i], std::move((*identities)[i])));
    }
    callers_ = options_.devices / 2;
    recipients_ = options_.devices - callers_;
    return absl::OkStatus();
  }

  absl::StatusOr<std::vector<std::string>> MakeIdentities(const std::vector<std::string>& names) {
    std::vector<std::string> identities;
    if (!options_.identity_key.empty()) {
      const auto minter = IdentityMinter::Load(options_.identity_key);
      if (!minter.ok()) return minter.status();
      const int64_t now = std::time(nullptr);
      for (const std::string& name : names) {
        identities.push_back(
            minter->Mint(name, now, 24 * 3600, options_.issuer, options_.audience));
      }
      return identities;
    }
    for (size_t at = 0; at < names.size() && !stop_; at += kIdentitiesAtATime) {
      const auto end =
          names.begin() + static_cast<ptrdiff_t>(std::min(at + kIdentitiesAtATime, names.size()));
      auto some = FetchDevelopmentIdentities(options_.server, options_.tls,
                                             {names.begin() + static_cast<ptrdiff_t>(at), end});
      if (!some.ok()) return some.status();
      identities.insert(identities.end(), some->begin(), some->end());
    }
    if (identities.size() < names.size()) return absl::CancelledError("interrupted");
    return identities;
  }

  asio::awaitable<void> Main() {
    if (co_await ConnectAll() && co_await SetUpRecipients()) {
      report_.server_kib_connected = MemoryKib(options_.server_pid);
      co_await MakeCalls();
      report_.server_kib_after = MemoryKib(options_.server_pid);
    }
    closing_ = true;
    for (auto& device : devices_) device->Stop();
    const uint64_t end = NowNs() + kGiveUpNs;
    while (ended_ < started_ && NowNs() < end) co_await Sleep(1'000'000);
  }

  asio::awaitable<void> Sleep(uint64_t ns) {
    timer_.expires_after(nanoseconds(ns));
    co_await timer_.async_wait(kAwait);
  }

  bool Stopped() {
    report_.interrupted = report_.interrupted || stop_;
    return report_.interrupted || failed_;
  }

  asio::awaitable<bool> ConnectAll() {
    const uint64_t began = NowNs();
    for (auto& device : devices_) {
      while (started_ - welcomed_ >= options_.connecting && !Stopped()) co_await Sleep(200'000);
      if (Stopped()) co_return false;
      ++started_;
      device->Start(NowNs());
    }
    while (welcomed_ < devices_.size() && !Stopped()) co_await Sleep(1'000'000);
    report_.connect_seconds = static_cast<double>(NowNs() - began) / kNsPerSecond;
    co_return !Stopped();
  }

  asio::awaitable<bool> SetUpRecipients() {
    if (options_.calls_per_second <= 0) co_return true;
    const uint64_t began = NowNs();
    epoch_ = EpochAt(devices_.front()->ServerUnixS());
    const auto done = [this](const absl::StatusOr<api::ServerFrame>& answer) {
      --setting_up_;
      if (!answer.ok()) Fail(std::string(answer.status().message()));
    };
    for (uint32_t i = 0; i < recipients_; ++i) {
      LoadDevice& device = Recipient(i);
      while (setting_up_ >= kRequestsAtATime && !Stopped()) co_await Sleep(200'000);
      if (Stopped()) break;
      setting_up_ += 2;
      api::ClientFrame settings, key;
      settings.mutable_put_settings()->mutable_settings()->set_silence_unknown_callers(
          !options_.plain);
      device.Request(std::move(settings), done);
      auto& put = *key.mutable_put_epoch_key();
      put.set_epoch(epoch_);
      put.set_public_key(AsString(device.SignKey(epoch_).public_key));
      put.set_uses(1);
      device.Request(std::move(key), done);
    }
    while (setting_up_ > 0 && !Stopped()) co_await Sleep(1'000'000);
    report_.setup_seconds = static_cast<double>(NowNs() - began) / kNsPerSecond;
    co_return !Stopped();
  }

  asio::awaitable<void> MakeCalls() {
    const uint64_t began = NowNs();
    const auto total = static_cast<uint64_t>(options_.seconds * options_.calls_per_second);
    const auto end = began + static_cast<uint64_t>(options_.seconds * kNsPerSecond);
    calls_.reserve(total);
    while (!Stopped()) {
      const uint64_t now = NowNs();
      // One at a time, so that what comes in between is read in between.
      const uint64_t due_ns =
          calls_.size() < total
              ? began + static_cast<uint64_t>(static_cast<double>(calls_.size()) * kNsPerSecond /
                                              options_.calls_per_second)
              : UINT64_MAX;
      if (due_ns <= now) {
        if (now - due_ns > kLateNs) ++report_.behind;
        Place();
      }
      HangUpWhatIsDue(now);
      if (calls_.size() >= total && open_calls_ == 0 && now >= end) break;
      uint64_t next = now + 5'000'000;
      for (const auto* queue : {&hang_ups_, &give_ups_}) {
        if (!queue->empty()) next = std::min(next, queue->front().ns);
      }
      if (calls_.size() < total) {
        next =
            std::min(next, began + static_cast<uint64_t>(static_cast<double>(calls_.size()) *
                                                         kNsPerSecond / options_.calls_per_second));
      }
      co_await Sleep(next > now ? next - now : 0);
    }
    report_.run_seconds = static_cast<double>(NowNs() - began) / kNsPerSecond;
  }

  LoadDevice& Caller(uint32_t i) { return *devices_[i]; }
  LoadDevice& Recipient(uint32_t i) { return *devices_[callers_ + i]; }

  void Place() {
    const uint64_t number = calls_.size();
    Call& call = calls_.emplace_back();
    call.caller = static_cast<uint32_t>(number % callers_);
    // Another one in each round, so that no pair meets often.
    call.recipient = static_cast<uint32_t>((number + number / callers_) % recipients_);
    LoadDevice& recipient = Recipient(call.recipient);
    api::ClientFrame frame;
    auto& place = *frame.mutable_place_call();
    place.set_place_id(RandomBytes(16));
    place.set_recipient(recipient.account());
    place.set_offer(offers_[number % kOffers]);
    if (!options_.plain) {
      call.serial = RandomSerial();
      place.set_token(
          IssueToken(recipient.SignKey(epoch_), recipient.account(), epoch_, call.serial));
    }
    recipient.Expect(Caller(call.caller).account(), number);
    ++report_.placed;
    ++open_calls_;
    call.placed_ns = NowNs();
    give_ups_.push_back({call.placed_ns + kGiveUpNs, number});
    Caller(call.caller)
        .Request(std::move(frame), [this, number](const absl::StatusOr<api::ServerFrame>& answer) {
          OnPlaced(number, answer);
        });
  }

  void OnPlaced(uint64_t number, const absl::StatusOr<api::ServerFrame>& answer) {
    Call& call = calls_[number];
    if (!answer.ok()) {
      ++report_.refused;
      report_.AddError(std::string(answer.status().message()));
      Finish(number);
      return;
    }
    report_.place_to_placed.Record(NowNs() - call.placed_ns);
    call.id = answer->call_placed().call();
    Caller(call.caller).Own(call.id, number);
  }

  // LoadDevice::Owner
  void OnWelcomed(uint64_t since_ns) override {
    ++welcomed_;
    ++report_.connected;
    report_.connect.Record(since_ns);
  }

  void OnIncoming(LoadDevice& device, uint64_t number, const api::IncomingCall& incoming) override {
    Call& call = calls_[number];
    const uint64_t now = NowNs();
    if (call.rang) {
      ++report_.unexpected;
      return;
    }
    call.rang = true;
    ++report_.rang;
    report_.place_to_ring.Record(now - call.placed_ns);
    if (incoming.offer() != offers_[number % kOffers]) ++report_.wrong_offers;
    const bool token_is_right =
        options_.plain ? !incoming.with_token()
                       : incoming.with_token() && incoming.token_serial() == AsString(call.serial);
    if (!token_is_right) ++report_.wrong_tokens;
    if (!options_.answer) {
      hang_ups_.push_back(
          {now + static_cast<uint64_t>(options_.ring_seconds * kNsPerSecond), number});
      return;
    }
    api::ClientFrame accept;
    accept.mutable_accept_call()->set_call(incoming.call());
    accept.mutable_accept_call()->set_answer(Answer(number));
    device.Request(std::move(accept), [this](const absl::StatusOr<api::ServerFrame>& answer) {
      if (!answer.ok()) report_.AddError(std::string(answer.status().message()));
    });
  }

  // Bodies are all alike to the server; an answer is another one of those.
  const std::string& Answer(uint64_t number) const { return offers_[(number + 1) % kOffers]; }

  void OnConnected(uint64_t number, const api::CallConnected& connected) override {
    Call& call = calls_[number];
    const uint64_t now = NowNs();
    ++report_.answered;
    report_.place_to_connected.Record(now - call.placed_ns);
    if (connected.answer() != Answer(number)) ++report_.wrong_offers;
    hang_ups_.push_back(
        {now + static_cast<uint64_t>(options_.talk_seconds * kNsPerSecond), number});
  }

  void OnUnexpected() override { ++report_.unexpected; }

  void OnDeviceLost(const absl::Status& why) override {
    ++report_.connections_lost;
    Fail(std::string(why.message()));
  }
  void OnDeviceEnded(const absl::Status& why) override {
    ++ended_;
    if (!closing_) Fail(std::string(why.message()));
  }

  void HangUpWhatIsDue(uint64_t now) {
    for (auto* queue : {&hang_ups_, &give_ups_}) {
      while (!queue->empty() && queue->front().ns <= now) {
        const uint64_t number = queue->front().call;
        queue->pop_front();
        Call& call = calls_[number];
        if (call.over || (queue == &give_ups_ && call.rang)) continue;
        if (!call.rang) ++report_.not_rung;
        if (!call.id.empty()) {
          HangUp(number);
        } else if (call.rang) {  // before the caller has heard that it is placed
          hang_ups_.push_back({now + 1'000'000, number});
          break;
        } else {
          report_.AddError("the server does not answer PlaceCall");
          Finish(number);
        }
      }
    }
  }

  void HangUp(uint64_t number) {
    Call& call = calls_[number];
    api::ClientFrame frame;
    frame.mutable_hang_up()->set_call(call.id);
    Caller(call.caller)
        .Request(std::move(frame), [this, number](const absl::StatusOr<api::ServerFrame>& answer) {
          if (!answer.ok()) report_.AddError(std::string(answer.status().message()));
          Finish(number);
        });
  }

  void Finish(uint64_t number) {
    Call& call = calls_[number];
    if (std::exchange(call.over, true)) return;
    --open_calls_;
    Recipient(call.recipient).Forget(Caller(call.caller).account());
    Caller(call.caller).Disown(call.id);
  }

  void Fail(std::string error) {
    failed_ = true;
    report_.AddError(std::move(error));
  }

  absl::Status Verdict() const {
    if (failed_ && report_.connected < devices_.size()) {
      return absl::UnavailableError(
          fmt::format("only {} of {} devices could connect: {}", report_.connected, devices_.size(),
                      report_.errors.empty() ? "" : report_.errors.front()));
    }
    if (failed_ || report_.connections_lost > 0) {
      return absl::UnavailableError(fmt::format(
          "the run was aborted: {}", report_.errors.empty() ? "" : report_.errors.front()));
    }
    if (report_.refused + report_.not_rung + report_.wrong_offers + report_.wrong_tokens > 0) {
      return absl::FailedPreconditionError(
          fmt::format("of {} calls, {} were refused, {} did not ring, {} delivered wrong bytes{}",
                      report_.placed, report_.refused, report_.not_rung,
                      report_.wrong_offers + report_.wrong_tokens,
                      report_.errors.empty() ? "" : ": " + report_.errors.front()));
    }
    const double p99_ms = static_cast<double>(report_.place_to_ring.Percentile(99)) / 1e6;
    if (options_.max_ring_p99_ms > 0 && p99_ms > options_.max_ring_p99_ms) {
      return absl::FailedPreconditionError(
          fmt::format("the p99 of the time to ring is {:.1f} ms, above the limit of {:g} ms",
                      p99_ms, options_.max_ring_p99_ms));
    }
    return absl::OkStatus();
  }

  const SignalingOptions& options_;
  const std::atomic<bool>& stop_;
  SignalingReport& report_;
  asio::io_context io_{1};
  asio::steady_timer timer_;
  std::unique_ptr<Connector> connector_;
  std::vector<std::string> offers_;
  std::vector<std::unique_ptr<LoadDevice>> devices_;  // callers, then recipients
  uint32_t callers_ = 0;
  uint32_t recipients_ = 0;
  uint32_t epoch_ = 0;
  std::vector<Call> calls_;
  std::deque<Due> hang_ups_;
  std::deque<Due> give_ups_;
  uint64_t open_calls_ = 0;
  uint32_t setting_up_ = 0;  // requests
  size_t started_ = 0;
  size_t welcomed_ = 0;
  size_t ended_ = 0;
  bool closing_ = false;
  bool failed_ = false;
};

}  // namespace

absl::Status SignalingOptions::Validate() const {
  if (devices < 2) return absl::InvalidArgumentError("--devices must be at least 2");
  if (connecting < 1) return absl::InvalidArgumentError("--connecting must be at least 1");
  if (name.empty() || !IsAccountName(name) || name.size() > 48) {
    return absl::InvalidArgumentError(
        "--name must have 1 to 48 characters of A-Z a-z 0-9 . _ ~ @ + -");
  }
  if (!(calls_per_second >= 0 && calls_per_second <= 100'000)) {
    return absl::InvalidArgumentError("--calls-per-second: 0 to 100000");
  }
  if (!(seconds >= 0 && seconds <= 86'400)) {
    return absl::InvalidArgumentError("--seconds must be from 0 to 86400");
  }
  return absl::OkStatus();
}

absl::Status RunSignaling(const SignalingOptions& options, const std::atomic<bool>& stop,
                          SignalingReport& report) {
  SignalingRun run(options, stop, report);
  return run.Run();
}

}  // namespace sotto::tools
