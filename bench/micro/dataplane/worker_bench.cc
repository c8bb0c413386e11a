// SPDX-License-Identifier: Apache-2.0
// The worker's whole work on a burst, without ports: parse, look up, rewrite, queue.
//
// For each class of packet, by the number of legs and how packets arrive:
//   warm     the same 32 legs again and again
//   random   each packet from another leg: at many legs, no record is in a cache
//   cold     the same, and all caches are emptied before each burst, of tables and of code; the
//            packets themselves are in a cache, as a port that has just received them leaves them
// `cycles` are TSC cycles a packet, the median of bursts; Google Benchmark's own time is that of
// Process() alone. Every packet that comes out is checked.
#include <benchmark/benchmark.h>
#include <fmt/format.h>
#include <rte_cycles.h>
#include <rte_launch.h>
#include <rte_lcore.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <memory>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "bench/micro/dataplane/scene.h"
#include "dataplane/observe/capture.h"
#include "dataplane/worker/captured_burst.h"

namespace sotto::bench {
namespace {

constexpr uint32_t kBurst = Scene::kBurst;

enum class ArrivalOrder : uint8_t { kWarm, kRandom, kCold };

// Building a million legs takes longer than forwarding for them.
Scene& SceneFor(const SceneOptions& wanted) {
  static std::unique_ptr<Scene> scene;
  static SceneOptions built_for;
  if (scene == nullptr || built_for != wanted) {
    scene.reset();
    scene = std::make_unique<Scene>(wanted);
    built_for = wanted;
  }
  return *scene;
}

// Puts something else into every line of every cache of this core, the last level's included.
void EvictCaches() {
  static std::vector<uint8_t> other = [] {
    constexpr long kUnknown = 64 << 20;
    const long last_level = sysconf(_SC_LEVEL3_CACHE_SIZE);
    return std::vector<uint8_t>(2 * static_cast<size_t>(last_level > 0 ? last_level : kUnknown));
  }();
  for (size_t i = 0; i < other.size(); i += 64) ++other[i];
  benchmark::ClobberMemory();
}

// `share` of the values are below it.
double Quantile(std::vector<double>& values, double share) {
  const auto at =
      values.begin() + static_cast<ptrdiff_t>(share * static_cast<double>(values.size()));
  std::nth_element(values.begin(), at, values.end());
  return *at;
}

void WorkerBurst(benchmark::State& state, SceneOptions options, ArrivalOrder order) {
  options.legs = static_cast<uint32_t>(state.range(0));
  const PacketClass packet_class = options.packet_class;
  Scene& scene = SceneFor(options);
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
  std::vector<double> cycles;
  cycles.reserve(static_cast<size_t>(state.max_iterations));
  static uint64_t now_ms = Scene::kNowMs;  // never back: budgets are kept by time
  for (auto _ : state) {
    if (order != ArrivalOrder::kWarm) draw();
    if (order == ArrivalOrder::kCold) EvictCaches();
    scene.Fill(mbufs.data(), legs.data(), kBurst);
    now_ms += packet_class == PacketClass::kBinding ? 1000 : 0;  // its budget
    const uint64_t begin = rte_rdtsc_precise();
    scene.forwarder().Process(mbufs.data(), kBurst, now_ms);
    const uint64_t took = rte_rdtsc_precise() - begin;
    scene.Verify(legs.data(), kBurst);
    scene.Clear();
    cycles.push_back(static_cast<double>(took) / kBurst);
    state.SetIterationTime(static_cast<double>(took) * seconds_per_cycle);
  }
  rte_pktmbuf_free_bulk(mbufs.data(), kBurst);
  state.counters["cycles"] = Quantile(cycles, 0.5);
  state.counters["table_bytes_per_leg"] = scene.table_bytes_per_leg();
  state.SetItemsProcessed(static_cast<int64_t>(state.iterations()) * kBurst);
}

// What a capture of everything costs a worker that is busy all the time: turns with one and turns
// without. The worker's own time is what its budget counts.
void WorkerCapture(benchmark::State& state, bool payload) {
  const SceneOptions options = {.legs = static_cast<uint32_t>(state.range(0))};
  Scene& scene = SceneFor(options);
  dataplane::CaptureTap tap;
  dataplane::PacketCapture capture(
      {&tap}, {{0, "port"}}, 1514,
      {.now = [] { return dataplane::CaptureMoment{.tick = rte_rdtsc()}; },
       .hz = rte_get_tsc_hz()});
  const auto session =
      capture.Start({.max_packets = UINT32_MAX, .max_seconds = UINT32_MAX, .payload = payload});
  std::array<rte_mbuf*, kBurst> mbufs;
  if (!session.ok() || rte_pktmbuf_alloc_bulk(scene.pool(), mbufs.data(), kBurst) != 0) {
    state.SkipWithError("no packets");
    return;
  }
  std::minstd_rand random(1);
  std::array<uint32_t, kBurst> legs;
  const uint64_t cycles_per_ms = rte_get_tsc_hz() / 1000;
  std::string read;
  std::array<std::vector<double>, 2> turns;  // cycles of each; [1]: with the capture
  constexpr uint64_t kTurn = 2048;           // some milliseconds, as budgets are by the millisecond
  double captured_cycles = 0, turn_cycles = 0;
  uint64_t burst = 0;
  for (auto _ : state) {
    const bool captured = burst++ / kTurn % 2 != 0;
    for (uint32_t& leg : legs) leg = static_cast<uint32_t>(random()) % scene.legs();
    scene.Fill(mbufs.data(), legs.data(), kBurst);
    const uint64_t now_ms = Scene::kNowMs + static_cast<uint64_t>(captured_cycles) / cycles_per_ms;
    const uint64_t begin = rte_rdtsc_precise();
    if (captured) {
      dataplane::CapturedBurst looked_at(tap, scene.forwarder(), begin, now_ms);
      looked_at.Add(mbufs.data(), kBurst, dataplane::CaptureDirection::kReceived);
      scene.forwarder().Process(mbufs.data(), kBurst, now_ms);
      for (const auto& queue : scene.forwarder().transmit()) {
        looked_at.Add(queue.data(), queue.size(), dataplane::CaptureDirection::kSent);
      }
    } else {
      scene.forwarder().Process(mbufs.data(), kBurst, now_ms);
    }
    const uint64_t took = rte_rdtsc_precise() - begin;
    turn_cycles += static_cast<double>(took);
    if (captured) captured_cycles += static_cast<double>(took);
    scene.Verify(legs.data(), kBurst);
    scene.Clear();
    state.SetIterationTime(static_cast<double>(took) / static_cast<double>(rte_get_tsc_hz()));
    // The reader, on a core of its own as far as this is concerned.
    if (burst % kTurn == 0) {
      turns[captured].push_back(std::exchange(turn_cycles, 0));
      while ((*session)->Read(read) == dataplane::CaptureSession::State::kMore) read.clear();
      read.clear();
    }
  }
  rte_pktmbuf_free_bulk(mbufs.data(), kBurst);
  state.counters["with_over_without"] = Quantile(turns[1], 0.5) / Quantile(turns[0], 0.5);
  state.counters["captured"] = static_cast<double>((*session)->packets());
  state.counters["missed"] = static_cast<double>((*session)->missed());
}
BENCHMARK_CAPTURE(WorkerCapture, headers, false)
    ->Name("worker/capture/headers")
    ->Arg(1000)
    ->Arg(1'048'576)
    ->UseManualTime()
    ->Iterations(600'000);
BENCHMARK_CAPTURE(WorkerCapture, payload, true)
    ->Name("worker/capture/payload")
    ->Arg(1000)
    ->UseManualTime()
    ->Iterations(600'000);

// A worker of two: its own packets of its own calls, forwarded when told.
class Runner {
 public:
  static constexpr uint32_t kPackets = 64 * kBurst;

  Runner(Scene& scene, uint32_t worker)
      : scene_(scene), worker_(worker), random_(worker + 1), mbufs_(kPackets), legs_(kPackets) {
    ready_ = rte_pktmbuf_alloc_bulk(scene.pool(), mbufs_.data(), kPackets) == 0;
  }
  ~Runner() {
    if (ready_) rte_pktmbuf_free_bulk(mbufs_.data(), kPackets);
  }
  Runner(const Runner&) = delete;
  Runner& operator=(const Runner&) = delete;

  bool ready() const { return ready_; }

  void Prepare() {
    const uint32_t calls = scene_.legs() / 2;
    for (uint32_t& leg : legs_) {
      const uint32_t call = static_cast<uint32_t>(random_()) % calls / scene_.workers();
      leg = 2 * (call * scene_.workers() + worker_) + static_cast<uint32_t>(random_()) % 2;
    }
    scene_.Fill(mbufs_.data(), legs_.data(), kPackets);
  }
  void Forward() {
    for (uint32_t i = 0; i < kPackets; i += kBurst) {
      scene_.forwarder(worker_).Process(&mbufs_[i], kBurst, Scene::kNowMs);
    }
    ended = rte_rdtsc_precise();
  }
  void Check() {
    scene_.Verify(legs_.data(), kPackets, worker_);
    scene_.Clear(worker_);
  }

  uint64_t ended = 0;  // by the TSC, which all cores share

 private:
  Scene& scene_;
  const uint32_t worker_;
  std::minstd_rand random_;
  std::vector<rte_mbuf*> mbufs_;
  std::vector<uint32_t> legs_;
  bool ready_ = false;
};

// Two workers on cores of their own, with the same tables, beside one of them alone: turn by turn,
// in one run. A round's time is that of the slower worker. Rates are those of which one round in
// ten is faster: with both cores in use, whatever else the machine does stops one of the workers.
void TwoWorkers(benchmark::State& state) {
  const unsigned lcore = rte_get_next_lcore(-1, 1, 0);
  if (lcore == RTE_MAX_LCORE) return state.SkipWithError("there is one core");
  Scene& scene = SceneFor({.legs = static_cast<uint32_t>(state.range(0)), .workers = 2});
  Runner first(scene, 0);
  struct Second {
    Runner runner;
    // Rounds that this thread has asked for, and that the other has begun and ended.
    std::atomic<uint64_t> wanted = 0;
    std::atomic<uint64_t> prepared = 0;
    std::atomic<uint64_t> start = 0;
    std::atomic<uint64_t> done = 0;
    std::atomic<bool> stop = false;
  } second{.runner = Runner(scene, 1)};
  if (!first.ready() || !second.runner.ready()) return state.SkipWithError("no packets");
  const auto run = [](void* argument) {
    Second& s = *static_cast<Second*>(argument);
    for (uint64_t round = 1;; ++round) {
      while (s.wanted.load() < round) {
        if (s.stop.load()) return 0;
      }
      s.runner.Prepare();
      s.prepared.store(round);
      while (s.start.load() < round) continue;
      s.runner.Forward();
      s.runner.Check();
      s.done.store(round);
    }
  };
  if (rte_eal_remote_launch(run, &second, lcore) != 0) return state.SkipWithError("lcore busy");
  std::vector<double> one;
  std::vector<double> two;
  uint64_t round = 0;
  for (auto _ : state) {
    first.Prepare();
    uint64_t begin = rte_rdtsc_precise();
    first.Forward();
    one.push_back(static_cast<double>(first.ended - begin));
    first.Check();

    second.wanted.store(++round);
    first.Prepare();
    while (second.prepared.load() < round) continue;
    second.start.store(round);
    begin = rte_rdtsc_precise();
    first.Forward();
    first.Check();
    while (second.done.load() < round) continue;
    const uint64_t took = std::max(first.ended, second.runner.ended) - begin;
    two.push_back(static_cast<double>(took));
    state.SetIterationTime(static_cast<double>(took) / static_cast<double>(rte_get_tsc_hz()));
  }
  second.stop.store(true);
  rte_eal_wait_lcore(lcore);
  constexpr double kUndisturbed = 0.1;
  const double one_cycles = Quantile(one, kUndisturbed);
  const double two_cycles = Quantile(two, kUndisturbed);
  const double hz = static_cast<double>(rte_get_tsc_hz());
  state.counters["one_pps"] = Runner::kPackets * hz / one_cycles;
  state.counters["two_pps"] = 2 * Runner::kPackets * hz / two_cycles;
  state.counters["two_over_one"] = 2 * one_cycles / two_cycles;
  state.SetItemsProcessed(static_cast<int64_t>(state.iterations()) * 2 * Runner::kPackets);
}
BENCHMARK(TwoWorkers)
    ->Name("worker/two_workers")
    ->Arg(1000)
    ->Arg(10'000)
    ->Arg(65'536)
    ->Arg(1'048'576)
    ->UseManualTime()
    ->Iterations(1000);

// Before main(): as BENCHMARK() does it.
const bool registered = [] {
  const std::pair<const char*, SceneOptions> scenes[] = {
      {"fused", {.packet_class = PacketClass::kFused}},
      {"fused_with_rates", {.packet_class = PacketClass::kFused, .rates = true}},
      {"channel_to_peer", {.packet_class = PacketClass::kChannelToPeer}},
      {"peer_to_channel", {.packet_class = PacketClass::kPeerToChannel}},
      {"peer_to_channel_with_rates", {.packet_class = PacketClass::kPeerToChannel, .rates = true}},
      {"send_to_peer", {.packet_class = PacketClass::kSendToPeer}},
      {"peer_to_data", {.packet_class = PacketClass::kPeerToData}},
      {"binding", {.packet_class = PacketClass::kBinding}},
  };
  struct Order {
    const char* name;
    ArrivalOrder order;
    int64_t bursts;
  };
  const Order orders[] = {{"random", ArrivalOrder::kRandom, 20'000},
                          {"warm", ArrivalOrder::kWarm, 20'000},
                          {"cold", ArrivalOrder::kCold, 200}};
  for (const auto& [name, scene] : scenes) {
    for (const int64_t legs : {1000, 10'000, 65'536, 1'048'576}) {
      for (const Order& order : orders) {
        benchmark::RegisterBenchmark(fmt::format("worker/{}/{}", name, order.name).c_str(),
                                     [scene = scene, order](benchmark::State& state) {
                                       WorkerBurst(state, scene, order.order);
                                     })
            ->Arg(legs)
            ->UseManualTime()
            ->Iterations(order.bursts);
      }
    }
  }
  return true;
}();

}  // namespace
}  // namespace sotto::bench
