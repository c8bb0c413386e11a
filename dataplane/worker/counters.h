// SPDX-License-Identifier: Apache-2.0
// What one worker has counted since it started. The worker is the only writer; any thread may read,
// and sums over the workers itself. Reads of different counters are not one moment.
#pragma once

#include <array>
#include <atomic>
#include <bit>
#include <cstddef>
#include <cstdint>

#include "dataplane/packet/drop_reason.h"
#include "dataplane/worker/packet_path.h"

namespace sotto::dataplane {

class Counter {
 public:
  // The writer alone: no locked instruction.
  void Add(uint64_t n) {
    value_.store(value_.load(std::memory_order_relaxed) + n, std::memory_order_relaxed);
  }
  uint64_t Read() const { return value_.load(std::memory_order_relaxed); }

 private:
  std::atomic<uint64_t> value_ = 0;
};

// Packets by the time that the relay had them, in buckets of four to each power of two of
// nanoseconds: a percentile read from it is at most a quarter too high. The writer alone records.
class LatencyHistogram {
 public:
  // What is below 64 ns, four buckets for each octave from there to 2^30 ns, and what is above.
  static constexpr int kFirstOctave = 6;
  static constexpr int kLastOctave = 30;
  static constexpr size_t kBuckets = 4 * (kLastOctave - kFirstOctave) + 2;

  static constexpr size_t BucketOf(uint64_t ns) {
    const int octave = std::bit_width(ns) - 1;
    if (octave < kFirstOctave) return 0;
    if (octave >= kLastOctave) return kBuckets - 1;
    return 1 + 4 * static_cast<size_t>(octave - kFirstOctave) + ((ns >> (octave - 2)) & 3);
  }
  // Everything in the bucket took less; UINT64_MAX for the last.
  static constexpr uint64_t UpperNs(size_t bucket) {
    if (bucket + 1 >= kBuckets) return UINT64_MAX;
    return (4 + bucket % 4) << (kFirstOctave - 2 + bucket / 4);
  }

  void Record(uint64_t ns, uint64_t packets) {
    packets_[BucketOf(ns)].Add(packets);
    sum_ns_.Add(ns * packets);
  }
  uint64_t Packets(size_t bucket) const { return packets_[bucket].Read(); }
  uint64_t sum_ns() const { return sum_ns_.Read(); }

 private:
  std::array<Counter, kBuckets> packets_;
  Counter sum_ns_;
};

// Receive bursts by how many packets they brought: 1, 2, up to 4, 8, 16 and 32.
constexpr size_t kBurstFills = 6;
constexpr size_t BurstFillOf(uint32_t packets) {
  return static_cast<size_t>(std::bit_width(packets - 1));
}
constexpr uint32_t BurstFillUpper(size_t fill) { return 1u << fill; }

struct alignas(64) WorkerCounters {
  Counter rx_packets;
  Counter rx_bytes;
  Counter tx_packets;
  Counter tx_bytes;
  Counter polls;
  Counter empty_polls;
  Counter busy_cycles;  // of the TSC, in rounds that had packets
  Counter idle_cycles;  // in those that had none, sleep included
  std::array<Counter, kBurstFills> bursts;
  // From the poll that a burst came by until all of it is handed to a port, to control, or dropped.
  LatencyHistogram latency;
  std::array<Counter, kCountOf<PacketPath>> paths;
  std::array<Counter, kCountOf<DropReason>> drops;
};

}  // namespace sotto::dataplane
