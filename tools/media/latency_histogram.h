// SPDX-License-Identifier: Apache-2.0
// A histogram of durations with a bounded relative error, in the manner of HdrHistogram.
//
// Values below 256 ns are exact; above, each power of two is divided into 128 buckets, so that a
// percentile is too high by less than 1/128 (0.8 %). Minimum and maximum are exact. 61 KiB, no
// allocation per value. One thread.
#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstdint>
#include <memory>

namespace sotto::tools {

class LatencyHistogram {
 public:
  void Record(uint64_t ns) {
    ++(*buckets_)[BucketOf(ns)];
    ++count_;
    min_ = std::min(min_, ns);
    max_ = std::max(max_, ns);
  }

  void Merge(const LatencyHistogram& other) {
    for (size_t i = 0; i < kBuckets; ++i) (*buckets_)[i] += (*other.buckets_)[i];
    count_ += other.count_;
    min_ = std::min(min_, other.min_);
    max_ = std::max(max_, other.max_);
  }

  uint64_t count() const { return count_; }
  uint64_t min() const { return count_ == 0 ? 0 : min_; }
  uint64_t max() const { return max_; }

  // The least value that `percent` (0 to 100) of the values don't exceed, rounded up to the end of
  // its bucket; 0 if there are none.
  uint64_t Percentile(double percent) const {
    if (count_ == 0) return 0;
    const uint64_t rank = std::clamp<uint64_t>(
        static_cast<uint64_t>(std::ceil(percent / 100 * static_cast<double>(count_))), 1, count_);
    uint64_t seen = 0;
    for (size_t i = 0; i < kBuckets; ++i) {
      seen += (*buckets_)[i];
      if (seen >= rank) return std::clamp(LastValueOf(i), min_, max_);
    }
    return max_;
  }

 private:
  static constexpr unsigned kSubBits = 7;
  static constexpr size_t kBuckets = (64 - kSubBits + 1) << kSubBits;

  static size_t BucketOf(uint64_t value) {
    const unsigned width = static_cast<unsigned>(std::bit_width(value));
    const unsigned shift = width > kSubBits + 1 ? width - kSubBits - 1 : 0;
    return (size_t{shift} << kSubBits) + (value >> shift);
  }
  static uint64_t LastValueOf(size_t bucket) {
    if (bucket < size_t{2} << kSubBits) return bucket;
    const size_t shift = (bucket >> kSubBits) - 1;
    const uint64_t mantissa = (bucket & ((size_t{1} << kSubBits) - 1)) | (size_t{1} << kSubBits);
    return ((mantissa + 1) << shift) - 1;
  }

  std::unique_ptr<std::array<uint64_t, kBuckets>> buckets_ =
      std::make_unique<std::array<uint64_t, kBuckets>>();
  uint64_t count_ = 0;
  uint64_t min_ = UINT64_MAX;
  uint64_t max_ = 0;
};

}  // namespace sotto::tools
