// SPDX-License-Identifier: Apache-2.0
#include "relay/auth/quota.h"

#include <gtest/gtest.h>

namespace sotto::relay {
namespace {

TEST(AllocationQuota, CountsEachNameByItself) {
  AllocationQuota quota(2);
  quota.Take("alice");
  EXPECT_FALSE(quota.Reached("alice"));
  quota.Take("alice");
  EXPECT_TRUE(quota.Reached("alice"));
  EXPECT_FALSE(quota.Reached("bob"));
  quota.Release("alice");
  EXPECT_FALSE(quota.Reached("alice"));
}

TEST(AllocationQuota, ForgetsNamesThatHoldNothing) {
  AllocationQuota quota(1);
  quota.Take("alice");
  EXPECT_EQ(quota.names(), 1u);
  quota.Release("alice");
  EXPECT_EQ(quota.names(), 0u);
  quota.Release("alice");  // once too often does nothing
  EXPECT_EQ(quota.names(), 0u);
}

TEST(AllocationQuota, WithoutALimitNothingIsCounted) {
  AllocationQuota quota(0);
  for (int i = 0; i < 100; ++i) quota.Take("alice");
  EXPECT_FALSE(quota.Reached("alice"));
  EXPECT_EQ(quota.names(), 0u);
}

TEST(AllocationQuota, CountsFromTheFirstLimitOnThroughTimesWithoutOne) {
  AllocationQuota quota(0);
  quota.Take("alice");
  quota.SetLimit(3, 10);
  quota.Take("alice");
  quota.SetLimit(0, 10);
  quota.Take("alice");
  quota.Take("alice");
  EXPECT_FALSE(quota.Reached("alice"));
  quota.SetLimit(3, 10);
  EXPECT_TRUE(quota.Reached("alice"));
  quota.SetLimit(4, 10);
  EXPECT_FALSE(quota.Reached("alice"));
  for (int i = 0; i < 3; ++i) quota.Release("alice");
  EXPECT_EQ(quota.names(), 0u);
}

}  // namespace
}  // namespace sotto::relay
