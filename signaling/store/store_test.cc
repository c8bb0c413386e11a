// SPDX-License-Identifier: Apache-2.0
// What any store does: the conformance suite, run on SQLite in memory and in a file.
#include "signaling/store/store.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <functional>
#include <string>

#include "relay/base/big_endian.h"
#include "signaling/store/sqlite_store.h"

namespace sotto::signaling {
namespace {

AccountId Account(std::string_view name) { return *AccountId::Parse(name); }

template <typename Bytes>
Bytes Made(uint32_t number) {
  Bytes bytes = {};
  StoreBe32(bytes.data(), number);
  return bytes;
}
Device MakeDevice(uint32_t number, uint32_t key = 0) {
  return {.id = Made<DeviceId>(number), .notice_key = Made<NoticeKey>(1000 + number + key)};
}

class StoreTest : public ::testing::TestWithParam<bool> {
 protected:
  void SetUp() override {
    if (GetParam()) {
      folder_ =
          std::filesystem::temp_directory_path() / ("sotto_store_test." + std::to_string(getpid()));
      std::filesystem::create_directory(folder_);
    }
    Open();
  }
  void TearDown() override {
    store_.reset();
    if (GetParam()) std::filesystem::remove_all(folder_);
  }
  void Open() {
    store_.reset();
    auto opened = OpenSqliteStore({.path = GetParam() ? folder_ / "store" : ":memory:"});
    ASSERT_TRUE(opened.ok()) << opened.status();
    store_ = *std::move(opened);
  }
  // Within a transaction that is committed.
  void Do(const std::function<absl::Status()>& work) {
    ASSERT_TRUE(store_->Begin().ok());
    const absl::Status status = work();
    ASSERT_TRUE(status.ok()) << status;
    ASSERT_TRUE(store_->Commit().ok());
  }
  void PutDevice(const AccountId& account, const Device& device) {
    Do([&] { return store_->PutDevice(account, device); });
  }
  AccountRecord Find(const AccountId& account) {
    auto found = store_->FindAccount(account);
    EXPECT_TRUE(found.ok() && found->has_value());
    return **found;
  }
  Redemption Redeem(uint32_t token, uint16_t uses, uint32_t call, Epoch epoch = 7) {
    auto redemption = store_->Redeem(Made<Nullifier>(token), epoch, uses, Made<CallId>(call));
    EXPECT_TRUE(redemption.ok()) << redemption.status();
    return *redemption;
  }

