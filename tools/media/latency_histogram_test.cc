// SPDX-License-Identifier: Apache-2.0
#include "tools/media/latency_histogram.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <vector>

namespace sotto::tools {
namespace {

TEST(LatencyHistogramTest, EmptyIsAllZero) {
  const LatencyHistogram histogram;
  EXPECT_EQ(histogram.count(), 0u);
  EXPECT_EQ(histogram.min(), 0u);
  EXPECT_EQ(histogram.max(), 0u);
  EXPECT_EQ(histogram.Percentile(99), 0u);
}

TEST(LatencyHistogramTest, SmallValuesAreExact) {
  LatencyHistogram histogram;
  for (uint64_t v = 1; v <= 100; ++v) histogram.Record(v);
  EXPECT_EQ(histogram.Percentile(0), 1u);
  EXPECT_EQ(histogram.Percentile(50), 50u);
  EXPECT_EQ(histogram.Percentile(99), 99u);
  EXPECT_EQ(histogram.Percentile(99.5), 100u);
  EXPECT_EQ(histogram.Percentile(100), 100u);
}

// Against sorting, over all magnitudes: never too low, and too high by less than 1/128.
TEST(LatencyHistogramTest, PercentilesKeepTheirPrecision) {
  std::mt19937_64 random(1);
  for (int round = 0; round < 200; ++round) {
    LatencyHistogram histogram;
    std::vector<uint64_t> values(1 + random() % 500);
    for (uint64_t& value : values) {
      value = random() >> (random() % 64);
      histogram.Record(value);
    }
    std::sort(values.begin(), values.end());
    for (const double percent : {0.0, 1.0, 25.0, 50.0, 90.0, 99.0, 99.9, 100.0}) {
      const size_t rank = std::max<size_t>(
          1, static_cast<size_t>(std::ceil(percent / 100 * static_cast<double>(values.size()))));
      const uint64_t exact = values[rank - 1];
      const uint64_t measured = histogram.Percentile(percent);
      ASSERT_GE(measured, exact);
      ASSERT_LE(measured - exact, exact / 128) << exact;
    }
    EXPECT_EQ(histogram.min(), values.front());
    EXPECT_EQ(histogram.max(), values.back());
  }
}

TEST(LatencyHistogramTest, TakesTheLargestValue) {
  LatencyHistogram histogram;
  histogram.Record(UINT64_MAX);
  EXPECT_EQ(histogram.Percentile(50), UINT64_MAX);
}

TEST(LatencyHistogramTest, MergeIsAsIfRecordedInOne) {
  LatencyHistogram a, b, both;
  for (uint64_t v = 0; v < 5000; ++v) {
    (v % 3 == 0 ? a : b).Record(v * 37);
    both.Record(v * 37);
  }
  a.Merge(b);
  EXPECT_EQ(a.count(), both.count());
  EXPECT_EQ(a.min(), both.min());
  EXPECT_EQ(a.max(), both.max());
  for (const double percent : {1.0, 50.0, 99.0}) {
    EXPECT_EQ(a.Percentile(percent), both.Percentile(percent));
  }
  LatencyHistogram empty;
  empty.Merge(a);
  EXPECT_EQ(empty.min(), a.min());
}

}  // namespace
}  // namespace sotto::tools
