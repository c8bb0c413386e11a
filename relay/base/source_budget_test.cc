// SPDX-License-Identifier: Apache-2.0
#include "relay/base/source_budget.h"

#include <gtest/gtest.h>

namespace sotto {
namespace {

IpAddress Ip(std::string_view text) { return IpAddress::Parse(text).value(); }

constexpr uint64_t kKey = 0x5eed5eed5eed5eed;

TEST(SourceBudgetTest, SpendsTheBurstAndThenTheRate) {
  SourceBudget budget(100, 250, kKey);
  const IpAddress source = Ip("192.0.2.1");
  EXPECT_TRUE(budget.Spend(source, 200, 1000));
  EXPECT_FALSE(budget.Spend(source, 51, 1000)) << "50 are left";
  EXPECT_TRUE(budget.Spend(source, 50, 1000)) << "a refusal takes nothing";
  EXPECT_FALSE(budget.Spend(source, 1, 1009)) << "0.9 tokens came in";
  EXPECT_TRUE(budget.Spend(source, 1, 1010));
  EXPECT_TRUE(budget.Spend(source, 100, 2010));
  EXPECT_FALSE(budget.Spend(source, 1, 2010));
}

TEST(SourceBudgetTest, ANewRateHoldsFromThenOn) {
  SourceBudget budget(100, 250, kKey);
  const IpAddress source = Ip("192.0.2.1");
  EXPECT_TRUE(budget.Spend(source, 50, 1000));
  budget.SetRate(10, 20);
  EXPECT_FALSE(budget.Spend(source, 21, 1001));
  EXPECT_TRUE(budget.Spend(source, 20, 1001));
  EXPECT_FALSE(budget.Spend(source, 11, 2001));
  EXPECT_TRUE(budget.Spend(source, 10, 2001));
  budget.SetRate(1000, 2000);
  EXPECT_TRUE(budget.Spend(source, 1000, 3001));
  EXPECT_TRUE(budget.Spend(Ip("203.0.113.1"), 2000, 3001));
}

TEST(SourceBudgetTest, NeverHoldsMoreThanTheBurst) {
  SourceBudget budget(100, 250, kKey);
  const IpAddress source = Ip("192.0.2.1");
  EXPECT_TRUE(budget.Spend(source, 250, 0));
  const uint64_t later = uint64_t{1} << 62;
  EXPECT_FALSE(budget.Spend(source, 251, later));
  EXPECT_TRUE(budget.Spend(source, 250, later));
  EXPECT_FALSE(budget.Spend(source, 1, later));
}

TEST(SourceBudgetTest, LargestRateAndBurstDoNotOverflow) {
  SourceBudget budget(UINT32_MAX, UINT32_MAX, kKey);
  const IpAddress source = Ip("192.0.2.1");
  EXPECT_TRUE(budget.Spend(source, UINT32_MAX, 5));
  EXPECT_FALSE(budget.Spend(source, 1, 5));
  EXPECT_TRUE(budget.Spend(source, UINT32_MAX, UINT64_MAX));
  EXPECT_FALSE(budget.Spend(source, 1, UINT64_MAX));
}

TEST(SourceBudgetTest, AClockThatStepsBackGivesNothing) {
  SourceBudget budget(100, 100, kKey);
  const IpAddress source = Ip("192.0.2.1");
  EXPECT_TRUE(budget.Spend(source, 100, 10'000));
  EXPECT_FALSE(budget.Spend(source, 1, 0));
  EXPECT_FALSE(budget.Spend(source, 1, 10'000)) << "the way back up isn't counted twice";
  EXPECT_TRUE(budget.Spend(source, 100, 11'000));
}

TEST(SourceBudgetTest, APrefixSharesOneBudgetAndItsNeighbourHasItsOwn) {
  const struct {
    std::string_view first, same, other;
  } kCases[] = {
      {"192.0.2.1", "192.0.2.255", "192.0.3.1"},
      {"2001:db8:1:200::1", "2001:db8:1:2ff:ffff::", "2001:db8:1:300::1"},
      {"10.0.0.1", "10.0.0.2", "a00::1"},
  };
  for (const auto& c : kCases) {
    SourceBudget budget(1, 10, kKey);
    EXPECT_TRUE(budget.Spend(Ip(c.first), 10, 0));
    EXPECT_FALSE(budget.Spend(Ip(c.same), 1, 0)) << c.same;
    EXPECT_TRUE(budget.Spend(Ip(c.other), 10, 0)) << c.other;
  }
}

// Which prefixes meet in a bucket depends on the key: a set that collides under one doesn't under
// another.
TEST(SourceBudgetTest, CollisionsDependOnTheKey) {
  const auto colliding = [](uint64_t key) {
    SourceBudget budget(1, 1, key, 256);
    std::vector<int> result;
    for (int i = 0; i < 512; ++i) {
      const IpAddress source =
          IpAddress::V4(10, static_cast<uint8_t>(i / 256), static_cast<uint8_t>(i % 256), 1);
      if (!budget.Spend(source, 1, 0)) result.push_back(i);
    }
    return result;
  };
  const std::vector<int> first = colliding(1);
  EXPECT_GE(first.size(), 256u) << "512 prefixes can't have 512 of 256 buckets";
  EXPECT_LT(first.size(), 400u) << "the hash must spread the prefixes";
  EXPECT_NE(first, colliding(2));
  EXPECT_EQ(first, colliding(1));
}

}  // namespace
}  // namespace sotto