  const AccountId bob_ = Account("bob");
  const AccountId eve_ = Account("eve");
  std::filesystem::path folder_;
  std::unique_ptr<Store> store_;
};

INSTANTIATE_TEST_SUITE_P(Sqlite, StoreTest, ::testing::Bool(),
                         [](const auto& param) { return param.param ? "File" : "Memory"; });

TEST_P(StoreTest, KnowsNobodyAtFirst) {
  EXPECT_FALSE(store_->FindAccount(bob_)->has_value());
  EXPECT_EQ(*store_->GetStanding(bob_), Standing());
  EXPECT_FALSE(*store_->IsBlocked(bob_, Made<BlockHash>(1)));
  EXPECT_TRUE(store_->Notices(bob_, Made<DeviceId>(1))->empty());
}

TEST_P(StoreTest, KeepsWhatIsPut) {
  const AccountPublicKeys keys = {.box = Made<std::array<uint8_t, 32>>(1),
                                  .sign = Made<std::array<uint8_t, 32>>(2)};
  const EpochKey older = {.epoch = 9, .public_key = Made<EpochPublicKey>(3), .uses = 1};
  const EpochKey newer = {.epoch = 10, .public_key = Made<EpochPublicKey>(4), .uses = 1000};
  const AccountSettings settings = {.silence_unknown_callers = true, .protect_ip_address = false};
  const Standing standing = {.placed = 5, .silenced = 4, .window_began_unix_s = 1234567890123};
  Do([&] {
    EXPECT_TRUE(store_->PutDevice(bob_, MakeDevice(1)).ok());
    EXPECT_TRUE(store_->PutDevice(bob_, MakeDevice(2)).ok());
    EXPECT_TRUE(store_->PutSettings(bob_, settings).ok());
    EXPECT_TRUE(store_->PutAccountKeys(bob_, keys).ok());
    EXPECT_TRUE(store_->PutEpochKey(bob_, newer).ok());
    EXPECT_TRUE(store_->PutEpochKey(bob_, older).ok());
    EXPECT_TRUE(store_->PutBlock(bob_, Made<BlockHash>(1), true).ok());
    return store_->PutStanding(bob_, standing);
  });
  if (GetParam()) Open();
  const AccountRecord record = Find(bob_);
  EXPECT_EQ(record.settings, settings);
  EXPECT_EQ(record.keys, keys);
  EXPECT_EQ(record.epoch_keys, (std::vector<EpochKey>{older, newer}));
  EXPECT_EQ(record.devices, (std::vector<Device>{MakeDevice(1), MakeDevice(2)}));
  EXPECT_EQ(*store_->GetStanding(bob_), standing);
  EXPECT_TRUE(*store_->IsBlocked(bob_, Made<BlockHash>(1)));
  EXPECT_FALSE(*store_->IsBlocked(bob_, Made<BlockHash>(2)));
  EXPECT_FALSE(*store_->IsBlocked(eve_, Made<BlockHash>(1)));
  EXPECT_FALSE(store_->FindAccount(eve_)->has_value());
}

TEST_P(StoreTest, ReplacesAndTakesBack) {
  const EpochKey first = {.epoch = 9, .public_key = Made<EpochPublicKey>(3), .uses = 1};
  const EpochKey second = {.epoch = 9, .public_key = Made<EpochPublicKey>(4), .uses = 2};
  Do([&] {
    EXPECT_TRUE(store_->PutEpochKey(bob_, first).ok());
    EXPECT_TRUE(store_->PutEpochKey(bob_, second).ok());
    EXPECT_TRUE(store_->PutSettings(bob_, {.silence_unknown_callers = true}).ok());
    EXPECT_TRUE(store_->PutSettings(bob_, {.protect_ip_address = true}).ok());
    EXPECT_TRUE(store_->PutBlock(bob_, Made<BlockHash>(1), true).ok());
    return store_->PutBlock(bob_, Made<BlockHash>(1), false);
  });
  EXPECT_EQ(Find(bob_).epoch_keys, (std::vector<EpochKey>{second}));
  EXPECT_EQ(Find(bob_).settings, (AccountSettings{.protect_ip_address = true}));
  EXPECT_FALSE(*store_->IsBlocked(bob_, Made<BlockHash>(1)));
}

TEST_P(StoreTest, ARolledBackTransactionLeavesNothing) {
  PutDevice(bob_, MakeDevice(1));
  ASSERT_TRUE(store_->Begin().ok());
  ASSERT_TRUE(store_->PutSettings(bob_, {.silence_unknown_callers = true}).ok());
  ASSERT_TRUE(store_->PutDevice(eve_, MakeDevice(2)).ok());
  ASSERT_EQ(Redeem(1, 1, 1), Redemption::kAccepted);
  ASSERT_TRUE(store_->AddNotice(bob_, Made<DeviceId>(1), {}).ok());
  store_->Rollback();
  store_->Rollback();  // harmless
  EXPECT_EQ(Find(bob_).settings, AccountSettings());
  EXPECT_FALSE(store_->FindAccount(eve_)->has_value());
  EXPECT_TRUE(store_->Notices(bob_, Made<DeviceId>(1))->empty());
  EXPECT_EQ(Redeem(1, 1, 2), Redemption::kAccepted);
}

TEST_P(StoreTest, BoundsDevices) {
  Do([&] {
    for (uint32_t i = 0; i < kMaxDevices; ++i) {
      EXPECT_TRUE(store_->PutDevice(bob_, MakeDevice(i)).ok());
    }
    EXPECT_TRUE(absl::IsResourceExhausted(store_->PutDevice(bob_, MakeDevice(99))));
    EXPECT_TRUE(store_->PutDevice(bob_, MakeDevice(3)).ok());
    EXPECT_TRUE(store_->PutDevice(bob_, MakeDevice(4, 5)).ok());
    EXPECT_TRUE(store_->RemoveDevice(bob_, Made<DeviceId>(0)).ok());
    EXPECT_TRUE(store_->PutDevice(bob_, MakeDevice(99)).ok());
    return absl::OkStatus();
  });
  EXPECT_EQ(Find(bob_).devices.size(), kMaxDevices);
}

TEST_P(StoreTest, BoundsBlocks) {
  Do([&] {
    for (uint32_t i = 0; i < kMaxBlocks; ++i) {
      EXPECT_TRUE(store_->PutBlock(bob_, Made<BlockHash>(i), true).ok());
    }
    EXPECT_TRUE(
        absl::IsResourceExhausted(store_->PutBlock(bob_, Made<BlockHash>(kMaxBlocks), true)));
    EXPECT_TRUE(store_->PutBlock(bob_, Made<BlockHash>(5), true).ok());
    EXPECT_TRUE(store_->PutBlock(eve_, Made<BlockHash>(5), true).ok());
    // Neither blocking nor unblocking twice counts twice.
    EXPECT_TRUE(store_->PutBlock(bob_, Made<BlockHash>(7), false).ok());
    EXPECT_TRUE(store_->PutBlock(bob_, Made<BlockHash>(7), false).ok());
    EXPECT_TRUE(store_->PutBlock(bob_, Made<BlockHash>(kMaxBlocks), true).ok());
    EXPECT_TRUE(
        absl::IsResourceExhausted(store_->PutBlock(bob_, Made<BlockHash>(kMaxBlocks + 1), true)));
    return absl::OkStatus();
  });
}

TEST_P(StoreTest, ATokenRingsAsOftenAsItsUses) {
  Do([&] {
    EXPECT_EQ(Redeem(1, 1, 100), Redemption::kAccepted);
    EXPECT_EQ(Redeem(1, 1, 101), Redemption::kSpent);
    for (uint32_t call = 0; call < 1000; ++call) {
      EXPECT_EQ(Redeem(2, 1000, 1000 + call), Redemption::kAccepted) << call;
    }
    EXPECT_EQ(Redeem(2, 1000, 2000), Redemption::kSpent);
    EXPECT_EQ(Redeem(3, 0, 3000), Redemption::kSpent);
    EXPECT_EQ(Redeem(3, 1, 3000), Redemption::kAccepted);
    return absl::OkStatus();
  });
}

TEST_P(StoreTest, TheSameCallUsesATokenOnce) {
  Do([&] {
    EXPECT_EQ(Redeem(1, 2, 100), Redemption::kAccepted);
    EXPECT_EQ(Redeem(1, 2, 100), Redemption::kAccepted);
    EXPECT_EQ(Redeem(1, 2, 100), Redemption::kAccepted);
    EXPECT_EQ(Redeem(1, 2, 101), Redemption::kAccepted);
    EXPECT_EQ(Redeem(1, 2, 102), Redemption::kSpent);
    EXPECT_EQ(Redeem(1, 2, 101), Redemption::kAccepted);
    // It has a token already, and takes no use of another.
    EXPECT_EQ(Redeem(2, 1, 101), Redemption::kSpent);
    EXPECT_EQ(Redeem(2, 1, 103), Redemption::kAccepted);
    return absl::OkStatus();
  });
}

TEST_P(StoreTest, ACallThatHasEndedCantBeTriedAgain) {
  Do([&] {
    EXPECT_EQ(Redeem(1, 5, 100), Redemption::kAccepted);
    EXPECT_TRUE(store_->EndRedemption(Made<CallId>(100)).ok());
    EXPECT_TRUE(store_->EndRedemption(Made<CallId>(999)).ok());
    EXPECT_EQ(Redeem(1, 5, 100), Redemption::kSpent);
    EXPECT_EQ(Redeem(2, 5, 100), Redemption::kSpent);
    EXPECT_EQ(Redeem(1, 5, 101), Redemption::kAccepted);
    return absl::OkStatus();
  });
}

TEST_P(StoreTest, ARevokedTokenIsSpent) {
  Do([&] {
    EXPECT_TRUE(store_->Revoke(bob_, 7, Made<Nullifier>(1)).ok());
    EXPECT_EQ(Redeem(1, 5, 100), Redemption::kSpent);
    EXPECT_EQ(Redeem(2, 5, 101), Redemption::kAccepted);
    EXPECT_TRUE(store_->Revoke(bob_, 7, Made<Nullifier>(2)).ok());
    EXPECT_EQ(Redeem(2, 5, 102), Redemption::kSpent);
    EXPECT_EQ(Redeem(2, 5, 101), Redemption::kSpent);
    return absl::OkStatus();
  });
}

TEST_P(StoreTest, BoundsRevocations) {
  Do([&] {
    for (uint32_t i = 0; i < kMaxRevocations; ++i) {
      EXPECT_TRUE(store_->Revoke(bob_, 7, Made<Nullifier>(i)).ok());
    }
    EXPECT_TRUE(
        absl::IsResourceExhausted(store_->Revoke(bob_, 7, Made<Nullifier>(kMaxRevocations))));
    EXPECT_TRUE(store_->Revoke(bob_, 7, Made<Nullifier>(3)).ok());
    EXPECT_TRUE(store_->Revoke(bob_, 8, Made<Nullifier>(kMaxRevocations)).ok());
    EXPECT_TRUE(store_->Revoke(eve_, 7, Made<Nullifier>(kMaxRevocations + 1)).ok());
    return absl::OkStatus();
  });
}

TEST_P(StoreTest, NoticesAreTheDevicesOwnInOrder) {
  PutDevice(bob_, MakeDevice(1));
  PutDevice(bob_, MakeDevice(2));
  PutDevice(eve_, MakeDevice(1));
  const DeviceId one = Made<DeviceId>(1), two = Made<DeviceId>(2);
  Do([&] {
    EXPECT_EQ(*store_->AddNotice(bob_, one, Made<SealedNotice>(10)), 1u);
    EXPECT_EQ(*store_->AddNotice(bob_, two, Made<SealedNotice>(20)), 2u);
    EXPECT_EQ(*store_->AddNotice(bob_, one, Made<SealedNotice>(11)), 3u);
    // Another account's numbers tell nothing of this one's.
    EXPECT_EQ(*store_->AddNotice(eve_, one, Made<SealedNotice>(30)), 1u);
    EXPECT_TRUE(*store_->ReplaceNotice(bob_, one, 1, Made<SealedNotice>(12)));
    EXPECT_FALSE(*store_->ReplaceNotice(bob_, two, 1, Made<SealedNotice>(99)));
    EXPECT_FALSE(*store_->ReplaceNotice(eve_, one, 3, Made<SealedNotice>(99)));
    EXPECT_TRUE(absl::IsNotFound(store_->AddNotice(eve_, two, {}).status()));
    return absl::OkStatus();
  });
  if (GetParam()) Open();
  const auto notices = *store_->Notices(bob_, one);
  ASSERT_EQ(notices.size(), 2u);
  EXPECT_EQ(*store_->CountNotices(bob_, one), 2u);
  EXPECT_EQ(notices[0].id, 1u);
  EXPECT_EQ(notices[0].sealed, Made<SealedNotice>(12));
  EXPECT_EQ(notices[1].id, 3u);
  EXPECT_EQ(notices[1].sealed, Made<SealedNotice>(11));
  Do([&] { return store_->RemoveNotices(bob_, one, std::vector<NoticeId>{3, 1, 2, 77}); });
  EXPECT_TRUE(store_->Notices(bob_, one)->empty());
  EXPECT_EQ(store_->Notices(bob_, two)->size(), 1u);
  EXPECT_EQ(store_->Notices(eve_, one)->size(), 1u);
  Do([&] {
    EXPECT_EQ(*store_->AddNotice(bob_, one, Made<SealedNotice>(13)), 4u);  // none twice
    return absl::OkStatus();
  });
}

TEST_P(StoreTest, BoundsNotices) {
  PutDevice(bob_, MakeDevice(1));
  Do([&] {
    for (uint32_t i = 0; i < kMaxNotices; ++i) {
      EXPECT_TRUE(store_->AddNotice(bob_, Made<DeviceId>(1), Made<SealedNotice>(i)).ok());
    }
    EXPECT_TRUE(absl::IsResourceExhausted(store_->AddNotice(bob_, Made<DeviceId>(1), {}).status()));
    EXPECT_TRUE(store_->RemoveNotices(bob_, Made<DeviceId>(1), std::vector<NoticeId>{5}).ok());
    // The one that was refused took no number.
    EXPECT_EQ(*store_->AddNotice(bob_, Made<DeviceId>(1), {}), kMaxNotices + 1);
    return absl::OkStatus();
  });
}

TEST_P(StoreTest, AnotherNoticeKeyForgetsWhatOnlyTheOldOneOpens) {
  PutDevice(bob_, MakeDevice(1));
  PutDevice(bob_, MakeDevice(2));
  Do([&] {
    EXPECT_TRUE(store_->AddNotice(bob_, Made<DeviceId>(1), {}).ok());
    EXPECT_TRUE(store_->AddNotice(bob_, Made<DeviceId>(2), {}).ok());
    EXPECT_TRUE(store_->PutDevice(bob_, MakeDevice(1)).ok());
    return absl::OkStatus();
  });
  EXPECT_EQ(store_->Notices(bob_, Made<DeviceId>(1))->size(), 1u);
  PutDevice(bob_, MakeDevice(1, 7));
  EXPECT_TRUE(store_->Notices(bob_, Made<DeviceId>(1))->empty());
  EXPECT_EQ(store_->Notices(bob_, Made<DeviceId>(2))->size(), 1u);
  EXPECT_EQ(Find(bob_).devices[0], MakeDevice(1, 7));
}

TEST_P(StoreTest, ARemovedDeviceIsForgottenWithItsNotices) {
  PutDevice(bob_, MakeDevice(1));
  Do([&] {
    EXPECT_TRUE(store_->AddNotice(bob_, Made<DeviceId>(1), {}).ok());
    EXPECT_TRUE(store_->RemoveDevice(bob_, Made<DeviceId>(2)).ok());
    return store_->RemoveDevice(bob_, Made<DeviceId>(1));
  });
  EXPECT_TRUE(Find(bob_).devices.empty());
  PutDevice(bob_, MakeDevice(1));
  EXPECT_TRUE(store_->Notices(bob_, Made<DeviceId>(1))->empty());
  Do([&] {
    EXPECT_EQ(*store_->AddNotice(bob_, Made<DeviceId>(1), {}), 2u);  // still none twice
    return absl::OkStatus();
  });
}

TEST_P(StoreTest, OnlyAccountsHaveStanding) {
  Do([&] { return store_->PutStanding(bob_, {.placed = 3}); });
  EXPECT_EQ(*store_->GetStanding(bob_), Standing());
  EXPECT_FALSE(store_->FindAccount(bob_)->has_value());
}

TEST_P(StoreTest, ForgetsWhatIsOverInBoundedSteps) {
  PutDevice(bob_, MakeDevice(1));
  PutDevice(eve_, MakeDevice(1));
  constexpr uint32_t kOld = 1000;
  Do([&] {
    for (uint32_t i = 0; i < kOld; ++i) EXPECT_EQ(Redeem(i, 1, i, 7), Redemption::kAccepted);
    EXPECT_EQ(Redeem(kOld, 1, kOld, 8), Redemption::kAccepted);
    EXPECT_TRUE(store_->Revoke(bob_, 7, Made<Nullifier>(kOld + 1)).ok());
    EXPECT_TRUE(store_->Revoke(bob_, 8, Made<Nullifier>(kOld + 2)).ok());
    for (Epoch epoch : {6, 7, 8, 9}) {
      EXPECT_TRUE(store_->PutEpochKey(bob_, {.epoch = epoch, .public_key = {}, .uses = 1}).ok());
    }
    EXPECT_TRUE(store_->PutStanding(bob_, {.placed = 1, .window_began_unix_s = 99}).ok());
    EXPECT_TRUE(store_->PutStanding(eve_, {.placed = 1, .window_began_unix_s = 100}).ok());
    return absl::OkStatus();
  });
  int steps = 0;
  for (bool more = true; more; ++steps) {
    Do([&] {
      more = *store_->Forget(8, 100);
      return absl::OkStatus();
    });
  }
  EXPECT_GT(steps, 2);
  ASSERT_EQ(Find(bob_).epoch_keys.size(), 2u);
  EXPECT_EQ(Find(bob_).epoch_keys[0].epoch, 8u);
  EXPECT_EQ(*store_->GetStanding(bob_), Standing());
  EXPECT_EQ(store_->GetStanding(eve_)->placed, 1u);
  Do([&] {
    // What was forgotten could be used again, were its epoch not over; what wasn't, can't.
    for (uint32_t i = 0; i < kOld; ++i) EXPECT_EQ(Redeem(i, 1, i, 7), Redemption::kAccepted);
    EXPECT_EQ(Redeem(kOld, 1, kOld + 1, 8), Redemption::kSpent);
    EXPECT_EQ(Redeem(kOld + 2, 1, kOld + 2, 8), Redemption::kSpent);
    return absl::OkStatus();
  });
}

TEST_P(StoreTest, BarsAnAccountUntilItIsNotBarred) {
  Do([&] { return store_->PutSettings(bob_, {.silence_unknown_callers = true}); });
  EXPECT_FALSE(Find(bob_).barred);
  Do([&] { return store_->PutBarred(bob_, true); });
  Do([&] { return store_->PutSettings(bob_, {}); });
  if (GetParam()) Open();
  EXPECT_TRUE(Find(bob_).barred);
  Do([&] { return store_->PutBarred(bob_, false); });
  EXPECT_FALSE(Find(bob_).barred);
  // One that never came can be barred beforehand; there is nothing to take back from one.
  EXPECT_TRUE(absl::IsNotFound(store_->PutBarred(eve_, false)));
  EXPECT_FALSE(store_->FindAccount(eve_)->has_value());
  Do([&] { return store_->PutBarred(eve_, true); });
  EXPECT_TRUE(Find(eve_).barred);
}

TEST_P(StoreTest, TellsHowOftenATokenWasUsed) {
  EXPECT_EQ(*store_->FindTokenUse(Made<Nullifier>(1)), TokenUse());
  Redeem(1, 3, 1);
  Redeem(1, 3, 2);
  EXPECT_EQ(*store_->FindTokenUse(Made<Nullifier>(1)), (TokenUse{.used = 2, .revoked = false}));
  Do([&] { return store_->Revoke(bob_, 7, Made<Nullifier>(1)); });
  EXPECT_EQ(*store_->FindTokenUse(Made<Nullifier>(1)), (TokenUse{.used = 2, .revoked = true}));
  EXPECT_EQ(*store_->FindTokenUse(Made<Nullifier>(2)), TokenUse());
}

TEST_P(StoreTest, CountsTheNoticesThatWait) {
  const Device phone = MakeDevice(1);
  const Device laptop = MakeDevice(2);
  PutDevice(bob_, phone);
  PutDevice(bob_, laptop);
  EXPECT_EQ(store_->notices_waiting(), 0u);
  std::vector<NoticeId> ids;
  Do([&] {
    for (int i = 0; i < 3; ++i) ids.push_back(*store_->AddNotice(bob_, phone.id, {}));
    EXPECT_EQ(store_->notices_waiting(), 0u) << "not committed";
    return store_->AddNotice(bob_, laptop.id, {}).status();
  });
  EXPECT_EQ(store_->notices_waiting(), 4u);
  ASSERT_TRUE(store_->Begin().ok());
  EXPECT_TRUE(store_->AddNotice(bob_, phone.id, {}).ok());
  EXPECT_FALSE(store_->AddNotice(bob_, MakeDevice(9).id, {}).ok());
  store_->Rollback();
  EXPECT_EQ(store_->notices_waiting(), 4u);
  Do([&] { return store_->RemoveNotices(bob_, phone.id, {{ids[0], ids[0], 999}}); });
  EXPECT_EQ(store_->notices_waiting(), 3u);
  if (GetParam()) {
    Open();
    EXPECT_EQ(store_->notices_waiting(), 3u) << "after a restart";
  }
  PutDevice(bob_, MakeDevice(2, /*key=*/1));
  EXPECT_EQ(store_->notices_waiting(), 2u) << "those for the old key are gone";
  Do([&] { return store_->RemoveDevice(bob_, phone.id); });
  EXPECT_EQ(store_->notices_waiting(), 0u);
}

}  // namespace
}  // namespace sotto::signaling
