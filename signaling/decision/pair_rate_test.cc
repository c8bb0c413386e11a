// SPDX-License-Identifier: Apache-2.0
#include "signaling/decision/pair_rate.h"

#include <gtest/gtest.h>

#include <string>

namespace sotto::signaling {
namespace {

AccountId Account(std::string_view name) { return *AccountId::Parse(name); }

TEST(PairRateTest, CountsEachPairInWindows) {
  PairRate rate(2, 10);
  const AccountId a = Account("a"), b = Account("b"), ab = Account("ab");
  EXPECT_TRUE(rate.Take(a, b, 100));
  EXPECT_TRUE(rate.Take(a, b, 105));
  EXPECT_FALSE(rate.Take(a, b, 109));
  EXPECT_TRUE(rate.Take(b, a, 109));
  EXPECT_TRUE(rate.Take(a, ab, 109));
  EXPECT_TRUE(rate.Take(a, b, 110));
}

TEST(PairRateTest, AClockSetBackBeginsAWindow) {
  PairRate rate(1, 10);
  EXPECT_TRUE(rate.Take(Account("a"), Account("b"), 1000));
  EXPECT_TRUE(rate.Take(Account("a"), Account("b"), 500));
  EXPECT_FALSE(rate.Take(Account("a"), Account("b"), 509));
}

TEST(PairRateTest, IsBoundedAndForgetsTheOldestWindow) {
  PairRate rate(1, 1000, /*max_pairs=*/10);
  for (int i = 0; i < 11; ++i) EXPECT_TRUE(rate.Take(Account("a"), Account(std::to_string(i)), i));
  EXPECT_FALSE(rate.Take(Account("a"), Account("1"), 20));
  EXPECT_FALSE(rate.Take(Account("a"), Account("10"), 20));
  EXPECT_TRUE(rate.Take(Account("a"), Account("0"), 20));
}

TEST(PairRateTest, TakesBackWhatWasntCommitted) {
  PairRate rate(2, 1000);
  const AccountId a = Account("a"), b = Account("b"), c = Account("c");
  EXPECT_TRUE(rate.Take(a, b, 1));
  rate.Committed();
  EXPECT_TRUE(rate.Take(a, b, 2));
  EXPECT_FALSE(rate.Take(a, b, 2));
  EXPECT_TRUE(rate.Take(a, c, 2));
  EXPECT_TRUE(rate.Take(a, b, 5000));  // in a new window
  rate.RolledBack();
  EXPECT_TRUE(rate.Take(a, b, 3));
  EXPECT_FALSE(rate.Take(a, b, 3));
  EXPECT_TRUE(rate.Take(a, c, 3));
  EXPECT_TRUE(rate.Take(a, c, 3));
}

}  // namespace
}  // namespace sotto::signaling
