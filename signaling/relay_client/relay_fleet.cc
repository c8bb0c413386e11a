// SPDX-License-Identifier: Apache-2.0
#include "signaling/relay_client/relay_fleet.h"

#include <fmt/format.h>
#include <grpcpp/create_channel.h>
#include <grpcpp/security/credentials.h>

#include <algorithm>
#include <charconv>
#include <future>
#include <mutex>
#include <utility>

#include "relay/auth/credential.h"
#include "relay/daemon/grpc_log.h"
#include "relay/daemon/log.h"
#include "signaling/relay_client/call_name.h"
#include "signaling/relay_client/fleet_thread.h"
#include "signaling/relay_client/relay_link.h"

namespace sotto::signaling {
namespace {

constexpr std::string_view kUnix = "unix:";
// An unarmed call has one leg, a connected one two.
constexpr uint32_t kLegsOfACall = 2;

absl::Status Wrong(const RelayOptions& relay, std::string_view what) {
  return absl::InvalidArgumentError(fmt::format("relay \"{}\": {}", relay.name, what));
}

bool IsHostAndPort(std::string_view text) {
  const size_t colon = text.rfind(':');
  if (colon == std::string_view::npos || colon == 0) return false;
  const std::string_view port = text.substr(colon + 1);
  uint16_t number = 0;
  const auto parsed = std::from_chars(port.data(), port.data() + port.size(), number);
  return parsed.ec == std::errc() && parsed.ptr == port.data() + port.size() && number != 0;
}

absl::StatusOr<TlsPem> LoadTls(const RelayOptions& relay) {
  const TlsFiles files = {.ca = relay.tls_ca, .cert = relay.tls_cert, .key = relay.tls_key};
  if (std::string_view(relay.control).starts_with(kUnix)) {
    if (!std::string_view(relay.control).substr(kUnix.size()).starts_with('/')) {
      return Wrong(relay,
                   "control: a Unix socket's path must begin with /, as in "
                   "\"unix:/run/sotto/relayd.sock\"");
    }
    if (files != TlsFiles{}) {
      return Wrong(relay, "a Unix socket does not use TLS; remove tls_ca, tls_cert and tls_key");
    }
    return TlsPem{};
  }
  if (!IsHostAndPort(relay.control)) {
    return Wrong(relay, "control: must be \"unix:PATH\" or \"HOST:PORT\"");
  }
  if (files.ca.empty() || files.cert.empty() || files.key.empty()) {
    return Wrong(relay, "TCP to a relay needs mutual TLS; set tls_ca, tls_cert and tls_key");
  }
  absl::StatusOr<TlsPem> pem = ReadTlsFiles(files);
  if (pem.ok()) return pem;
  return Wrong(relay,
               std::string_view(pem.status().message().data(), pem.status().message().size()));
}

std::shared_ptr<relay::v1::CallControl::StubInterface> StubOf(const RelayEndpoint& relay) {
  grpc::ChannelArguments arguments;
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  arguments.SetInt(GRPC_ARG_ENABLE_RETRIES, 0);  // RelayLink does it
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIME_MS, 10'000);
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, 5000);
  arguments.SetInt(GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 1);
  arguments.SetInt(GRPC_ARG_HTTP2_MAX_PINGS_WITHOUT_DATA, 0);
  arguments.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, 100);
  arguments.SetInt(GRPC_ARG_MIN_RECONNECT_BACKOFF_MS, 2000);  // what one attempt may take
  arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, 1000);
  arguments.SetMaxReceiveMessageSize(64 * 1024);
  const TlsPem& tls = relay.tls;
  const auto credentials =
      tls == TlsPem{}
          ? grpc::InsecureChannelCredentials()
          : grpc::SslCredentials(
                {.pem_root_certs = tls.ca, .pem_private_key = tls.key, .pem_cert_chain = tls.cert});
  return relay::v1::CallControl::NewStub(
      grpc::CreateCustomChannel(relay.options.control, credentials, arguments));
}

class Fleet final : public RelayFleet {
 public:
  Fleet(std::vector<RelayEndpoint> relays, Post post, OnLeg on_leg)
      : alive_(std::make_shared<bool>(true)),
        on_leg_(std::make_shared<OnLeg>(std::move(on_leg))),
        tell_([post = std::move(post), alive = alive_, on_leg = on_leg_](const LegAddresses& leg) {
          post([alive, on_leg, leg] {
            if (*alive) (*on_leg)(leg);
          });
        }),
        thread_(std::make_shared<FleetThread>()) {
    for (RelayEndpoint& relay : relays) current_.push_back(Add(std::move(relay)));
  }

  ~Fleet() override {
    *alive_ = false;
    std::vector<std::promise<void>> stopped(states_.size());
    for (size_t i = 0; i < states_.size(); ++i) {
      thread_->Post([&, i] { states_[i]->link->Stop([&, i] { stopped[i].set_value(); }); });
    }
    for (std::promise<void>& one : stopped) one.get_future().wait();
    thread_->Stop();
  }

  RelayIndex Choose() override {
    std::optional<RelayIndex> best;
    double least = 0;
    for (size_t i = 0; i < current_.size(); ++i) {
      // Each time another one goes first, so that equals take turns.
      const RelayIndex index = current_[(first_ + i) % current_.size()];
      State& state = *states_[index];
      const auto [health, reports] = Report(state);
      if (std::exchange(state.seen_reports, reports) != reports) state.placed = 0;
      if (!health.well) continue;
      const double share = (static_cast<double>(health.allocations) + kLegsOfACall * state.placed) /
                           health.max_allocations;
      if (!best || share < least) {
        best = index;
        least = share;
      }
    }
    first_ = (first_ + 1) % current_.size();
    const RelayIndex chosen = best.value_or(current_[first_]);
    ++states_[chosen]->placed;
    return chosen;
  }

