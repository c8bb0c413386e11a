// SPDX-License-Identifier: Apache-2.0
#include "dataplane/worker/counters.h"

#include <gtest/gtest.h>

namespace sotto::dataplane {
namespace {

TEST(LatencyHistogramTest, EachTimeIsInTheBucketWhoseBoundsItIsBetween) {
  for (uint64_t ns : {0ul, 1ul, 63ul, 64ul, 79ul, 80ul, 127ul, 128ul, 1000ul, 1'000'000ul,
                      (1ul << 30) - 1, 1ul << 30, 1ul << 40, UINT64_MAX}) {
    const size_t bucket = LatencyHistogram::BucketOf(ns);
    ASSERT_LT(bucket, LatencyHistogram::kBuckets) << ns;
    if (bucket > 0) {
      EXPECT_GE(ns, LatencyHistogram::UpperNs(bucket - 1)) << ns;
    }
    if (bucket + 1 < LatencyHistogram::kBuckets) {
      EXPECT_LT(ns, LatencyHistogram::UpperNs(bucket)) << ns;
    }
  }
}

TEST(LatencyHistogramTest, BoundsGrowByAQuarterAtMost) {
  EXPECT_EQ(LatencyHistogram::UpperNs(0), 64u);
  for (size_t i = 1; i + 1 < LatencyHistogram::kBuckets; ++i) {
    EXPECT_GT(LatencyHistogram::UpperNs(i), LatencyHistogram::UpperNs(i - 1)) << i;
    EXPECT_LE(4 * LatencyHistogram::UpperNs(i), 5 * LatencyHistogram::UpperNs(i - 1)) << i;
  }
  EXPECT_EQ(LatencyHistogram::UpperNs(LatencyHistogram::kBuckets - 2), 1ul << 30);
  EXPECT_EQ(LatencyHistogram::UpperNs(LatencyHistogram::kBuckets - 1), UINT64_MAX);
}

TEST(LatencyHistogramTest, ABurstWeighsAsManyPackets) {
  LatencyHistogram histogram;
  histogram.Record(100, 32);
  histogram.Record(120, 1);
  EXPECT_EQ(histogram.Packets(LatencyHistogram::BucketOf(100)), 32u);
  EXPECT_EQ(histogram.Packets(LatencyHistogram::BucketOf(120)), 1u);
  EXPECT_EQ(histogram.sum_ns(), 3320u);
}

TEST(BurstFillTest, EachCountIsUnderItsUpperBoundAndAboveTheOneBefore) {
  for (uint32_t packets = 1; packets <= 32; ++packets) {
    const size_t fill = BurstFillOf(packets);
    ASSERT_LT(fill, kBurstFills) << packets;
    EXPECT_LE(packets, BurstFillUpper(fill));
    if (fill > 0) {
      EXPECT_GT(packets, BurstFillUpper(fill - 1));
    }
  }
}

}  // namespace
}  // namespace sotto::dataplane
