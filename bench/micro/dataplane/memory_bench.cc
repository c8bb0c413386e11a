// SPDX-License-Identifier: Apache-2.0
// What a leg of a call costs in memory: the TURN server's state, the compiler's and the tables that
// workers read, as the daemon builds them, by what the process grows. The legs come into being as
// clients make them: Allocate and ChannelBind with time-limited credentials, over virtual relayed
// addresses.
#include <benchmark/benchmark.h>
#include <fmt/format.h>
#include <malloc.h>
#include <unistd.h>

#include <fstream>
#include <memory>
#include <string>
#include <utility>

#include "bench/micro/dataplane/scene.h"
#include "relay/turn/test_client.h"

namespace sotto::bench {
namespace {

using relay::TestClient;

constexpr std::string_view kSecret = "a-secret-for-benchmarks";
constexpr Now kNow = {.monotonic_ms = 1'000'000, .unix_s = 1'800'000'000};

uint64_t ResidentBytes() {
  std::ifstream statm("/proc/self/statm");
  uint64_t total = 0;
  uint64_t resident = 0;
  statm >> total >> resident;
  return resident * static_cast<uint64_t>(sysconf(_SC_PAGESIZE));
}

relay::ServerOptions Options(uint32_t legs) {
  relay::ServerOptions options;
  options.realm = "example.org";
  options.listen = {{IpAddress::V4(198, 18, 0, 1), 3478}};
  options.virtual_prefix.emplace(*IpPrefix::Parse("100.64.0.0/10"));
  options.auth.shared_secrets = {std::string(kSecret)};
  options.peers.kind = relay::PeerPolicyKind::kCall;
  options.arm_calls_at_once = true;
  options.limits.max_allocations = legs;
  options.limits.unauthenticated_excess_rate = 1'000'000'000;
  options.limits.unauthenticated_excess_burst = 1'000'000'000;
  return options;
}

dataplane::InterfaceTable Interfaces() {
  dataplane::Interface interface;
  interface.name = "port";
  interface.mac = dataplane::MacAddress{{2, 0, 0, 0, 0, 1}};
  interface.addresses = {{IpAddress::V4(198, 18, 0, 1), *IpPrefix::Parse("198.18.0.0/16")}};
  interface.gateways = {IpAddress::V4(198, 18, 255, 254)};
  return *dataplane::InterfaceTable::Create({interface});
}

// A client of a leg of its own, named as signaling names them.
TestClient Client(relay::Server& server, uint32_t leg) {
  const relay::ClientPath path = {
      .client = {IpAddress::V4(10, static_cast<uint8_t>(leg >> 16), static_cast<uint8_t>(leg >> 8),
                               static_cast<uint8_t>(leg)),
                 40000},
      .server = {IpAddress::V4(198, 18, 0, 1), 3478}};
  const std::string name =
      fmt::format("{}:{:022}/{}", kNow.unix_s + 3600, leg / 2, leg % 2 == 0 ? 'a' : 'b');
  TestClient client(server, path, name, relay::MintTimeLimitedPassword(kSecret, name));
  client.Challenge(kNow);
  return client;
}

std::optional<TransportAddress> Allocate(TestClient& client) {
  const relay::Reply reply = client.Allocate(kNow);
  if (!reply.success() || reply.relayed().empty()) return std::nullopt;
  return reply.relayed()[0];
}

void Memory(benchmark::State& state) {
  const auto legs = static_cast<uint32_t>(state.range(0));
  const dataplane::InterfaceTable interfaces = Interfaces();
  const dataplane::LocalAddresses locals(interfaces,
                                         dataplane::LocalAddressOptions::From(Options(legs)));
  dataplane::NextHopTable next_hops(4096);
  Silent silent;
  dataplane::Neighbors neighbors(interfaces, next_hops, silent);
  neighbors.Tick(kNow.monotonic_ms);
  malloc_trim(0);
  const uint64_t before = ResidentBytes();
  auto tables = dataplane::Tables::Create(dataplane::TableSizes::For(legs), locals, 1, 0);
  if (!tables.ok()) return state.SkipWithError("no memory for the tables");
  dataplane::ForwardingCompiler compiler(locals, neighbors, **tables, legs);
  relay::Server server(Options(legs), compiler);
  for (auto _ : state) {
    for (uint32_t leg = 0; leg + 1 < legs; leg += 2) {
      TestClient a = Client(server, leg);
      TestClient b = Client(server, leg + 1);
      const auto at_a = Allocate(a);
      const auto at_b = Allocate(b);
      if (!at_a || !at_b || !a.Bind(kNow, 0x4000, *at_b).success() ||
          !b.Bind(kNow, 0x4000, *at_a).success()) {
        return state.SkipWithError("a call could not be set up");
      }
    }
  }
  if (compiler.fused_channels() != legs) return state.SkipWithError("calls were not fused");
  malloc_trim(0);
  const uint64_t after = ResidentBytes();
  state.counters["bytes_per_leg"] = static_cast<double>(after - before) / legs;
  state.SetItemsProcessed(legs);
}

BENCHMARK(Memory)
    ->Name("memory/call")
    ->Arg(65'536)
    ->Arg(1'048'576)
    ->Iterations(1)
    ->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace sotto::bench
