// The worker's whole work on a burst, without ports: parse, look up, rewrite, queue.
//
// For each class of packet, by the number of legs and how packets arrive:
//   random   each packet from another leg: at many legs, no record is in a cache
//   warm     the same 32 legs again and again
// `cycles` are TSC cycles a packet, the median of bursts; Google Benchmark's own time is that of
// Process() alone.
#include <benchmark/benchmark.h>
#include <fmt/format.h>
#include <rte_cycles.h>

#include <algorithm>
#include <array>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "bench/micro/dataplane/scene.h"

namespace sotto::bench {
namespace {

// Building a million legs takes longer than forwarding for them.
Scene& SceneFor(PacketClass packet_class, uint32_t legs) {
  static std::unique_ptr<Scene> scene;
  static PacketClass of_class;
  if (scene == nullptr || of_class != packet_class || scene->legs() != legs) {
    scene.reset();
    scene = std::make_unique<Scene>(SceneOptions{.legs = legs, .packet_class = packet_class});
    of_class = packet_class;
  }
  return *scene;
}

void WorkerBurst(benchmark::State& state, PacketClass packet_class, bool warm) {
  constexpr uint32_t kBurst = Scene::kBurst;
  Scene& scene = SceneFor(packet_class, static_cast<uint32_t>(state.range(0)));
  std::array<rte_mbuf*, kBurst> mbufs;
  if (rte_pktmbuf_alloc_bulk(scene.pool(), mbufs.data(), kBurst) != 0) {
    state.SkipWithError("no packets");
    return;
  }
  std::minstd_rand random(1);
  std::array<uint32_t, kBurst> legs;
  const auto draw = [&] {
    for (uint32_t& leg : legs) leg = static_cast<uint32_t>(random()) % scene.legs();
  };
  draw();
  const double seconds_per_cycle = 1.0 / static_cast<double>(rte_get_tsc_hz());
  std::vector<uint32_t> cycles;
  cycles.reserve(1 << 20);
  static uint64_t now_ms = Scene::kNowMs;  // never back: budgets are kept by time
  for (auto _ : state) {
    if (!warm) draw();
    scene.Fill(mbufs.data(), legs.data(), kBurst);
    now_ms += packet_class == PacketClass::kBinding ? 1000 : 0;  // its budget
    const uint64_t begin = rte_rdtsc_precise();
    scene.forwarder().Process(mbufs.data(), kBurst, now_ms);
    const uint64_t took = rte_rdtsc_precise() - begin;
    scene.Verify(legs.data(), kBurst);
    scene.Clear();
    cycles.push_back(static_cast<uint32_t>(took));
    state.SetIterationTime(static_cast<double>(took) * seconds_per_cycle);
  }
  rte_pktmbuf_free_bulk(mbufs.data(), kBurst);
  std::nth_element(cycles.begin(), cycles.begin() + cycles.size() / 2, cycles.end());
  state.counters["cycles"] = static_cast<double>(cycles[cycles.size() / 2]) / kBurst;
  state.counters["table_bytes_per_leg"] = scene.table_bytes_per_leg();
  state.SetItemsProcessed(static_cast<int64_t>(state.iterations()) * kBurst);
}

// Before main(): as BENCHMARK() does it.
const bool registered = [] {
  const std::pair<const char*, PacketClass> classes[] = {
      {"fused", PacketClass::kFused},
      {"channel_to_peer", PacketClass::kChannelToPeer},
      {"peer_to_channel", PacketClass::kPeerToChannel},
      {"send_to_peer", PacketClass::kSendToPeer},
      {"peer_to_data", PacketClass::kPeerToData},
      {"binding", PacketClass::kBinding},
  };
  for (const auto& [name, packet_class] : classes) {
    for (const int64_t legs : {1000, 10'000, 65'536, 1'048'576}) {
      if (packet_class == PacketClass::kBinding && legs != 1000) continue;  // it looks nothing up
      for (const bool warm : {false, true}) {
        benchmark::RegisterBenchmark(
            fmt::format("worker/{}/{}", name, warm ? "warm" : "random").c_str(),
            [packet_class = packet_class, warm](benchmark::State& state) {
              WorkerBurst(state, packet_class, warm);
            })
            ->Arg(legs)
            ->UseManualTime()
            ->Iterations(20'000);
      }
    }
  }
  return true;
}();

}  // namespace
}  // namespace sotto::bench
