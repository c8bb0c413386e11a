// SPDX-License-Identifier: Apache-2.0
#include "signaling/decision/decider.h"

#include <gtest/gtest.h>

#include <functional>
#include <map>
#include <string>
#include <vector>

#include "signaling/decision/decision_fixture.h"

namespace sotto::signaling {
namespace {

// bob silences unknown callers and has one device, open has one and doesn't silence; eve and carol
// call.
class DeciderTest : public ::testing::Test {
 protected:
  void SetUp() override { Start({}); }

  void Start(const DeciderOptions& options) {
    decider_.reset();
    notices_.reset();
    store_ = OpenSqliteStore(
                 {.path = ":memory:",
                  .on_statement = [this](std::string_view sql) { statements_.emplace_back(sql); }})
                 .value();
    Reopen(options);
    ASSERT_TRUE(store_->Begin().ok());
    for (const TestPerson* person : {&open_, &bob_}) {
      device_ = TestPerson::MakeDevice(1, &device_secret_);
      Put([&] { return store_->PutDevice(person->account(), device_); });
      Put([&] { return store_->PutEpochKey(person->account(), person->Key()); });
    }
    Put([&] { return store_->PutSettings(bob_.account(), {.silence_unknown_callers = true}); });
    for (const char* caller : {"eve", "carol"}) {
      Put([&] { return store_->PutDevice(Account(caller), TestPerson::MakeDevice(1)); });
    }
    ASSERT_TRUE(store_->Commit().ok());
  }
  // Another process's memory, on the same store.
  void Reopen(const DeciderOptions& options) {
    notices_ = std::make_unique<NoticeBox>(*store_);
    decider_ = std::make_unique<Decider>(options, kKey, *store_, *notices_);
  }
  void Put(const std::function<absl::Status()>& put) {
    const absl::Status status = put();
    ASSERT_TRUE(status.ok()) << status;
  }
  void Block(const AccountId& owner, std::string_view blocked) {
    Put([&] {
      return store_->PutBlock(owner, decider_->HashBlock(owner, Account(blocked)), true);
    });
  }

  DecisionRequest Call(const AccountId& recipient, std::optional<Token> token = std::nullopt,
                       std::string_view caller = "eve") {
    return {
        .call = Id(++calls_), .caller = Verified(caller), .recipient = recipient, .token = token};
  }
  Decision Decide(const DecisionRequest& request, int64_t unix_s = kTestNow) {
    auto decided = decider_->Decide({&request, 1}, unix_s);
    EXPECT_TRUE(decided.ok()) << decided.status();
    return (*decided)[0];
  }
  bool Rings(const DecisionRequest& request, int64_t unix_s = kTestNow) {
    return Decide(request, unix_s).ring;
  }
  // How many calls bob's only notice stands for.
  int CountOfNotice() {
    const auto notices = *store_->Notices(bob_.account(), Id(1));
    NoticeBytes notice = {};
    if (notices.size() != 1 ||
        crypto_box_seal_open(notice.data(), notices[0].sealed.data(), kSealedNoticeSize,
                             device_.notice_key.data(), device_secret_.data()) != 0) {
      return -1;
    }
    return notice[2] << 8 | notice[3];
  }
  size_t Waiting(const AccountId& account) { return *store_->CountNotices(account, Id(1)); }