  RelayCredential Mint(RelayIndex relay, const CallId& call, CallSideName side, int64_t unix_s,
                       uint32_t valid_s) const override {
    const RelayOptions& options = states_.at(relay)->endpoint.options;
    RelayCredential credential;
    credential.urls = options.urls;
    credential.username = fmt::format("{}:{}/{}", unix_s + valid_s, RelayCallName(call),
                                      side == CallSideName::kCaller ? 'a' : 'b');
    credential.credential = relay::MintTimeLimitedPassword(options.secret, credential.username);
    return credential;
  }

  void ArmCall(RelayIndex relay, const CallId& call) override {
    thread_->Post([&state = *states_.at(relay), call] { state.link->Arm(call); });
  }
  void EndCall(RelayIndex relay, const CallId& call) override {
    thread_->Post([&state = *states_.at(relay), call] { state.link->End(call); });
  }

  RelayHealth Health(RelayIndex relay) const override { return Report(*states_.at(relay)).first; }

  void SetRelays(std::vector<RelayEndpoint> relays, std::chrono::seconds linger) override {
    std::vector<RelayIndex> wanted;
    for (RelayEndpoint& relay : relays) wanted.push_back(Place(std::move(relay)));
    for (const RelayIndex index : current_) {
      if (std::ranges::find(wanted, index) != wanted.end()) continue;
      State& state = *states_[index];
      Log(LogLevel::kInfo, "A relay is taken out; its calls go on.", {{"relay", state.name}});
      thread_->Post([&state, linger] { state.link->Retire(linger); });
    }
    first_ = 0;
    const std::lock_guard lock(list_mutex_);
    current_ = std::move(wanted);
  }

  std::vector<RelayReport> Reports() const override {
    const std::lock_guard lock(list_mutex_);
    std::vector<RelayReport> reports;
    for (const RelayIndex index : current_) {
      const State& state = *states_[index];
      RelayReport& report = reports.emplace_back();
      report.name = state.name;
      report.health = Report(state).first;
      state.link->ReadCounters(report);
    }
    return reports;
  }

 private:
  struct State {
    explicit State(RelayEndpoint relay) : name(relay.options.name), endpoint(std::move(relay)) {}

    const std::string name;
    RelayEndpoint endpoint;           // the caller's
    std::unique_ptr<RelayLink> link;  // the fleet's thread's
    mutable std::mutex mutex;
    // Under mutex: the fleet's thread writes, the caller's reads.
    RelayHealth health = {.problem = "has not been contacted yet"};
    uint64_t reports = 0;
    // The caller's:
    uint64_t seen_reports = 0;
    uint32_t placed = 0;  // calls, since the last report
  };

  // Of a relay that may be there.
  RelayIndex Place(RelayEndpoint relay) {
    const auto known = std::ranges::find_if(current_, [&](RelayIndex index) {
      const RelayOptions& options = states_[index]->endpoint.options;
      return options.name == relay.options.name && options.control == relay.options.control;
    });
    if (known == current_.end()) {
      Log(LogLevel::kInfo, "Added a relay.", {{"relay", relay.options.name}});
      return Add(std::move(relay));
    }
    State& state = *states_[*known];
    if (state.endpoint.tls != relay.tls) {
      thread_->Post([&state, stub = StubOf(relay)] { state.link->Reconnect(stub); });
    }
    state.endpoint = std::move(relay);
    return *known;
  }

  RelayIndex Add(RelayEndpoint relay) {
    auto made = std::make_unique<State>(std::move(relay));
    State& state = *made;
    state.link = std::make_unique<RelayLink>(state.name, StubOf(state.endpoint), thread_, tell_,
                                             [&state](const RelayHealth& health) {
                                               const std::lock_guard lock(state.mutex);
                                               state.health = health;
                                               ++state.reports;
                                             });
    thread_->Post([&state] { state.link->Start(); });
    const std::lock_guard lock(list_mutex_);
    states_.push_back(std::move(made));
    return static_cast<RelayIndex>(states_.size() - 1);
  }

  static std::pair<RelayHealth, uint64_t> Report(const State& state) {
    std::lock_guard lock(state.mutex);
    return {state.health, state.reports};
  }

  const std::shared_ptr<bool> alive_;  // the caller's thread's, as the callbacks are
  const std::shared_ptr<OnLeg> on_leg_;
  const OnLeg tell_;
  const std::shared_ptr<FleetThread> thread_;
  mutable std::mutex list_mutex_;
  // Under list_mutex_: the caller's thread writes, any reads. One that is taken out keeps its
  // place.
  std::vector<std::unique_ptr<State>> states_;  // by RelayIndex
  std::vector<RelayIndex> current_;             // never empty
  // The caller's:
  size_t first_ = 0;  // in current_
};

}  // namespace

absl::StatusOr<std::vector<RelayEndpoint>> LoadRelays(const std::vector<RelayOptions>& relays) {
  if (relays.empty()) return absl::InvalidArgumentError("there is no relay; add at least one");
  std::vector<RelayEndpoint> loaded;
  for (const RelayOptions& relay : relays) {
    absl::StatusOr<TlsPem> tls = LoadTls(relay);
    if (!tls.ok()) return tls.status();
    loaded.push_back({relay, *std::move(tls)});
  }
  return loaded;
}

std::unique_ptr<RelayFleet> RelayFleet::Create(std::vector<RelayEndpoint> relays, Post post,
                                               OnLeg on_leg) {
  RouteGrpcLog();
  return std::make_unique<Fleet>(std::move(relays), std::move(post), std::move(on_leg));
}

}  // namespace sotto::signaling
