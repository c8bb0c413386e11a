// SPDX-License-Identifier: Apache-2.0
#include "relay/turn/port_pool.h"

#include <gtest/gtest.h>

#include <array>
#include <set>
#include <vector>

namespace sotto::relay {
namespace {

TEST(PortPool, HandsOutEveryPortOnceAndThenNone) {
  Random random;
  // Ranges that begin and end anywhere in a word.
  for (const auto& [first, last] : {std::pair<uint16_t, uint16_t>{49152, 65535},
                                    {5001, 5001},
                                    {5003, 5130},
                                    {65535, 65535},
                                    {1024, 1087}}) {
    PortPool pool({first, last});
    std::set<uint16_t> taken;
    for (uint32_t i = 0; i < uint32_t{last} - first + 1; ++i) {
      const auto port = pool.TakeAny(random);
      ASSERT_TRUE(port);
      EXPECT_TRUE(pool.Contains(*port));
      EXPECT_TRUE(pool.InUse(*port));
      EXPECT_TRUE(taken.insert(*port).second) << *port;
    }
    EXPECT_EQ(pool.in_use(), taken.size());
    EXPECT_FALSE(pool.TakeAny(random));
    pool.Release(last);
    EXPECT_EQ(pool.TakeAny(random), last);
  }
}

TEST(PortPool, EvenPortsAreEvenAndRunOut) {
  Random random;
  PortPool pool({5001, 5100});
  for (int i = 0; i < 50; ++i) {
    const auto port = pool.TakeEven(random);
    ASSERT_TRUE(port);
    EXPECT_EQ(*port % 2, 0);
  }
  EXPECT_FALSE(pool.TakeEven(random));
  EXPECT_EQ(pool.in_use(), 50u);
  EXPECT_TRUE(pool.TakeAny(random));  // the odd ones are left
}

TEST(PortPool, APairIsAnEvenPortAndTheOneAboveIt) {
  Random random;
  PortPool pool({5001, 5100});  // 5001 and 5100 have no partner within the range
  std::set<uint16_t> taken;
  while (const auto port = pool.TakePair(random)) {
    EXPECT_EQ(*port % 2, 0);
    EXPECT_TRUE(taken.insert(*port).second);
    EXPECT_TRUE(taken.insert(*port + 1).second);
    EXPECT_TRUE(pool.InUse(*port + 1));
  }
  EXPECT_EQ(taken.size(), 98u);
  EXPECT_EQ(pool.in_use(), 98u);
}

TEST(PortPool, FindsTheOneFreePairAmongThousands) {
  Random random;
  PortPool pool({49152, 65535});
  while (pool.TakeAny(random)) {
  }
  pool.Release(50001);  // odd: no pair with 50002, which is even
  pool.Release(50002);
  EXPECT_FALSE(pool.TakePair(random));
  pool.Release(50003);
  EXPECT_EQ(pool.TakePair(random), 50002);
  EXPECT_EQ(pool.TakeAny(random), 50001);
}

TEST(PortPool, SpreadsOverTheWholeRange) {
  Random random;
  std::array<int, 16> counts = {};
  for (int i = 0; i < 16'000; ++i) {
    PortPool pool({49152, 65535});
    ++counts.at((*pool.TakeAny(random) - 49152) / 1024);
  }
  for (int count : counts) EXPECT_NEAR(count, 1000, 200);  // six standard deviations
}

}  // namespace
}  // namespace sotto::relay