  static constexpr ServerKey kKey = {1, 2, 3};
  const TestPerson bob_{"bob"};
  const TestPerson open_{"open"};
  Device device_;  // bob's
  NoticeKey device_secret_;
  std::vector<std::string> statements_;
  std::unique_ptr<Store> store_;
  std::unique_ptr<NoticeBox> notices_;
  std::unique_ptr<Decider> decider_;
  uint64_t calls_ = 0;
};

TEST_F(DeciderTest, ACallRingsWhereNothingIsSilenced) {
  const DecisionRequest request = Call(open_.account());
  const Decision decision = Decide(request);
  EXPECT_EQ(decision.call, request.call);
  EXPECT_TRUE(decision.ring);
  EXPECT_FALSE(decision.noticed);
  EXPECT_FALSE(decision.serial);
  EXPECT_EQ(Waiting(open_.account()), 0u);
}

TEST_F(DeciderTest, AStrangerIsSilencedAndNoticed) {
  const Decision decision = Decide(Call(bob_.account()));
  EXPECT_FALSE(decision.ring);
  EXPECT_TRUE(decision.noticed);
  EXPECT_EQ(Waiting(bob_.account()), 1u);
}

TEST_F(DeciderTest, ATokenRingsOnce) {
  const Token token = bob_.Issue(1);
  const Decision decision = Decide(Call(bob_.account(), token));
  EXPECT_TRUE(decision.ring);
  EXPECT_EQ(decision.serial, token.serial);
  EXPECT_FALSE(decision.noticed);
  EXPECT_FALSE(Rings(Call(bob_.account(), token)));
  EXPECT_FALSE(Rings(Call(bob_.account(), token, "carol")));
  EXPECT_EQ(Waiting(bob_.account()), 1u + 1u);
}

TEST_F(DeciderTest, ATokenOfThreeUsesRingsThreeTimes) {
  Put([&] { return store_->PutEpochKey(bob_.account(), bob_.Key(kTestEpoch, 3)); });
  const Token token = bob_.Issue(1);
  for (int i = 0; i < 3; ++i) EXPECT_TRUE(Rings(Call(bob_.account(), token)));
  EXPECT_FALSE(Rings(Call(bob_.account(), token)));
}

TEST_F(DeciderTest, TheSameCallAgainIsTheSameCallUntilItEnds) {
  const DecisionRequest request = Call(bob_.account(), bob_.Issue(1));
  EXPECT_TRUE(Rings(request));
  EXPECT_TRUE(Rings(request));
  Reopen({});
  EXPECT_TRUE(Rings(request));
  ASSERT_TRUE(store_->EndRedemption(request.call).ok());
  EXPECT_FALSE(Rings(request));
}

TEST_F(DeciderTest, EveryOneBitChangeOfATokenIsSilenced) {
  Start({.pair_calls = UINT32_MAX, .standing_silenced = UINT32_MAX});
  EpochKey other = bob_.Key(kTestEpoch + 1);
  Put([&] { return store_->PutEpochKey(bob_.account(), other); });
  TokenBytes bytes;
  const Token good = bob_.Issue(1);
  bytes[0] = kTokenVersion;
  StoreBe32(&bytes[1], good.epoch);
  std::ranges::copy(good.serial, &bytes[5]);
  std::ranges::copy(good.signature, &bytes[21]);
  for (size_t bit = 0; bit < 8 * kTokenSize; ++bit) {
    TokenBytes bad = bytes;
    bad[bit / 8] ^= static_cast<uint8_t>(1 << bit % 8);
    EXPECT_FALSE(Rings(Call(bob_.account(), Token::Parse(bad)))) << bit;
  }
  EXPECT_TRUE(Rings(Call(bob_.account(), Token::Parse(bytes))));
}

TEST_F(DeciderTest, OnlyLiveEpochsRing) {
  for (const Epoch epoch : {kTestEpoch - 2, kTestEpoch - 1, kTestEpoch, kTestEpoch + 1}) {
    Put([&] { return store_->PutEpochKey(bob_.account(), bob_.Key(epoch)); });
    const bool live = epoch == kTestEpoch - 1 || epoch == kTestEpoch;
    EXPECT_EQ(Rings(Call(bob_.account(), bob_.Issue(1, epoch))), live) << epoch;
  }
  const int64_t edge = (kTestEpoch + 1) * kEpochSeconds;
  const auto at = [&](Epoch epoch, uint64_t serial, int64_t unix_s) {
    return Rings(Call(bob_.account(), bob_.Issue(serial, epoch)), unix_s);
  };
  EXPECT_FALSE(at(kTestEpoch + 1, 2, edge - 301));
  EXPECT_TRUE(at(kTestEpoch + 1, 2, edge - 300));
  EXPECT_TRUE(at(kTestEpoch - 1, 2, edge + 299));
  EXPECT_FALSE(at(kTestEpoch - 1, 3, edge + 300));
}

TEST_F(DeciderTest, AnothersTokenIsSilenced) {
  EXPECT_FALSE(Rings(Call(bob_.account(), open_.Issue(1))));
  const TestPerson stranger("bob");
  EXPECT_FALSE(Rings(Call(bob_.account(), stranger.Issue(1))));
  EXPECT_FALSE(Rings(Call(bob_.account(), TheDummyToken().token)));
}

TEST_F(DeciderTest, ANewKeyRevokesTheOldOnesTokens) {
  const Token token = bob_.Issue(1);
  const TestPerson next("bob");
  Put([&] { return store_->PutEpochKey(bob_.account(), next.Key()); });
  EXPECT_FALSE(Rings(Call(bob_.account(), token)));
  EXPECT_TRUE(Rings(Call(bob_.account(), next.Issue(1))));
}

TEST_F(DeciderTest, ARevokedSerialIsSilenced) {
  const Token token = bob_.Issue(1);
  Put([&] {
    return store_->Revoke(bob_.account(), token.epoch,
                          MakeNullifier(bob_.account(), token.epoch, token.serial));
  });
  EXPECT_FALSE(Rings(Call(bob_.account(), token)));
  EXPECT_TRUE(Rings(Call(bob_.account(), bob_.Issue(2))));
}

TEST_F(DeciderTest, WithoutSilencingATokenIsUsedUpButNotNeeded) {
  const Token token = open_.Issue(1);
  EXPECT_TRUE(Decide(Call(open_.account(), token)).serial);
  const Decision again = Decide(Call(open_.account(), token));
  EXPECT_TRUE(again.ring);
  EXPECT_FALSE(again.serial);
}

TEST_F(DeciderTest, ABlockedCallerIsSilencedEvenWithATokenAndLeavesNoNotice) {
  Block(bob_.account(), "eve");
  Block(open_.account(), "eve");
  const Token token = bob_.Issue(1);
  const Decision decision = Decide(Call(bob_.account(), token));
  EXPECT_FALSE(decision.ring);
  EXPECT_FALSE(decision.noticed);
  EXPECT_FALSE(Rings(Call(open_.account())));
  EXPECT_EQ(Waiting(bob_.account()) + Waiting(open_.account()), 0u);
  // It used nothing up.
  EXPECT_TRUE(Rings(Call(bob_.account(), token, "carol")));
}

TEST_F(DeciderTest, OneselfAndNobodyAreUnknown) {
  EXPECT_FALSE(Rings(Call(Account("nobody"))));
  EXPECT_FALSE(Rings(Call(Account("eve"))));
  const Decision decision = Decide(Call(open_.account(), open_.Issue(1), "open"));
  EXPECT_FALSE(decision.ring);
  EXPECT_FALSE(decision.noticed);
  EXPECT_EQ(Waiting(open_.account()), 0u);
}

TEST_F(DeciderTest, ACallWithNothingButATokenCanRing) {
  DecisionRequest request = Call(bob_.account(), bob_.Issue(1));
  request.caller.reset();
  EXPECT_TRUE(Rings(request));
  request = Call(bob_.account());
  request.caller.reset();
  EXPECT_FALSE(Rings(request));
  EXPECT_EQ(Waiting(bob_.account()), 1u);
  // All of these together have no rate.
  for (uint64_t i = 2; i < 20; ++i) {
    request = Call(bob_.account(), bob_.Issue(i));
    request.caller.reset();
    EXPECT_TRUE(Rings(request)) << i;
  }
}

TEST_F(DeciderTest, EithersSettingProtectsAddresses) {
  EXPECT_FALSE(Decide(Call(open_.account())).protect_address);
  Put([&] { return store_->PutSettings(Account("eve"), {.protect_ip_address = true}); });
  EXPECT_TRUE(Decide(Call(open_.account())).protect_address);
  EXPECT_FALSE(Decide(Call(open_.account(), std::nullopt, "carol")).protect_address);
  Put([&] { return store_->PutSettings(open_.account(), {.protect_ip_address = true}); });
  EXPECT_TRUE(Decide(Call(open_.account(), std::nullopt, "carol")).protect_address);
}

TEST_F(DeciderTest, APairHasARate) {
  Start({.pair_calls = 3, .pair_window_s = 100});
  for (int i = 0; i < 3; ++i) EXPECT_TRUE(Rings(Call(open_.account())));
  EXPECT_FALSE(Rings(Call(open_.account())));
  EXPECT_TRUE(Rings(Call(open_.account(), std::nullopt, "carol")));
  const Token token = bob_.Issue(1);
  EXPECT_TRUE(Rings(Call(bob_.account(), token)));
  EXPECT_FALSE(Rings(Call(open_.account()), kTestNow + 99));
  EXPECT_TRUE(Rings(Call(open_.account()), kTestNow + 100));
}

TEST_F(DeciderTest, ACallBeyondThePairsRateUsesUpNoToken) {
  Start({.pair_calls = 1, .pair_window_s = 100});
  EXPECT_TRUE(Rings(Call(bob_.account(), bob_.Issue(1))));
  const Token token = bob_.Issue(2);
  EXPECT_FALSE(Rings(Call(bob_.account(), token)));
  EXPECT_TRUE(Rings(Call(bob_.account(), token), kTestNow + 100));
}

TEST_F(DeciderTest, WhoIsSilencedTooOftenIsSilencedByAllUntilTheWindowEnds) {
  Start({.pair_calls = 100, .standing_silenced = 5, .standing_window_s = 1000});
  for (int i = 0; i < 5; ++i) EXPECT_FALSE(Rings(Call(bob_.account())));
  EXPECT_TRUE(Rings(Call(open_.account())));  // five are allowed
  EXPECT_FALSE(Rings(Call(Account("nobody"))));
  EXPECT_FALSE(Rings(Call(open_.account())));
  EXPECT_FALSE(Rings(Call(bob_.account(), bob_.Issue(1))));
  EXPECT_TRUE(Rings(Call(open_.account(), std::nullopt, "carol")));
  Reopen({.pair_calls = 100, .standing_silenced = 5, .standing_window_s = 1000});
  EXPECT_FALSE(Rings(Call(open_.account()), kTestNow + 999));
  EXPECT_TRUE(Rings(Call(open_.account()), kTestNow + 1000));
}

TEST_F(DeciderTest, ABatchIsDecidedAsIfOneAfterTheOther) {
  Start({.pair_calls = 3});
  const Token token = bob_.Issue(1);
  std::vector<DecisionRequest> requests = {Call(bob_.account(), token), Call(bob_.account(), token),
                                           Call(open_.account()),       Call(open_.account()),
                                           Call(open_.account()),       Call(open_.account())};
  auto decided = decider_->Decide(requests, kTestNow);
  ASSERT_TRUE(decided.ok());
  std::vector<bool> rings;
  for (size_t i = 0; i < requests.size(); ++i) {
    EXPECT_EQ((*decided)[i].call, requests[i].call);
    rings.push_back((*decided)[i].ring);
  }
  EXPECT_EQ(rings, (std::vector<bool>{true, false, true, true, true, false}));
  EXPECT_EQ(*store_->GetStanding(Account("eve")),
            (Standing{.placed = 6, .silenced = 2, .window_began_unix_s = kTestNow}));
}

// --- No oracle

// What the decider does to the store is the same, statement for statement, whatever comes out.
TEST_F(DeciderTest, RunsTheSameStatementsWhateverTheOutcome) {
  Start({.pair_calls = 2});
  const AccountId blocker = Account("blocker"), no_device = Account("no-device");
  Put([&] { return store_->PutDevice(blocker, TestPerson::MakeDevice(1)); });
  Put([&] { return store_->PutSettings(no_device, {.silence_unknown_callers = true}); });
  Block(blocker, "eve");
  Token malformed = bob_.Issue(9);
  malformed.signature[63] = 0xff;  // S beyond the group's order
  Token forged = bob_.Issue(10);
  forged.signature[0] ^= 1;
  const Token token = bob_.Issue(1);
  const DecisionRequest with_token = Call(bob_.account(), token);
  DecisionRequest nameless = Call(bob_.account());
  nameless.caller.reset();

  const TestPerson barred("barred");
  Put([&] { return store_->PutDevice(barred.account(), TestPerson::MakeDevice(1)); });
  Put([&] { return store_->PutEpochKey(barred.account(), barred.Key()); });
  Put([&] { return store_->PutBarred(barred.account(), true); });

  const std::vector<std::pair<std::string, DecisionRequest>> calls = {
      {"rings", Call(open_.account())},
      {"rings with a token", with_token},
      {"the same call again", with_token},
      {"a spent token", Call(bob_.account(), token, "carol")},
      {"silenced, a new notice", Call(bob_.account(), std::nullopt, "dora")},
      {"silenced, the same notice", Call(bob_.account(), std::nullopt, "dora")},
      {"beyond the pair's rate", Call(bob_.account(), std::nullopt, "dora")},
      {"blocked", Call(blocker)},
      {"blocked, with a token", Call(blocker, bob_.Issue(2))},
      {"nobody", Call(Account("nobody"))},
      {"nobody, with a token", Call(Account("nobody"), bob_.Issue(3))},
      {"oneself", Call(bob_.account(), std::nullopt, "bob")},
      {"no device", Call(no_device)},
      {"barred", Call(barred.account())},
      {"barred, with a token", Call(barred.account(), barred.Issue(5))},
      {"by one who is barred", Call(open_.account(), std::nullopt, "barred")},
      {"a malformed token", Call(bob_.account(), malformed, "fred")},
      {"a forged token", Call(bob_.account(), forged, "fred")},
      {"a token of another epoch", Call(bob_.account(), bob_.Issue(4, 1), "gwen")},
      {"a caller without a name", nameless},
  };
  std::vector<std::string> expected;
  for (const auto& [what, request] : calls) {
    statements_.clear();
    Decide(request);
    if (expected.empty()) expected = statements_;
    EXPECT_EQ(statements_, expected) << what;
  }
  EXPECT_EQ(expected.size(), 19u);
  EXPECT_EQ(Waiting(no_device), 0u);
}

// Of whom the operator blocks, callers and stores learn what they learn of nobody.
TEST_F(DeciderTest, WhoIsBarredIsToCallersAsOneWhoDoesNotExist) {
  const Token token = open_.Issue(1);
  Put([&] { return store_->PutBarred(open_.account(), true); });
  const Decision nobody = Decide(Call(Account("nobody"), token));
  const Decision barred = Decide(Call(open_.account(), token));
  EXPECT_EQ(barred.ring, nobody.ring);
  EXPECT_EQ(barred.noticed, nobody.noticed);
  EXPECT_EQ(barred.serial, nobody.serial);
  EXPECT_EQ(barred.protect_address, nobody.protect_address);
  EXPECT_FALSE(barred.ring);
  EXPECT_EQ(Waiting(open_.account()), 0u);
  EXPECT_EQ(*store_->GetStanding(Account("eve")),
            (Standing{.placed = 2, .silenced = 2, .window_began_unix_s = kTestNow}));
  Put([&] { return store_->PutBarred(open_.account(), false); });
  EXPECT_TRUE(Rings(Call(open_.account(), token))) << "its token was used up meanwhile";
}

TEST_F(DeciderTest, NothingThatTheBarredPlaceRings) {
  Put([&] { return store_->PutBarred(Account("eve"), true); });
  for (const AccountId& recipient : {open_.account(), bob_.account()}) {
    const Token token = (recipient == bob_.account() ? bob_ : open_).Issue(1);
    const Decision decision = Decide(Call(recipient, token));
    EXPECT_FALSE(decision.ring);
    EXPECT_FALSE(decision.noticed);
    EXPECT_EQ(Waiting(recipient), 0u);
    EXPECT_TRUE(Rings(Call(recipient, token, "carol"))) << "the token was used up";
  }
}

TEST_F(DeciderTest, SaysWhatBecameOfTheToken) {
  const auto result = [&](const AccountId& recipient, std::optional<Token> token) {
    return Decide(Call(recipient, token)).token;
  };
  const Token token = bob_.Issue(1);
  EXPECT_EQ(result(bob_.account(), std::nullopt), TokenResult::kNone);
  EXPECT_EQ(result(bob_.account(), open_.Issue(1)), TokenResult::kInvalid);
  EXPECT_EQ(result(bob_.account(), token), TokenResult::kAccepted);
  EXPECT_EQ(result(bob_.account(), token), TokenResult::kSpent);
  Block(bob_.account(), "eve");
  EXPECT_EQ(result(bob_.account(), bob_.Issue(2)), TokenResult::kUnused);
}

TEST_F(DeciderTest, AFullBoxTakesTheSameStatements) {
  Start({.standing_silenced = UINT32_MAX});
  std::vector<std::string> expected;
  for (int i = 0; i < 40; ++i) {
    statements_.clear();
    Decide(Call(bob_.account(), std::nullopt, "eve" + std::to_string(i)));
    if (expected.empty()) expected = statements_;
    EXPECT_EQ(statements_, expected) << i;
  }
  Reopen({});
  statements_.clear();
  Decide(Call(bob_.account()));
  EXPECT_EQ(statements_, expected);
  EXPECT_EQ(Waiting(bob_.account()), kMaxNotices);
}

// --- Errors

// Fails each of its functions in turn.
class FailingStore : public Store {
 public:
  explicit FailingStore(Store& store) : store_(store) {}
  // The call after so many; negative: none.
  void FailAfter(int calls) { left_ = calls; }
  bool failed() const { return left_ < -1'000'000; }

