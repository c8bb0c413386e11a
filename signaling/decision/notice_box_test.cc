// SPDX-License-Identifier: Apache-2.0
#include "signaling/decision/notice_box.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <string>

#include "signaling/decision/bounded_map.h"
#include "signaling/store/sqlite_store.h"
#include "signaling/token/sodium.h"

namespace sotto::signaling {
namespace {

constexpr int64_t kNow = 1767225600;

struct Opened {
  NoticeKind kind;
  uint16_t count;
  uint32_t minute;
  std::string caller;
  bool operator==(const Opened&) const = default;
};

class NoticeBoxTest : public ::testing::Test {
 protected:
  void SetUp() override {
    store_ = OpenSqliteStore({.path = ":memory:"}).value();
    box_ = std::make_unique<NoticeBox>(*store_);
    AddDevice(1);
  }
  void AddDevice(uint8_t number) {
    EnsureSodium();
    Device device = {.id = {number}, .notice_key = {}};
    crypto_box_keypair(device.notice_key.data(), secrets_[number].data());
    ASSERT_TRUE(store_->PutDevice(bob_, device).ok());
    devices_.push_back(device);
  }
  // A new process on the same store.
  void Restart() { box_ = std::make_unique<NoticeBox>(*store_); }

  absl::Status Add(std::string_view caller, NoticeKind kind = NoticeKind::kSilenced,
                   int64_t unix_s = kNow, bool pretend = false) {
    return box_->Add(bob_, devices_, kind, VerifiedAccountForTest::Make(caller), unix_s, pretend);
  }
  // Each in a transaction of its own.
  void Call(std::string_view caller, NoticeKind kind = NoticeKind::kSilenced,
            int64_t unix_s = kNow) {
    ASSERT_TRUE(store_->Begin().ok());
    const absl::Status status = Add(caller, kind, unix_s);
    ASSERT_TRUE(status.ok()) << status;
    ASSERT_TRUE(store_->Commit().ok());
    box_->Committed();
  }
  std::vector<StoredNotice> Stored(uint8_t device = 1) {
    return store_->Notices(bob_, {device}).value();
  }
  std::vector<Opened> Open(uint8_t device = 1) {
    std::vector<Opened> all;
    for (const StoredNotice& notice : Stored(device)) {
      NoticeBytes bytes = {};
      const auto& key = std::ranges::find(devices_, DeviceId{device}, &Device::id)->notice_key;
      EXPECT_EQ(crypto_box_seal_open(bytes.data(), notice.sealed.data(), notice.sealed.size(),
                                     key.data(), secrets_[device].data()),
                0);
      all.push_back({.kind = static_cast<NoticeKind>(bytes[1]),
                     .count = static_cast<uint16_t>(bytes[2] << 8 | bytes[3]),
                     .minute = static_cast<uint32_t>(bytes[4]) << 24 | bytes[5] << 16 |
                               bytes[6] << 8 | bytes[7],
                     .caller = std::string(&bytes[9], &bytes[9] + bytes[8])});
    }
    return all;
  }

