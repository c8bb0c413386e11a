// SPDX-License-Identifier: Apache-2.0
// Slab, transaction cache, reservations, discards.
#include <gtest/gtest.h>

#include <set>
#include <string>

#include "relay/turn/reservation_table.h"
#include "relay/turn/server.h"
#include "relay/turn/slab.h"
#include "relay/turn/transaction_cache.h"

namespace sotto::relay {
namespace {

TEST(Slab, KeepsAddressesAndUsesFreedSlotsFirst) {
  Slab<std::string> slab;
  const uint32_t first = slab.Insert("first");
  const std::string* address = slab.Get(first);
  for (int i = 0; i < 1000; ++i) slab.Insert("more");
  EXPECT_EQ(slab.Get(first), address);
  slab.Erase(first);
  EXPECT_EQ(slab.Get(first), nullptr);
  EXPECT_EQ(slab.Get(5000), nullptr);
  EXPECT_EQ(slab.Insert("again"), first);
  EXPECT_EQ(slab.size(), 1001u);
  EXPECT_EQ(slab.slots(), 1001u);
}

TransactionCache::Key Key(uint8_t i, StunMethod method = StunMethod::kAllocate) {
  TransactionCache::Key key;
  key.id[0] = i;
  key.method = method;
  return key;
}

TEST(TransactionCache, RemembersFor40Seconds) {
  TransactionCache cache(10);
  cache.Remember(Key(1), StunError::kInsufficientCapacity, 1000);
  cache.Remember(Key(2, StunMethod::kRefresh), std::nullopt, 2000);
  ASSERT_TRUE(cache.Find(Key(1), 40'999));
  EXPECT_EQ(*cache.Find(Key(1), 40'999), StunError::kInsufficientCapacity);
  EXPECT_FALSE(cache.Find(Key(1), 41'000));
  ASSERT_TRUE(cache.Find(Key(2, StunMethod::kRefresh), 2000));
  EXPECT_EQ(*cache.Find(Key(2, StunMethod::kRefresh), 2000), std::nullopt);
  EXPECT_FALSE(cache.Find(Key(1, StunMethod::kRefresh), 1000));
  cache.Tick(41'000, 10);
  EXPECT_EQ(cache.size(), 1u);
}

TEST(TransactionCache, KnowsOnePathFromAnother) {
  TransactionCache cache(10);
  TransactionCache::Key key = Key(1);
  cache.Remember(key, StunError::kForbidden, 0);
  key.path.client.port = 1;
  EXPECT_FALSE(cache.Find(key, 0));
}

TEST(TransactionCache, NeverHoldsMoreThanItsBound) {
  TransactionCache cache(3);
  for (uint8_t i = 0; i < 100; ++i) {
    cache.Remember(Key(i), StunError::kForbidden, i);
    EXPECT_LE(cache.size(), 3u);
  }
  EXPECT_FALSE(cache.Find(Key(96), 100));
  EXPECT_TRUE(cache.Find(Key(97), 100));
}

TEST(TransactionCache, RemembersAnewWhatHadExpired) {
  TransactionCache cache(3);
  cache.Remember(Key(1), StunError::kForbidden, 0);
  cache.Remember(Key(1), StunError::kBadRequest, 50'000);
  ASSERT_TRUE(cache.Find(Key(1), 50'000));
  EXPECT_EQ(*cache.Find(Key(1), 50'000), StunError::kBadRequest);
  EXPECT_EQ(cache.size(), 1u);
}

TEST(ReservationTable, HoldsAPortUntilItsTokenIsUsedOrItsTimeIsOver) {
  ReservationTable table;
  table.Add({.token = 1, .port = 5001, .address = 0, .quota_name = "a", .expires_at = 100});
  table.Add({.token = 2, .port = 5003, .address = 0, .quota_name = "a", .expires_at = 200});
  EXPECT_EQ(table.Find(3, 0), nullptr);
  EXPECT_EQ(table.Find(1, 100), nullptr);
  EXPECT_EQ(table.Find(2, 100)->port, 5003);
  EXPECT_FALSE(table.TakeExpired(99));
  EXPECT_EQ(table.TakeExpired(100)->port, 5001);
  EXPECT_EQ(table.Take(2).port, 5003);
  EXPECT_EQ(table.size(), 0u);
  EXPECT_FALSE(table.TakeExpired(1000));
}

TEST(Discard, EachHasANameOfItsOwnAndARemedy) {
  std::set<std::string_view> names;
  for (size_t i = 0; i < kCountOf<Discard>; ++i) {
    const auto discard = static_cast<Discard>(i);
    EXPECT_TRUE(names.insert(Name(discard)).second) << i;
    // As a metric's label.
    EXPECT_FALSE(Name(discard).empty()) << i;
    EXPECT_EQ(Name(discard).find_first_not_of("abcdefghijklmnopqrstuvwxyz_"),
              std::string_view::npos);
    EXPECT_TRUE(Sentence(discard).ends_with('.')) << Name(discard);
  }
}

}  // namespace
}  // namespace sotto::relay