  absl::Status Begin() override { return Fails() ? Error() : store_.Begin(); }
  absl::Status Commit() override { return Fails() ? Error() : store_.Commit(); }
  void Rollback() override { store_.Rollback(); }
  absl::StatusOr<std::optional<AccountRecord>> FindAccount(const AccountId& a) override {
    if (Fails()) return Error();
    return store_.FindAccount(a);
  }
  absl::StatusOr<bool> IsBlocked(const AccountId& a, const BlockHash& b) override {
    if (Fails()) return Error();
    return store_.IsBlocked(a, b);
  }
  absl::StatusOr<Standing> GetStanding(const AccountId& a) override {
    if (Fails()) return Error();
    return store_.GetStanding(a);
  }
  absl::StatusOr<std::vector<StoredNotice>> Notices(const AccountId& a,
                                                    const DeviceId& d) override {
    if (Fails()) return Error();
    return store_.Notices(a, d);
  }
  absl::Status PutDevice(const AccountId& a, const Device& d) override {
    return Fails() ? Error() : store_.PutDevice(a, d);
  }
  absl::Status RemoveDevice(const AccountId& a, const DeviceId& d) override {
    return Fails() ? Error() : store_.RemoveDevice(a, d);
  }
  absl::Status PutSettings(const AccountId& a, const AccountSettings& s) override {
    return Fails() ? Error() : store_.PutSettings(a, s);
  }
  absl::Status PutAccountKeys(const AccountId& a, const AccountPublicKeys& k) override {
    return Fails() ? Error() : store_.PutAccountKeys(a, k);
  }
  absl::Status PutEpochKey(const AccountId& a, const EpochKey& k) override {
    return Fails() ? Error() : store_.PutEpochKey(a, k);
  }
  absl::Status PutBlock(const AccountId& a, const BlockHash& b, bool on) override {
    return Fails() ? Error() : store_.PutBlock(a, b, on);
  }
  absl::Status PutBarred(const AccountId& a, bool barred) override {
    return Fails() ? Error() : store_.PutBarred(a, barred);
  }
  absl::StatusOr<TokenUse> FindTokenUse(const Nullifier& n) override {
    if (Fails()) return Error();
    return store_.FindTokenUse(n);
  }
  uint64_t notices_waiting() const override { return store_.notices_waiting(); }
  absl::Status PutStanding(const AccountId& a, const Standing& s) override {
    return Fails() ? Error() : store_.PutStanding(a, s);
  }
  absl::StatusOr<Redemption> Redeem(const Nullifier& n, Epoch e, uint16_t u,
                                    const CallId& c) override {
    if (Fails()) return Error();
    return store_.Redeem(n, e, u, c);
  }
  absl::Status EndRedemption(const CallId& c) override {
    return Fails() ? Error() : store_.EndRedemption(c);
  }
  absl::Status Revoke(const AccountId& a, Epoch e, const Nullifier& n) override {
    return Fails() ? Error() : store_.Revoke(a, e, n);
  }
  absl::StatusOr<size_t> CountNotices(const AccountId& a, const DeviceId& d) override {
    if (Fails()) return Error();
    return store_.CountNotices(a, d);
  }
  absl::StatusOr<NoticeId> AddNotice(const AccountId& a, const DeviceId& d,
                                     const SealedNotice& n) override {
    if (Fails()) return Error();
    return store_.AddNotice(a, d, n);
  }
  absl::StatusOr<bool> ReplaceNotice(const AccountId& a, const DeviceId& d, NoticeId i,
                                     const SealedNotice& n) override {
    if (Fails()) return Error();
    return store_.ReplaceNotice(a, d, i, n);
  }
  absl::Status RemoveNotices(const AccountId& a, const DeviceId& d,
                             std::span<const NoticeId> ids) override {
    return Fails() ? Error() : store_.RemoveNotices(a, d, ids);
  }
  absl::StatusOr<bool> Forget(Epoch e, int64_t s) override {
    if (Fails()) return Error();
    return store_.Forget(e, s);
  }

