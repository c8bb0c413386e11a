// SPDX-License-Identifier: Apache-2.0
#include "signaling/session/session_table.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace sotto::signaling {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

constexpr MonotonicMs kStart = 1'000'000;
constexpr SessionTableOptions kOptions = {.heartbeat_s = 30,
                                          .resume_s = 120,
                                          .max_sessions = 10,
                                          .max_per_account = 3,
                                          .frames_per_s = 50,
                                          .frame_burst = 200};
const VerifiedAccount kAlice = VerifiedAccountForTest::Make("alice");
const VerifiedAccount kBob = VerifiedAccountForTest::Make("bob");

DeviceId DeviceOf(uint8_t number) { return {number}; }

std::vector<std::pair<SessionId, int>> Due(SessionTable& table, MonotonicMs now) {
  std::vector<std::pair<SessionId, int>> due;
  for (const auto& one : table.TakeDue(now))
    due.emplace_back(one.session, static_cast<int>(one.what));
  return due;
}
int Code(SessionTable::Due::What what) { return static_cast<int>(what); }

class Table : public ::testing::Test {
 protected:
  Session& Open(const VerifiedAccount& account, uint8_t device, MonotonicMs now = kStart) {
    return table_.Open(account, DeviceOf(device), next_connection_++, now, secret_);
  }
  SessionTable table_{kOptions};
  ConnectionId next_connection_ = 1;
  ResumeSecret secret_ = {};
};

TEST_F(Table, ASecretResumesItsOwnSessionOfItsOwnDevice) {
  Session& first = Open(kAlice, 1);
  const ResumeSecret secret = secret_;
  Open(kAlice, 2);
  EXPECT_NE(secret, secret_);
  EXPECT_EQ(table_.FindResumable(secret, kAlice.id(), DeviceOf(1)), &first);
  EXPECT_EQ(table_.FindResumable(secret, kAlice.id(), DeviceOf(2)), nullptr);
  EXPECT_EQ(table_.FindResumable(secret, kBob.id(), DeviceOf(1)), nullptr);
  EXPECT_EQ(table_.FindResumable({}, kAlice.id(), DeviceOf(1)), nullptr);
  for (size_t i = 0; i < secret.size(); ++i) {
    ResumeSecret other = secret;
    other[i] ^= 1;
    EXPECT_EQ(table_.FindResumable(other, kAlice.id(), DeviceOf(1)), nullptr);
  }
  table_.Erase(first.id);
  EXPECT_EQ(table_.FindResumable(secret, kAlice.id(), DeviceOf(1)), nullptr);
}

TEST_F(Table, IsBoundedInAllAndForEachAccount) {
  for (uint8_t i = 0; i < 3; ++i) {
    EXPECT_EQ(table_.RoomFor(kAlice.id()), SessionTable::Room::kYes);
    Open(kAlice, i);
  }
  EXPECT_EQ(table_.RoomFor(kAlice.id()), SessionTable::Room::kAccountFull);
  EXPECT_EQ(table_.RoomFor(kBob.id()), SessionTable::Room::kYes);
  for (int i = 0; i < 7; ++i) Open(VerifiedAccountForTest::Make("user" + std::to_string(i)), 1);
  EXPECT_EQ(table_.RoomFor(kBob.id()), SessionTable::Room::kTableFull);
  table_.Erase(table_.SessionsOf(kAlice.id()).front());
  EXPECT_EQ(table_.RoomFor(kBob.id()), SessionTable::Room::kYes);
  EXPECT_EQ(table_.RoomFor(kAlice.id()), SessionTable::Room::kYes);
}

