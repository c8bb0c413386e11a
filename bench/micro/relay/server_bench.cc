// SPDX-License-Identifier: Apache-2.0
// Authenticated transactions in the server core: how many allocations it makes and ends a second,
// and its memory for each.
#include <benchmark/benchmark.h>
#include <malloc.h>

#include <memory>
#include <string>
#include <vector>

#include "relay/turn/test_client.h"

namespace sotto::relay {
namespace {

constexpr std::string_view kSecret = "a-secret-for-benchmarks";
constexpr Now kNow = {.monotonic_ms = 1'000'000, .unix_s = 1'800'000'000};

ServerOptions Options(bool calls) {
  ServerOptions options;
  options.realm = "example.org";
  options.listen = {{IpAddress::V4(198, 18, 0, 1), 3478}};
  for (uint8_t i = 1; i <= 8; ++i) options.relay_addresses.push_back(IpAddress::V4(198, 18, 0, i));
  options.auth.shared_secrets = {std::string(kSecret)};
  options.limits.max_allocations = 200'000;
  options.limits.requests_per_prefix = 1'000'000'000;
  if (calls) options.peers.kind = PeerPolicyKind::kCall;
  return options;
}

// Requests that clients with the nonce would send; built beforehand.
struct Requests {
  std::vector<ClientPath> paths;
  std::vector<Bytes> allocate;
  std::vector<Bytes> release;

  Requests(Server& server, uint32_t count, bool calls) {
    for (uint32_t i = 0; i < count; ++i) {
      const ClientPath path = {
          .client = {IpAddress::V4(10, static_cast<uint8_t>(i >> 16), static_cast<uint8_t>(i >> 8),
                                   static_cast<uint8_t>(i)),
                     40000},
          .server = {IpAddress::V4(198, 18, 0, 1), 3478}};
      std::string name = std::to_string(kNow.unix_s + 3600) + ":";
      name += calls ? "call-number-" + std::to_string(i / 2) + (i % 2 == 0 ? "/a" : "/b")
                    : "user" + std::to_string(i);
      TestClient client(server, path, name, MintTimeLimitedPassword(kSecret, name));
      client.sha256 = true;
      client.Challenge(kNow);
      paths.push_back(path);
      allocate.push_back(client.Build(StunMethod::kAllocate, client.NewId(), [](StunBuilder& b) {
        b.AddU8(StunAttributeType::kRequestedTransport, 17);
      }));
      release.push_back(client.Build(StunMethod::kRefresh, client.NewId(), [](StunBuilder& b) {
        b.AddU32(StunAttributeType::kLifetime, 0);
      }));
    }
  }
};

bool Succeeds(Server& server, const ClientPath& path, const Bytes& request,
              std::span<uint8_t> buffer) {
  const Outcome outcome = server.HandleClientDatagram(path, request, kNow, buffer);
  const auto message = StunMessage::Parse(outcome.bytes);
  return message && message->message_class() == StunClass::kSuccess;
}

// Allocate and Refresh to zero by turns, with `range(0)` others standing.
void AllocateAndRelease(benchmark::State& state) {
  NullForwardingPlane plane;
  const bool calls = state.range(1) != 0;
  Server server(Options(calls), plane);
  const auto standing = static_cast<uint32_t>(state.range(0));
  const Requests requests(server, standing + 1000, calls);
  std::vector<uint8_t> buffer(4096);
  for (uint32_t i = 1000; i < standing + 1000; ++i) {
    if (!Succeeds(server, requests.paths[i], requests.allocate[i], buffer)) {
      return state.SkipWithError("an allocation failed");
    }
  }
  uint32_t i = 0;
  for (auto _ : state) {
    if (!Succeeds(server, requests.paths[i], requests.allocate[i], buffer) ||
        !Succeeds(server, requests.paths[i], requests.release[i], buffer)) {
      return state.SkipWithError("a transaction failed");
    }
    // The server answers what it has seen before from memory: with other clients' it may not.
    i = (i + 1) % 1000;
    if (i == 0)
      state.PauseTiming(), server.Tick({kNow.monotonic_ms + 60'000, kNow.unix_s}, 1),
          state.ResumeTiming();
  }
  state.SetItemsProcessed(2 * static_cast<int64_t>(state.iterations()));
}

void Memory(benchmark::State& state) {
  NullForwardingPlane plane;
  const bool calls = state.range(0) != 0;
  constexpr uint32_t kLegs = 100'000;
  Server server(Options(calls), plane);
  const Requests requests(server, kLegs, calls);
  std::vector<uint8_t> buffer(4096);
  const size_t before = mallinfo2().uordblks;
  for (auto _ : state) {
    for (uint32_t i = 0; i < kLegs; ++i) {
      if (!Succeeds(server, requests.paths[i], requests.allocate[i], buffer)) {
        return state.SkipWithError("an allocation failed");
      }
    }
  }
  state.counters["bytes_per_leg"] = static_cast<double>(mallinfo2().uordblks - before) / kLegs;
  state.SetItemsProcessed(kLegs);
}

BENCHMARK(AllocateAndRelease)
    ->Name("server/allocate_and_release")
    ->ArgNames({"standing", "calls"})
    ->Args({0, 0})
    ->Args({0, 1})
    ->Args({100'000, 1});
BENCHMARK(Memory)->Name("server/allocate")->ArgName("calls")->Arg(0)->Arg(1)->Iterations(1);

}  // namespace
}  // namespace sotto::relay

BENCHMARK_MAIN();
