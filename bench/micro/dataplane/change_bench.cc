// SPDX-License-Identifier: Apache-2.0
// What an operator's change takes of control at a time, with a million allocations in force: their
// server, compiler and tables as the daemon builds them, one half of the legs with a channel to
// another leg, the other with one to a peer outside. `change_ms` is the change itself, `tick_ms`
// the longest of the server's ticks after it, which sweep what it means for the allocations there
// are. Milliseconds of the thread's own time, whatever else runs on the machine.
#include <benchmark/benchmark.h>
#include <fmt/format.h>
#include <time.h>

#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include "bench/micro/dataplane/scene.h"
#include "relay/turn/test_client.h"

namespace sotto::bench {
namespace {

using relay::TestClient;

constexpr uint32_t kLegs = 1'000'000;
constexpr uint32_t kHeavyLegs = 100'000;  // of one user
constexpr uint8_t kRelayAddresses = 16;
constexpr uint16_t kListenPort = 1023;  // below the million ports
constexpr std::string_view kSecret = "a-secret-for-benchmarks";
constexpr std::string_view kHeavyUser = "heavy";
constexpr Now kNow = {.monotonic_ms = 1'000'000, .unix_s = 1'800'000'000};

IpAddress RelayAddress(uint8_t i) { return IpAddress::V4(198, 18, 0, static_cast<uint8_t>(1 + i)); }

relay::ServerOptions Options() {
  relay::ServerOptions options;
  options.realm = "example.org";
  options.listen = {{RelayAddress(0), kListenPort}};
  for (uint8_t i = 0; i < kRelayAddresses; ++i) options.relay_addresses.push_back(RelayAddress(i));
  options.relay_ports = {kListenPort + 1, 65535};
  options.auth.shared_secrets = {std::string(kSecret)};
  options.auth.users[std::string(kHeavyUser)] = kSecret;
  options.lifetimes.default_s = options.lifetimes.max_s = 3600;
  options.limits.max_allocations = kLegs;
  options.limits.unauthenticated_excess_rate = 1'000'000'000;
  options.limits.unauthenticated_excess_burst = 1'000'000'000;
  return options;
}

// A peer of the leg's.
TransportAddress Outside(uint32_t leg) {
  return {IpAddress::V4(9, 0, 0, static_cast<uint8_t>(leg)), 5000};
}

dataplane::InterfaceTable Interfaces() {
  dataplane::Interface interface;
  interface.name = "port";
  interface.mac = dataplane::MacAddress{{2, 0, 0, 0, 0, 1}};
  for (uint8_t i = 0; i < kRelayAddresses; ++i) {
    interface.addresses.push_back({RelayAddress(i), *IpPrefix::Parse("198.18.0.0/16")});
  }
  interface.gateways = {IpAddress::V4(198, 18, 255, 254)};
  return *dataplane::InterfaceTable::Create({interface});
}

class FullRelay {
 public:
  // Made once: that takes minutes.
  static FullRelay& Get() {
    static auto* const relay = new FullRelay();
    return *relay;
  }

  relay::Server& server() { return *server_; }
  const std::string& error() const { return error_; }

 private:
  FullRelay()
      : interfaces_(Interfaces()),
        locals_(interfaces_, dataplane::LocalAddressOptions::From(Options())),
        neighbors_(interfaces_, next_hops_, silent_) {
    neighbors_.Tick(kNow.monotonic_ms);
    auto tables = dataplane::Tables::Create(dataplane::TableSizes::For(kLegs), locals_, 1, 0);
    if (!tables.ok()) {
      error_ = "no memory for the tables";
      return;
    }
    tables_ = *std::move(tables);
    compiler_.emplace(locals_, neighbors_, *tables_, kLegs);
    server_.emplace(Options(), *compiler_);
    for (uint32_t leg = 0; leg + 1 < kLegs && error_.empty(); leg += 2) {
      TestClient a = Client(leg);
      TestClient b = Client(leg + 1);
      const relay::Reply at_a = a.Allocate(kNow);
      const relay::Reply at_b = b.Allocate(kNow);
      const bool inside = leg < kLegs / 2;
      if (!at_a.success() || !at_b.success() ||
          !a.Bind(kNow, 0x4000, inside ? at_b.relayed()[0] : Outside(leg)).success() ||
          !b.Bind(kNow, 0x4000, inside ? at_a.relayed()[0] : Outside(leg + 1)).success()) {
        error_ = fmt::format("legs {} and {} could not be set up", leg, leg + 1);
      }
    }
  }

  // The heavy user's are spread over all.
  TestClient Client(uint32_t leg) {
    const relay::ClientPath path = {
        .client = {IpAddress::V4(10, static_cast<uint8_t>(leg >> 16),
                                 static_cast<uint8_t>(leg >> 8), static_cast<uint8_t>(leg)),
                   40000},
        .server = {RelayAddress(0), kListenPort}};
    const std::string name = fmt::format("{}:user{}", kNow.unix_s + 3600, leg);
    const bool heavy = leg % (kLegs / kHeavyLegs) == 0;
    TestClient client(*server_, path, heavy ? std::string(kHeavyUser) : name,
                      heavy ? std::string(kSecret) : relay::MintTimeLimitedPassword(kSecret, name));
    client.Challenge(kNow);
    return client;
  }

  const dataplane::InterfaceTable interfaces_;
  const dataplane::LocalAddresses locals_;
  dataplane::NextHopTable next_hops_{4096};
  Silent silent_;
  dataplane::Neighbors neighbors_;
  std::unique_ptr<dataplane::Tables> tables_;
  std::optional<dataplane::ForwardingCompiler> compiler_;
  std::optional<relay::Server> server_;
  std::string error_;
};

double ThreadMs() {
  timespec time = {};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  return static_cast<double>(time.tv_sec) * 1e3 + static_cast<double>(time.tv_nsec) / 1e6;
}

template <typename Work>
double MsOf(const Work& work) {
  const double begin = ThreadMs();
  work();
  return ThreadMs() - begin;
}

// Control's next ticks: as many as a sweep takes, and more.
double LongestTickMs(relay::Server& server) {
  double longest = 0;
  for (int tick = 0; tick < 1500; ++tick) {
    longest = std::max(longest, MsOf([&] { server.Tick(kNow, kLegs / 128); }));
  }
  return longest;
}

using Change = void (*)(relay::ServerOptions&);

void Reconfigure(benchmark::State& state, Change change) {
  FullRelay& relay = FullRelay::Get();
  if (!relay.error().empty()) return state.SkipWithError(relay.error().c_str());
  relay::Server& server = relay.server();
  relay::ServerOptions options = server.options();
  change(options);
  double change_ms = 0;
  double tick_ms = 0;
  for (auto _ : state) {
    change_ms = MsOf([&] {
      if (!server.Reconfigure(options).ok()) state.SkipWithError("refused");
    });
    tick_ms = LongestTickMs(server);
  }
  state.counters["change_ms"] = change_ms;
  state.counters["tick_ms"] = tick_ms;
}

// As the daemon does it: a piece of the allocations at a time.
void EndAUsersAllocations(benchmark::State& state) {
  FullRelay& relay = FullRelay::Get();
  if (!relay.error().empty()) return state.SkipWithError(relay.error().c_str());
  relay::Server& server = relay.server();
  const auto piece = static_cast<uint32_t>(state.range(0));
  double longest = 0;
  uint32_t ended = 0;
  for (auto _ : state) {
    relay::LegId next = 0;
    do {
      longest = std::max(longest, MsOf([&] {
                           std::vector<relay::LegId> legs;
                           next = server.ForEachAllocation(next, piece, false,
                                                           [&](const relay::AllocationInfo& info) {
                                                             if (info.username == kHeavyUser)
                                                               legs.push_back(info.id);
                                                           });
                           for (const relay::LegId leg : legs) {
                             server.EndAllocation(leg, kNow).IgnoreError();
                           }
                           ended += static_cast<uint32_t>(legs.size());
                         }));
    } while (next != 0);
  }
  if (ended != kHeavyLegs) return state.SkipWithError("ended others than the user's");
  state.counters["task_ms"] = longest;
}

// What had a channel to a peer outside has none, and all others have theirs.
void DenyThoseOutside(benchmark::State& state) {
  Reconfigure(state, [](relay::ServerOptions& options) {
    options.peers.deny = {*IpPrefix::Parse("9.0.0.0/8")};
  });
  uint32_t channels = 0;
  FullRelay::Get().server().ForEachAllocation(
      0, UINT32_MAX, false, [&](const relay::AllocationInfo& info) { channels += info.channels; });
  if (channels != (kLegs - kHeavyLegs) / 2) state.SkipWithError("not all were ended, or too many");
}

// In this order: each leaves the relay as the next one finds it.
const struct {
  const char* name;
  Change change;
} kChanges[] = {
    {"nothing", [](relay::ServerOptions&) {}},
    {"max_allocations_per_user", [](auto& o) { o.limits.max_allocations_per_user = 200'000; }},
    {"users", [](auto& o) { o.auth.users["carol"] = "carols-password"; }},
    {"10000_users",
     [](auto& o) {
       for (int i = 0; i < 10'000; ++i) o.auth.users[fmt::format("u{}", i)] = "a-password";
     }},
    {"another_user", [](auto& o) { o.auth.users["dave"] = "daves-password"; }},
    {"bytes_per_user", [](auto& o) { o.limits.rates.bytes_per_user = 1'000'000; }},
    {"no_bytes_per_user", [](auto& o) { o.limits.rates.bytes_per_user = 0; }},
    {"bytes_per_user_again", [](auto& o) { o.limits.rates.bytes_per_user = 1'000'000; }},
    {"no_max_allocations_per_user", [](auto& o) { o.limits.max_allocations_per_user = 0; }},
    {"deny_nothing_that_is_bound",
     [](auto& o) { o.peers.deny = {*IpPrefix::Parse("203.0.113.0/24")}; }},
};

[[maybe_unused]] const bool kRegistered = [] {
  const auto once = [](benchmark::internal::Benchmark* b) {
    b->Iterations(1)->Unit(benchmark::kMillisecond);
  };
  for (const auto& [name, change] : kChanges) {
    benchmark::RegisterBenchmark(fmt::format("change/{}", name).c_str(), Reconfigure, change)
        ->Apply(once);
  }
  benchmark::RegisterBenchmark("change/end_a_tenth_of_all", EndAUsersAllocations)
      ->Arg(512)
      ->Apply(once);
  benchmark::RegisterBenchmark("change/deny_half_of_what_is_bound", DenyThoseOutside)->Apply(once);
  return true;
}();

}  // namespace
}  // namespace sotto::bench