TEST_F(Table, ASilentConnectionIsDueAfterTwoHeartbeats) {
  Session& session = Open(kAlice, 1);
  EXPECT_LE(table_.NextDeadline(), kStart + 60'000);
  table_.Heard(session, kStart + 30'000);
  EXPECT_THAT(Due(table_, kStart + 60'000), IsEmpty()) << "it was heard since";
  EXPECT_EQ(table_.NextDeadline(), kStart + 90'000);
  EXPECT_THAT(Due(table_, kStart + 89'999), IsEmpty());
  EXPECT_THAT(Due(table_, kStart + 90'000),
              ElementsAre(std::pair(session.id, Code(SessionTable::Due::What::kSilent))));
  EXPECT_EQ(table_.NextDeadline(), kNever) << "said once";
  table_.Detach(session, kStart + 90'000);
  EXPECT_EQ(table_.NextDeadline(), kStart + 210'000);
}

TEST_F(Table, ASessionWithoutConnectionIsKeptForAWhile) {
  Session& session = Open(kAlice, 1);
  table_.Detach(session, kStart + 1000);
  EXPECT_EQ(session.connection, 0u);
  EXPECT_THAT(Due(table_, kStart + 120'999), IsEmpty());
  EXPECT_THAT(Due(table_, kStart + 121'000),
              ElementsAre(std::pair(session.id, Code(SessionTable::Due::What::kNotResumed))));
}

TEST_F(Table, AResumedSessionLivesOn) {
  Session& session = Open(kAlice, 1);
  table_.Detach(session, kStart);
  table_.Attach(session, 77, kStart + 119'000);
  EXPECT_EQ(session.connection, 77u);
  EXPECT_THAT(Due(table_, kStart + 178'999), IsEmpty());
  EXPECT_THAT(Due(table_, kStart + 179'000),
              ElementsAre(std::pair(session.id, Code(SessionTable::Due::What::kSilent))));
}

TEST_F(Table, AnIdentityEndsWithAndWithoutAConnection) {
  Session& session = Open(kAlice, 1);
  session.identity_until_ms = kStart + 10'000;
  table_.Reschedule(session);
  Session& away = Open(kBob, 1);
  away.identity_until_ms = kStart + 10'000;
  table_.Detach(away, kStart);
  EXPECT_THAT(Due(table_, kStart + 9'999), IsEmpty());
  EXPECT_THAT(Due(table_, kStart + 10'000),
              ElementsAre(std::pair(session.id, Code(SessionTable::Due::What::kIdentityExpired)),
                          std::pair(away.id, Code(SessionTable::Due::What::kIdentityExpired))));
}

TEST_F(Table, ARenewedIdentityIsNotDue) {
  Session& session = Open(kAlice, 1);
  session.identity_until_ms = kStart + 10'000;
  table_.Reschedule(session);
  session.identity_until_ms = kStart + 50'000;
  table_.Reschedule(session);
  EXPECT_THAT(Due(table_, kStart + 10'000), IsEmpty());
  table_.Heard(session, kStart + 10'000);
  EXPECT_THAT(Due(table_, kStart + 50'000),
              ElementsAre(std::pair(session.id, Code(SessionTable::Due::What::kIdentityExpired))));
}

TEST_F(Table, NoticesAreDueOnceAndNotWithoutAConnection) {
  Session& session = Open(kAlice, 1);
  session.notices_at = kStart + 5000;
  table_.Reschedule(session);
  EXPECT_THAT(Due(table_, kStart + 5000),
              ElementsAre(std::pair(session.id, Code(SessionTable::Due::What::kNotices))));
  EXPECT_THAT(Due(table_, kStart + 6000), IsEmpty());
  session.notices_at = kStart + 7000;
  table_.Reschedule(session);
  table_.Detach(session, kStart + 6500);
  EXPECT_THAT(Due(table_, kStart + 8000), IsEmpty());
}

TEST_F(Table, ErasedSessionsAreNeverDue) {
  Session& session = Open(kAlice, 1);
  const SessionId id = session.id;
  table_.Erase(id);
  table_.Erase(id);
  EXPECT_EQ(table_.NextDeadline(), kNever);
  EXPECT_EQ(table_.size(), 0u);
  EXPECT_EQ(table_.Find(id), nullptr);
  EXPECT_THAT(table_.SessionsOf(kAlice.id()), IsEmpty());
  EXPECT_NE(Open(kAlice, 1).id, id) << "ids are never used twice";
}

}  // namespace
}  // namespace sotto::signaling