  const AccountId bob_ = *AccountId::Parse("bob");
  std::unique_ptr<Store> store_;
  std::unique_ptr<NoticeBox> box_;
  std::vector<Device> devices_;
  std::map<uint8_t, std::array<uint8_t, 32>> secrets_;
};

TEST_F(NoticeBoxTest, TenThousandCallsOfOneCallerAreOneNotice) {
  ASSERT_TRUE(store_->Begin().ok());
  for (int i = 0; i < 10'000; ++i) {
    ASSERT_TRUE(Add("eve", NoticeKind::kSilenced, kNow + i / 100).ok());
  }
  ASSERT_TRUE(store_->Commit().ok());
  EXPECT_EQ(Open(),
            (std::vector<Opened>{{NoticeKind::kSilenced, 10'000, (kNow + 99) / 60, "eve"}}));
  EXPECT_EQ(Stored().size() * sizeof(SealedNotice), 144u);
}

TEST_F(NoticeBoxTest, TenThousandCallersAre32Notices) {
  ASSERT_TRUE(store_->Begin().ok());
  for (int i = 0; i < 10'000; ++i) ASSERT_TRUE(Add("eve" + std::to_string(i)).ok());
  ASSERT_TRUE(store_->Commit().ok());
  const std::vector<Opened> notices = Open();
  ASSERT_EQ(notices.size(), kMaxNotices);
  EXPECT_EQ(Stored().size() * sizeof(SealedNotice), 4608u);
  for (size_t i = 0; i < 31; ++i) {
    EXPECT_EQ(notices[i], (Opened{NoticeKind::kSilenced, 1, kNow / 60, "eve" + std::to_string(i)}));
  }
  EXPECT_EQ(notices[31], (Opened{NoticeKind::kMore, 10'000 - 31, kNow / 60, ""}));
}

TEST_F(NoticeBoxTest, KindsAndCallersHaveNoticesOfTheirOwn) {
  Call("eve");
  Call("eve", NoticeKind::kMissed);
  Call("mal");
  Call("eve", NoticeKind::kMissed, kNow + 60);
  EXPECT_EQ(Open(), (std::vector<Opened>{{NoticeKind::kSilenced, 1, kNow / 60, "eve"},
                                         {NoticeKind::kMissed, 2, kNow / 60 + 1, "eve"},
                                         {NoticeKind::kSilenced, 1, kNow / 60, "mal"}}));
}

TEST_F(NoticeBoxTest, EachDeviceHasItsOwn) {
  Call("eve");
  AddDevice(2);
  Call("eve");
  EXPECT_EQ(Open(1), (std::vector<Opened>{{NoticeKind::kSilenced, 2, kNow / 60, "eve"}}));
  EXPECT_EQ(Open(2), (std::vector<Opened>{{NoticeKind::kSilenced, 1, kNow / 60, "eve"}}));
  EXPECT_NE(Stored(1)[0].sealed, Stored(2)[0].sealed);
}

TEST_F(NoticeBoxTest, WhatWasDeliveredIsLeftAlone) {
  Call("eve");
  const SealedNotice delivered = Stored()[0].sealed;
  box_->Delivered(bob_, {1});
  Call("eve");
  Call("eve");
  EXPECT_EQ(Stored()[0].sealed, delivered);
  EXPECT_EQ(Open(), (std::vector<Opened>{{NoticeKind::kSilenced, 1, kNow / 60, "eve"},
                                         {NoticeKind::kSilenced, 2, kNow / 60, "eve"}}));
}

TEST_F(NoticeBoxTest, AnAcknowledgedBoxFillsAgain) {
  for (int i = 0; i < 100; ++i) Call("eve" + std::to_string(i));
  std::vector<NoticeId> ids;
  for (const StoredNotice& notice : Stored()) ids.push_back(notice.id);
  ASSERT_EQ(ids.size(), 32u);
  box_->Delivered(bob_, {1});
  ASSERT_TRUE(store_->RemoveNotices(bob_, {1}, ids).ok());
  Call("eve0");
  EXPECT_EQ(Open(), (std::vector<Opened>{{NoticeKind::kSilenced, 1, kNow / 60, "eve0"}}));
}

TEST_F(NoticeBoxTest, ANoticeThatIsGoneIsMadeAgain) {
  Call("eve");
  ASSERT_TRUE(store_->RemoveNotices(bob_, {1}, std::vector<NoticeId>{1}).ok());
  Call("eve");
  EXPECT_EQ(Stored().size(), 1u);
}

TEST_F(NoticeBoxTest, StaysBoundedOverRestarts) {
  for (int round = 0; round < 3; ++round) {
    for (int i = 0; i < 50; ++i) Call("eve" + std::to_string(i));
    Restart();
  }
  const std::vector<Opened> notices = Open();
  ASSERT_EQ(notices.size(), kMaxNotices);
  EXPECT_EQ(std::ranges::count(notices, NoticeKind::kMore, &Opened::kind), 1);
  EXPECT_EQ(notices[31], (Opened{NoticeKind::kMore, 19, kNow / 60, ""}));
}

TEST_F(NoticeBoxTest, CoalescesAfterARollbackAsIfNothingHadBeen) {
  Call("eve");
  ASSERT_TRUE(store_->Begin().ok());
  ASSERT_TRUE(Add("eve").ok());
  ASSERT_TRUE(Add("eve").ok());
  ASSERT_TRUE(Add("mal").ok());
  box_->Delivered(bob_, {1});
  store_->Rollback();
  box_->RolledBack();
  Call("eve");
  Call("mal");
  EXPECT_EQ(Open(), (std::vector<Opened>{{NoticeKind::kSilenced, 2, kNow / 60, "eve"},
                                         {NoticeKind::kSilenced, 1, kNow / 60, "mal"}}));
}

TEST_F(NoticeBoxTest, PretendingLeavesNothing) {
  Call("eve");
  const SealedNotice before = Stored()[0].sealed;
  ASSERT_TRUE(store_->Begin().ok());
  for (int i = 0; i < 3; ++i) {
    ASSERT_TRUE(Add("eve", NoticeKind::kSilenced, kNow, /*pretend=*/true).ok());
    ASSERT_TRUE(Add("mal", NoticeKind::kSilenced, kNow, /*pretend=*/true).ok());
  }
  ASSERT_TRUE(store_->Commit().ok());
  box_->Committed();
  ASSERT_EQ(Stored().size(), 1u);
  EXPECT_EQ(Stored()[0].sealed, before);
  Call("eve");
  Call("mal");
  EXPECT_EQ(Open(), (std::vector<Opened>{{NoticeKind::kSilenced, 2, kNow / 60, "eve"},
                                         {NoticeKind::kSilenced, 1, kNow / 60, "mal"}}));
}

TEST_F(NoticeBoxTest, ADeviceThatIsGoneCostsNothing) {
  ASSERT_TRUE(store_->RemoveDevice(bob_, {1}).ok());
  Call("eve");
  EXPECT_TRUE(Stored().empty());
}

TEST(BoundedMapTest, TheOldestMakesRoom) {
  BoundedMap<int, int> map(3);
  for (int i = 0; i < 5; ++i) map.Put(i, 10 * i);
  EXPECT_EQ(map.size(), 3u);
  EXPECT_EQ(map.Find(1), nullptr);
  ASSERT_NE(map.Find(2), nullptr);
  map.Put(2, 21);  // the newest again
  map.Put(5, 50);
  EXPECT_EQ(map.Find(3), nullptr);
  ASSERT_NE(map.Find(2), nullptr);
  EXPECT_EQ(*map.Find(2), 21);
  map.Erase(2);
  map.Erase(2);
  EXPECT_EQ(map.size(), 2u);
}

}  // namespace
}  // namespace sotto::signaling