 private:
  bool Fails() {
    if (left_ != 0) {
      if (left_ > 0) --left_;
      return false;
    }
    left_ = INT32_MIN;
    return true;
  }
  static absl::Status Error() { return absl::UnavailableError("the disk is full"); }

  Store& store_;
  int left_ = -1;
};

TEST_F(DeciderTest, AnErrorAnywhereChangesNothingInTheStoreOrInMemory) {
  int failures = 0;
  for (int after = 0;; ++after) {
    Start({.pair_calls = 1});
    FailingStore failing(*store_);
    NoticeBox notices(failing);
    Decider decider({.pair_calls = 1}, kKey, failing, notices);
    const Token token = bob_.Issue(1);
    const std::vector<DecisionRequest> requests = {Call(bob_.account(), token),
                                                   Call(bob_.account(), std::nullopt, "carol"),
                                                   Call(open_.account())};

    failing.FailAfter(after);
    auto decided = decider.Decide(requests, kTestNow);
    if (!failing.failed()) {
      ASSERT_TRUE(decided.ok());
      break;
    }
    ++failures;
    EXPECT_TRUE(absl::IsUnavailable(decided.status())) << after;
    EXPECT_EQ(Waiting(bob_.account()), 0u) << after;
    EXPECT_EQ(*store_->GetStanding(Account("eve")), Standing()) << after;

    decided = decider.Decide(requests, kTestNow);
    ASSERT_TRUE(decided.ok()) << after << ": " << decided.status();
    EXPECT_TRUE((*decided)[0].ring) << after;
    EXPECT_FALSE((*decided)[1].ring) << after;
    EXPECT_TRUE((*decided)[2].ring) << after;
    EXPECT_EQ(CountOfNotice(), 1) << after;
    EXPECT_EQ(store_->GetStanding(Account("eve"))->placed, 2u) << after;
  }
  EXPECT_GT(failures, 20);
}

}  // namespace
}  // namespace sotto::signaling
