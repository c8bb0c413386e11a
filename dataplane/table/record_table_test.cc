// SPDX-License-Identifier: Apache-2.0
// The table against a map, under random changes; full buckets; and readers beside the writer.
#include "dataplane/table/record_table.h"

#include <gmock/gmock.h>

#include <atomic>
#include <map>
#include <random>
#include <thread>

#include "dataplane/table/records.h"

namespace sotto::dataplane {
namespace {

constexpr HashSecret kSecret = {0x9e3779b97f4a7c15, 0xbf58476d1ce4e5b9, 0x94d049bb133111eb,
                                0x2545f4914f6cdd1d};

struct alignas(64) TestRecord {
  using Key = ClientKey;
  ClientKey key;
  uint64_t value = 0;
};
using Table = RecordTable<TestRecord>;

ClientKey KeyOf(uint32_t n) {
  return MakeClientKey(IpAddress::V4(10, static_cast<uint8_t>(n >> 16),
                                     static_cast<uint8_t>(n >> 8), static_cast<uint8_t>(n)),
                       static_cast<uint16_t>(n * 7 + 1), 0x4000, 0);
}

TestRecord* Add(Table& table, const ClientKey& key, uint64_t value) {
  TestRecord* record = table.Take();
  if (record == nullptr) return nullptr;
  record->key = key;
  record->value = value;
  EXPECT_TRUE(table.Insert(record));
  return record;
}

TEST(RecordTableTest, HoldsAsManyRecordsAsItSaysAndNoMore) {
  for (const uint32_t capacity : {1u, 5u, 8u, 100u, 50'000u}) {
    Table table("test", capacity, kSecret, 0);
    ASSERT_TRUE(table.valid());
    for (uint32_t i = 0; i < capacity; ++i) ASSERT_NE(Add(table, KeyOf(i), i), nullptr);
    EXPECT_EQ(table.Take(), nullptr);
    for (uint32_t i = 0; i < capacity; ++i) {
      const TestRecord* found = table.Find(KeyOf(i));
      ASSERT_NE(found, nullptr) << i << " of " << capacity;
      EXPECT_EQ(found->value, i);
    }
    EXPECT_EQ(table.Find(KeyOf(capacity)), nullptr);
  }
}

// Keys that count up, as addresses, ports and legs do, in all strides: no secret puts them into so
// few buckets that the room for overflow ends before the records do.
TEST(RecordTableTest, FillsUpWhateverTheSecretAndThePattern) {
  constexpr uint32_t kCapacity = 1000;
  std::mt19937_64 random(11);
  for (int round = 0; round < 1500; ++round) {
    const HashSecret secret = {random() | 1, random() | 1, random() | 1, random() | 1};
    const uint32_t stride = 1 + static_cast<uint32_t>(random() % 300);
    Table table("test", kCapacity, secret, 0);
    for (uint32_t i = 0; i < kCapacity; ++i) {
      const auto n = static_cast<uint16_t>(i * stride);
      const IpAddress relay = IpAddress::V4(198, 18, 0, 1);
      const ClientKey key = round % 3 == 0   ? MakeClientKey(relay, n, 0x4000, 0)
                            : round % 3 == 1 ? MakeClientKey(relay, 7, n, 0)
                                             : KeyOf(i * stride);
      TestRecord* record = table.Take();
      record->key = key;
      ASSERT_TRUE(table.Insert(record)) << "record " << i << ", stride " << stride;
    }
  }
}

TEST(RecordTableTest, EveryByteOfAKeyCountsButTheRider) {
  Table table("test", 8, kSecret, 0);
  const ClientKey key = KeyOf(1);
  Add(table, key, 1);
  for (size_t byte = 0; byte < sizeof(key); ++byte) {
    ClientKey other = key;
    reinterpret_cast<uint8_t*>(&other)[byte] ^= 0x40;
    const bool rider = byte >= offsetof(ClientKey, rider);
    EXPECT_EQ(table.Find(other) != nullptr, rider) << "byte " << byte;
  }
}

TEST(RecordTableTest, FollowsAMapThroughRandomChanges) {
  Table table("test", 2000, kSecret, 0);
  std::map<uint32_t, TestRecord*> model;
  std::minstd_rand random(7);
  for (uint32_t step = 0; step < 200'000; ++step) {
    const uint32_t n = random() % 3000;
    const auto held = model.find(n);
    switch (random() % 3) {
      case 0:  // put in, or replace
        if (TestRecord* record = Add(table, KeyOf(n), step); record != nullptr) {
          if (held != model.end()) {
            table.Remove(held->second);  // is out already: must not take the new one with it
            table.GiveBack(held->second);
          }
          model[n] = record;
        } else {
          ASSERT_EQ(model.size(), 2000u);
        }
        break;
      case 1:
        if (held != model.end()) {
          table.Remove(held->second);
          table.GiveBack(held->second);
          model.erase(held);
        }
        break;
      case 2:
        ASSERT_EQ(table.Find(KeyOf(n)), held == model.end() ? nullptr : held->second);
        break;
    }
    ASSERT_EQ(table.taken(), model.size());
  }
  for (const auto& [n, record] : model) ASSERT_EQ(table.Find(KeyOf(n)), record);
}

// Keys whose hashes end alike, as an attacker would choose them if they knew the secret.
TEST(RecordTableTest, KeysOfOneBucketOverflowAndAreFoundUntilTheRoomIsTaken) {
  constexpr uint64_t kHomeBuckets = 400 / 5 + 1;
  Table table("test", 400, kSecret, 0);
  std::vector<ClientKey> keys;
  for (uint32_t n = 0; keys.size() < 400; ++n) {
    const ClientKey key = KeyOf(n);
    const uint64_t hash = table.Hash(KeyWords<ClientKey>(key));
    if ((hash >> 32) * kHomeBuckets >> 32 == 5) keys.push_back(key);
  }
  std::vector<TestRecord*> in;
  for (const ClientKey& key : keys) {
    TestRecord* record = table.Take();
    ASSERT_NE(record, nullptr);
    record->key = key;
    if (!table.Insert(record)) {
      EXPECT_EQ(table.Find(key), nullptr);
      table.GiveBack(record);
      break;
    }
    in.push_back(record);
  }
  EXPECT_EQ(in.size(), 8u + 8 * (kHomeBuckets / 4 + 16))
      << "a bucket and all that there are for overflow";
  for (const TestRecord* record : in) EXPECT_EQ(table.Find(record->key), record);
  // What is taken out makes room.
  table.Remove(in[3]);
  EXPECT_EQ(table.Find(in[3]->key), nullptr);
  EXPECT_TRUE(table.Insert(in[3]));
  EXPECT_EQ(table.Find(in[3]->key), in[3]);
}

TEST(RecordTableTest, WhatIsReservedFindsRoomWhateverElseComes) {
  constexpr uint32_t kCapacity = 400;
  constexpr uint64_t kHomeBuckets = kCapacity / 5 + 1;
  constexpr uint32_t kOverflow = kHomeBuckets / 4 + 16;
  Table table("test", kCapacity, kSecret, 0);
  const auto keys_of = [&](uint64_t bucket, size_t count) {
    std::vector<ClientKey> keys;
    for (uint32_t n = 0; keys.size() < count; ++n) {
      const ClientKey key = KeyOf(n);
      const uint64_t hash = table.Hash(KeyWords<ClientKey>(key));
      if ((hash >> 32) * kHomeBuckets >> 32 == bucket) keys.push_back(key);
    }
    return keys;
  };
  const std::vector<ClientKey> kept = keys_of(5, 12);
  EXPECT_FALSE(table.Reserve(kept[0], 8 + 8 * kOverflow + 1)) << "more than there is";
  ASSERT_TRUE(table.Reserve(kept[0], 12));
  ASSERT_TRUE(table.Reserve(kept[1], 12)) << "the same room";
  // Another bucket takes all overflow that is left.
  uint32_t others = 0;
  for (const ClientKey& key : keys_of(6, 8 + 8 * (kOverflow - 1))) {
    Add(table, key, 0);
    ++others;
  }
  EXPECT_FALSE(table.Reserve(keys_of(6, 1)[0], 1));
  EXPECT_EQ(table.taken(), others);
  for (const ClientKey& key : kept) ASSERT_NE(Add(table, key, 1), nullptr);
  for (const ClientKey& key : kept) EXPECT_NE(table.Find(key), nullptr);
  EXPECT_TRUE(table.Reserve(kept[0], 4));
  EXPECT_FALSE(table.Reserve(kept[0], 5));
}

TEST(RecordTableTest, PrefetchingNeedsNoRecord) {
  Table table("test", 8, kSecret, 0);
  const uint64_t hash = table.Hash(KeyWords<ClientKey>(KeyOf(1)));
  table.PrefetchBucket(hash);
  EXPECT_FALSE(table.PrefetchRecord(hash));
  Add(table, KeyOf(1), 1);
  EXPECT_TRUE(table.PrefetchRecord(hash));
}

// Records that stay are found at any time, and what is found is what was asked for, while others
// come and go around them.
TEST(RecordTableTest, ReadersSeeWholeRecordsBesideTheWriter) {
  Table table("test", 4000, kSecret, 0);
  constexpr uint32_t kStaying = 1000;
  for (uint32_t n = 0; n < kStaying; ++n) Add(table, KeyOf(n), n);
  std::atomic<bool> stop = false;
  std::atomic<uint64_t> reads = 0;
  std::thread reader([&] {
    std::minstd_rand random(3);
    while (!stop.load()) {
      const uint32_t staying = random() % kStaying;
      const TestRecord* found = table.Find(KeyOf(staying));
      ASSERT_NE(found, nullptr);
      ASSERT_EQ(found->value, staying);
      const uint32_t other = kStaying + random() % 1000;
      const TestRecord* maybe = table.Find(KeyOf(other));
      // Given back records aren't made anew here, so that one keeps its value.
      ASSERT_TRUE(maybe == nullptr || maybe->value == other);
      reads.fetch_add(1, std::memory_order_relaxed);
    }
  });
  std::vector<TestRecord*> records;
  for (uint32_t n = 0; n < 1000; ++n) {
    TestRecord* record = table.Take();
    record->key = KeyOf(kStaying + n);
    record->value = kStaying + n;
    records.push_back(record);
  }
  std::minstd_rand random(9);
  std::vector<bool> in(records.size());
  while (reads.load() < 300'000 && !testing::Test::HasFailure()) {
    const size_t n = random() % records.size();
    if (in[n]) {
      table.Remove(records[n]);
    } else {
      ASSERT_TRUE(table.Insert(records[n]));
    }
    in[n] = !in[n];
  }
  stop = true;
  reader.join();
}

}  // namespace
}  // namespace sotto::dataplane
