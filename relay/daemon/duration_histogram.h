// SPDX-License-Identifier: Apache-2.0
// How long something took, for Prometheus: counts in buckets whose bounds double, from 125
// microseconds to two seconds, and everything beyond. One thread records, any thread reads.
#pragma once

#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace sotto {

class MetricFamilies;

class DurationHistogram {
 public:
  static constexpr size_t kBuckets = 16;  // the last has no upper bound
  static constexpr std::chrono::microseconds kFirstBound{125};

  void Record(std::chrono::nanoseconds took) {
    size_t bucket = 0;
    while (bucket + 1 < kBuckets && took > UpperBound(bucket)) ++bucket;
    Add(counts_[bucket], 1);
    Add(sum_ns_, static_cast<uint64_t>(took.count() > 0 ? took.count() : 0));
  }

  // As a family of `families`.
  void Collect(MetricFamilies& families, std::string_view name, std::string_view help) const;

 private:
  static constexpr std::chrono::nanoseconds UpperBound(size_t bucket) {
    return kFirstBound * (int64_t{1} << bucket);
  }
  // With one writer, cheaper than fetch_add.
  static void Add(std::atomic<uint64_t>& to, uint64_t value) {
    to.store(to.load(std::memory_order_relaxed) + value, std::memory_order_relaxed);
  }

  // The recording thread writes, any reads.
  std::array<std::atomic<uint64_t>, kBuckets> counts_ = {};
  std::atomic<uint64_t> sum_ns_ = 0;
};

}  // namespace sotto
