// SPDX-License-Identifier: Apache-2.0
// What the operator sees and does, in virtual time, over the real switchboard and a real store.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "signaling/service/service_fixture.h"

namespace sotto::signaling {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;

class OperatorTest : public ServiceTest {
 protected:
  // The answer, once the store has worked.
  absl::StatusOr<uint32_t> SetBlocked(std::string_view account, bool blocked) {
    absl::StatusOr<uint32_t> answer = absl::InternalError("no answer");
    world_.service->SetBlocked(*AccountId::Parse(account), blocked,
                               [&](const absl::StatusOr<uint32_t>& ended) { answer = ended; });
    world_.Settle();
    return answer;
  }
  std::vector<Service::SessionView> List(SessionId first = 1, uint32_t most = 100) {
    std::vector<Service::SessionView> views;
    next_ = world_.service->ListSessions(first, most, views);
    return views;
  }
  uint64_t Ended(SessionEnd end) {
    return world_.service->counters().sessions_ended[static_cast<size_t>(end)];
  }

  SessionId next_ = 0;
};

TEST_F(OperatorTest, SessionsAreListedInPieces) {
  ASSERT_TRUE(alice_.Connect());
  ASSERT_TRUE(phone_.Connect());
  ASSERT_TRUE(laptop_.Connect());
  world_.Advance(5000);
  phone_.Lose();
  const auto all = List();
  ASSERT_THAT(all, SizeIs(3));
  EXPECT_EQ(next_, 0u);
  EXPECT_EQ(all[0].account.text(), "alice");
  EXPECT_EQ(all[1].device, phone_.id());
  EXPECT_TRUE(all[0].connected);
  EXPECT_FALSE(all[1].connected);
  EXPECT_EQ(all[0].age_s, 5u);
  EXPECT_GT(all[0].identity_ends_in_s, 60u);
  EXPECT_EQ(all[0].frames_waiting, 0u);

  ASSERT_THAT(List(1, 2), SizeIs(2));
  EXPECT_EQ(next_, all[2].id);
  ASSERT_THAT(List(next_, 2), SizeIs(1));
  EXPECT_EQ(next_, 0u);
  EXPECT_THAT(world_.service->SessionsOf(*AccountId::Parse("bob")), SizeIs(2));
  EXPECT_THAT(world_.service->SessionsOf(*AccountId::Parse("nobody")), IsEmpty());
  const Service::Counters counters = world_.service->counters();
  EXPECT_EQ(counters.accounts, 2u);
  EXPECT_EQ(counters.sessions_connected, 2u);
  EXPECT_EQ(counters.sessions, 3u);
}

TEST_F(OperatorTest, AnEndedSessionIsGoneAndItsDeviceMayComeBack) {
  ASSERT_TRUE(alice_.Connect());
  const SessionId id = List()[0].id;
  EXPECT_TRUE(world_.service->EndSession(id));
  EXPECT_EQ(alice_.connection().closed, CloseCode::kStopping);
  EXPECT_THAT(List(), IsEmpty());
  EXPECT_FALSE(world_.service->EndSession(id));
  EXPECT_EQ(Ended(SessionEnd::kOperator), 1u);
  EXPECT_TRUE(alice_.Resume());
  EXPECT_FALSE(alice_.welcome().resumed());
}

TEST_F(OperatorTest, ABlockedAccountHasNoSessionAndGetsNone) {
  ASSERT_TRUE(phone_.Connect());
  ASSERT_TRUE(laptop_.Connect());
  ASSERT_TRUE(alice_.Connect());
  laptop_.Lose();
  EXPECT_EQ(SetBlocked("bob", true).value(), 2u);
  EXPECT_EQ(phone_.connection().closed, CloseCode::kBlocked);
  EXPECT_EQ(alice_.connection().closed, std::nullopt);
  ASSERT_THAT(List(), SizeIs(1));
  EXPECT_EQ(Ended(SessionEnd::kBlocked), 2u);

  EXPECT_FALSE(phone_.Connect());
  EXPECT_EQ(phone_.connection().closed, CloseCode::kBlocked);
  EXPECT_FALSE(laptop_.Resume());
  EXPECT_EQ(laptop_.connection().closed, CloseCode::kBlocked);
  EXPECT_EQ(world_.service->counters().blocked_refused, 2u);
  EXPECT_EQ(SetBlocked("bob", true).value(), 0u) << "again is no error";

  EXPECT_EQ(SetBlocked("bob", false).value(), 0u);
  EXPECT_TRUE(phone_.Connect());
  EXPECT_TRUE(absl::IsNotFound(SetBlocked("nobody", false).status()));
}

TEST_F(OperatorTest, WhoSignsInAroundTheBlockHasNoSessionAfterIt) {
  // Before the block, in the store's order; its Welcome comes, and then the end.
  phone_.Connect();
  absl::StatusOr<uint32_t> ended = 0u;
  const auto block = [&] {
    world_.service->SetBlocked(*AccountId::Parse("bob"), true,
                               [&](const absl::StatusOr<uint32_t>& answer) { ended = answer; });
  };
  ConnectionForTest& before = world_.Connect();
  api::ClientFrame hello;
  hello.mutable_hello()->set_identity(world_.Identity("bob"));
  hello.mutable_hello()->set_device(std::string(16, 'x'));
  hello.mutable_hello()->set_notice_key(std::string(32, 'k'));
  world_.Receive(before, hello);
  block();
  ConnectionForTest& after = world_.Connect();
  hello.mutable_hello()->set_device(std::string(16, 'y'));
  world_.Receive(after, hello);
  world_.Settle();
  EXPECT_EQ(*ended, 2u);
  EXPECT_EQ(before.closed, CloseCode::kBlocked);
  EXPECT_EQ(after.closed, CloseCode::kBlocked);
  EXPECT_THAT(after.frames, IsEmpty());
  EXPECT_THAT(List(), IsEmpty());
}

TEST_F(OperatorTest, WhatABlockedAccountHadPlacedIsOver) {
  ASSERT_TRUE(alice_.Connect());
  ASSERT_TRUE(phone_.Connect());
  alice_.Request(PlaceCall("bob"));
  EXPECT_EQ(Count(phone_.Events(), &api::ServerFrame::has_incoming_call), 1u);
  // One more that the store hasn't decided yet: it is behind the block, and rings nowhere.
  world_.service->SetBlocked(*AccountId::Parse("alice"), true,
                             [](const absl::StatusOr<uint32_t>&) {});
  alice_.Send(PlaceCall("bob", 'q'));
  world_.Settle();
  const auto events = phone_.Events();
  EXPECT_EQ(Count(events, &api::ServerFrame::has_incoming_call), 0u);
  EXPECT_EQ(Count(events, &api::ServerFrame::has_call_stopped), 1u);
  EXPECT_EQ(alice_.connection().closed, CloseCode::kBlocked);
  EXPECT_EQ(world_.service->call_counters().calls, 0u);
}

TEST_F(OperatorTest, ACallOfABlockedAccountThatIsConnectedEnds) {
  ASSERT_TRUE(alice_.Connect());
  ASSERT_TRUE(phone_.Connect());
  const std::string call = alice_.Request(PlaceCall("bob")).call_placed().call();
  api::ClientFrame accept;
  accept.mutable_accept_call()->set_call(call);
  accept.mutable_accept_call()->set_answer(Body());
  EXPECT_TRUE(phone_.Request(accept).has_done());
  EXPECT_EQ(world_.service->call_counters().connected_calls, 1u);
  ASSERT_TRUE(SetBlocked("bob", true).ok());
  EXPECT_EQ(Count(alice_.Events(), &api::ServerFrame::has_call_ended), 1u);
  EXPECT_THAT(world_.relays.ended, SizeIs(1));
  EXPECT_EQ(world_.service->call_counters().connected_calls, 0u);
  EXPECT_EQ(world_.service->call_counters().ended_answered, 1u);
}

// Byte for byte but for what is random, whoever is called and whatever the operator has done.
TEST_F(OperatorTest, ACallerSeesTheSameOfABlockedRecipientAndOfNobody) {
  ASSERT_TRUE(alice_.Connect());
  ASSERT_TRUE(phone_.Connect());
  ASSERT_TRUE(SetBlocked("bob", true).ok());
  const auto transcript = [&](const std::string& recipient, char place) {
    std::vector<std::pair<uint64_t, std::string>> seen;
    const MonotonicMs began = world_.now.monotonic_ms;
    alice_.connection().on_send = [&](const api::ServerFrame& frame) {
      api::ServerFrame plain = frame;
      plain.set_seq(0);
      plain.set_ack(0);
      plain.set_request(0);
      if (plain.has_call_placed()) {
        plain.mutable_call_placed()->set_call(std::string(16, 'c'));
        plain.mutable_call_placed()->set_place_id(std::string(16, 'p'));
        plain.mutable_call_placed()->mutable_relay()->clear_username();
      }
      if (plain.has_call_ended()) plain.mutable_call_ended()->set_call(std::string(16, 'c'));
      seen.emplace_back(world_.now.monotonic_ms - began, plain.SerializeAsString());
    };
    alice_.Send(PlaceCall(recipient, place));
    world_.Settle();
    for (int s = 0; s < 50; ++s) {
      world_.Advance(1000);
      alice_.Ping();
    }
    alice_.connection().on_send = nullptr;
    alice_.Take();
    return seen;
  };
  const auto nobody = transcript("nobody", '1');
  EXPECT_THAT(nobody, SizeIs(52));
  EXPECT_EQ(transcript("bob", '2'), nobody);
  EXPECT_EQ(transcript("carol", '3'), nobody);
}

TEST_F(OperatorTest, AFullStoreIsSaidAndNothingChanges) {
  ASSERT_TRUE(phone_.Connect());
  world_.store.full = true;
  EXPECT_TRUE(absl::IsUnavailable(SetBlocked("bob", true).status()));
  world_.store.full = false;
  world_.store.broken = absl::InternalError("the disk is full");
  EXPECT_FALSE(SetBlocked("bob", true).ok());
  world_.store.broken = absl::OkStatus();
  EXPECT_EQ(phone_.connection().closed, std::nullopt);
  EXPECT_THAT(List(), SizeIs(1));
}

TEST_F(OperatorTest, LimitsAreForSessionsToCome) {
  ASSERT_TRUE(alice_.Connect());
  ASSERT_TRUE(phone_.Connect());
  world_.service->SetSessionLimits({.max_sessions = 1});
  EXPECT_THAT(List(), SizeIs(2));
  EXPECT_FALSE(laptop_.Connect());
  EXPECT_EQ(laptop_.connection().closed, CloseCode::kTooMany);
  EXPECT_EQ(world_.service->counters().full_refused, 1u);
  world_.service->SetSessionLimits({.max_sessions = 3});
  EXPECT_TRUE(laptop_.Connect());
}

TEST_F(OperatorTest, WhatWasWrongWithAnIdentityIsCounted) {
  const auto faults = [&] {
    std::vector<uint64_t> counts;
    for (const uint64_t count : world_.service->counters().identity_faults) counts.push_back(count);
    return counts;
  };
  api::ClientFrame hello;
  hello.mutable_hello()->set_device(std::string(16, 'd'));
  hello.mutable_hello()->set_notice_key(std::string(32, 'k'));
  hello.mutable_hello()->set_identity("no JWT");
  world_.Receive(world_.Connect(), hello);
  const std::string good = world_.Identity("alice");
  hello.mutable_hello()->set_identity(good.substr(0, good.rfind('.') + 1) + std::string(86, 'A'));
  world_.Receive(world_.Connect(), hello);
  hello.mutable_hello()->set_identity(good);
  world_.now.unix_ms += int64_t{400} * 24 * 3600 * 1000;
  world_.Receive(world_.Connect(), hello);
  EXPECT_THAT(faults(), ElementsAre(1, 0, 1, 1, 0, 0, 0, 0));
  EXPECT_EQ(world_.service->counters().identities_refused, 3u);
}

}  // namespace
}  // namespace sotto::signaling
