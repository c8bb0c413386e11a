// SPDX-License-Identifier: Apache-2.0
#include "relay/base/random.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <set>
#include <vector>

namespace sotto {
namespace {

TEST(Random, NeverRepeatsAcrossBlocks) {
  Random random;
  std::set<uint64_t> seen;
  for (int i = 0; i < 10'000; ++i) seen.insert(random.U64());
  EXPECT_EQ(seen.size(), 10'000u);
}

TEST(Random, TwoSourcesDiffer) {
  Random a;
  Random b;
  EXPECT_NE(a.U64(), b.U64());
}

TEST(Random, FillsEveryByteOfALargeBuffer) {
  Random random;
  std::vector<uint8_t> all(100, 0);
  // A byte that is never written stays zero in each of the rounds.
  for (int round = 0; round < 16; ++round) {
    std::vector<uint8_t> bytes(5000, 0);
    random.Fill(bytes);
    for (size_t i = 0; i < bytes.size(); ++i) all[i / 50] |= bytes[i];
  }
  EXPECT_EQ(std::ranges::count(all, 0), 0);
}

TEST(Random, BelowReachesEveryValueAboutEquallyOften) {
  Random random;
  std::array<int, 7> counts = {};
  for (int i = 0; i < 70'000; ++i) ++counts.at(random.Below(7));
  for (int count : counts) EXPECT_NEAR(count, 10'000, 600);  // six standard deviations
  EXPECT_EQ(random.Below(1), 0u);
}

}  // namespace
}  // namespace sotto
