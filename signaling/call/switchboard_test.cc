// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

#include "signaling/call/place_rate.h"
#include "signaling/call/switchboard_fixture.h"

namespace sotto::signaling {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using Kind = Effect::Kind;

// --- Placing

TEST_F(SwitchboardTest, CallPlacedIsSentBeforeAnythingIsDecided) {
  const uint64_t request = world_.Place(kAlice, "bob", 5);
  ASSERT_EQ(world_.effects.size(), 2u);
  const Effect& placed = world_.effects[0];
  EXPECT_EQ(placed.session, kAlice);
  EXPECT_EQ(placed.frame.request(), request);
  EXPECT_EQ(placed.frame.call_placed().place_id(), CallWorld::PlaceId(5));
  EXPECT_EQ(placed.frame.call_placed().call().size(), 16u);
  EXPECT_EQ(placed.frame.call_placed().relay().urls(0), "turn:relay0");
  // Valid for credential_s from now.
  EXPECT_THAT(placed.frame.call_placed().relay().username(), ::testing::StartsWith("1800000601:"));
  EXPECT_THAT(placed.frame.call_placed().relay().username(), ::testing::EndsWith("/a"));
  const Effect& decide = world_.effects[1];
  EXPECT_EQ(decide.kind, Kind::kDecide);
  EXPECT_EQ(decide.call, CallWorld::ToId(placed.frame.call_placed().call()));
  EXPECT_EQ(decide.caller, "alice");
  EXPECT_EQ(decide.recipient, "bob");
  EXPECT_FALSE(decide.has_token);
}

TEST_F(SwitchboardTest, MalformedPlaceCallsAreRefusedAndLeaveNothing) {
  const auto place = [&](size_t id, const std::string& recipient, size_t token, size_t offer) {
    api::PlaceCall message;
    message.set_place_id(std::string(id, 'p'));
    message.set_recipient(recipient);
    message.set_token(std::string(token, 't'));
    message.set_offer(std::string(offer, 'o'));
    world_.Handle(kAlice, message);
    return Words(kAlice);
  };
  const auto malformed = ElementsAre("refused MALFORMED");
  for (const size_t id : {0, 15, 17}) EXPECT_THAT(place(id, "bob", 0, 512), malformed) << id;
  for (const char* name : {"", "b b", "b\n", "\xc3\xa9"}) {
    EXPECT_THAT(place(16, name, 0, 512), malformed) << name;
  }
  EXPECT_THAT(place(16, std::string(65, 'b'), 0, 512), malformed);
  for (const size_t token : {1, 84, 86}) {
    EXPECT_THAT(place(16, "bob", token, 512), malformed) << token;
  }
  for (const size_t offer : {0, 511, 513, 1023, 16383, 16385, 32768}) {
    EXPECT_THAT(place(16, "bob", 0, offer), malformed) << offer;
  }
  EXPECT_EQ(world_.Count(Kind::kDecide), 0u);
  EXPECT_EQ(counters().calls, 0u);
  for (const size_t offer : {512, 1024, 2048, 4096, 8192, 16384}) {
    EXPECT_THAT(place(16, "bob" + std::to_string(offer), 0, offer), ElementsAre("placed"));
  }
}

TEST_F(SwitchboardTest, ATokenThatIsNoneIsNoReasonToRefuse) {
  world_.Place(kAlice, "bob", 1, std::string(85, '\xff'));
  EXPECT_THAT(Words(kAlice), ElementsAre("placed"));
  EXPECT_FALSE(world_.effects.back().has_token);
  std::string token(85, 't');
  token[0] = 1;
  world_.Place(kAlice, "bob", 2, token);
  EXPECT_THAT(Words(kAlice), ElementsAre("placed"));
  EXPECT_TRUE(world_.effects.back().has_token);
}

TEST_F(SwitchboardTest, AllThatDiffersBetweenTwoCallsIsInTheirIds) {
  std::set<std::string> ids;
  const auto last = [&] { return world_.effects[IndexOfLastPlaced()].frame.call_placed().call(); };
  world_.Place(kAlice, "bob", 1);
  ids.insert(last());
  world_.Place(kAlice, "bob", 2);
  ids.insert(last());
  world_.Place(kAlice, "carol", 1);
  ids.insert(last());
  world_.Place(kCarol, "bob", 1);
  ids.insert(last());
  EXPECT_EQ(ids.size(), 4u);

  // Another server's key, other ids; the same key, the same ones, also after a restart.
  for (const bool same : {true, false}) {
    CallWorld other;
    if (!same)
      other.switchboard = std::make_unique<Switchboard>(SwitchboardOptions{}, ServerKey{}, other);
    other.Attach(kAlice, "alice");
    other.Place(kAlice, "bob", 1);
    EXPECT_EQ(ids.contains(other.effects[0].frame.call_placed().call()), same);
  }
}

TEST_F(SwitchboardTest, PlacedAgainItIsTheSameCallAndDecidedOnce) {
  const std::string call = Placed();
  const api::CallPlaced first = world_.Take(kAlice)[0].call_placed();
  for (const bool decided : {false, true}) {
    if (decided) world_.Decide(call, true);
    world_.Advance(1000);
    world_.Place(kAlice, "bob", 1);
    const auto frames = world_.Take(kAlice);
    ASSERT_EQ(frames.size(), 1u);
    EXPECT_EQ(frames[0].call_placed().SerializeAsString(), first.SerializeAsString());
  }
  EXPECT_EQ(world_.Count(Kind::kDecide), 1u);
  EXPECT_THAT(Words(kBob), ElementsAre("incoming"));
  EXPECT_EQ(counters().placed, 1u);
  EXPECT_EQ(counters().calls, 1u);
}

TEST_F(SwitchboardTest, PlacedAgainByAnotherSessionItMovesThere) {
  const std::string call = Ringing();
  Drain();
  world_.Attach(kAlice2, "alice");
  EXPECT_THAT(Words(kAlice2), IsEmpty());  // a second device doesn't hear of the call
  world_.Place(kAlice2, "bob", 1);
  EXPECT_THAT(Words(kAlice2), ElementsAre("placed"));
  EXPECT_THAT(Words(kAlice), ElementsAre("ended HUNG_UP"));
  world_.HangUp(kAlice, call);
  EXPECT_THAT(Words(kAlice), ElementsAre("refused NOT_FOUND"));
  world_.Detach(kAlice);
  EXPECT_THAT(Words(kBob), IsEmpty());
  world_.Accept(kBob, call);
  EXPECT_THAT(Words(kAlice2), ElementsAre("connected"));
}

TEST_F(SwitchboardTest, AConnectedCallThatMovesIsToldWhereItStands) {
  const std::string call = Connected();
  const TransportAddress leg = {IpAddress::V4(192, 0, 2, 1), 50000};
  world_.Leg(call, CallSideName::kRecipient, {leg});
  Drain();
  world_.Attach(kAlice2, "alice");
  world_.Place(kAlice2, "bob", 1);
  const auto frames = world_.Take(kAlice2);
  ASSERT_EQ(frames.size(), 3u);
  EXPECT_EQ(Word(frames[0]), "placed");
  EXPECT_EQ(frames[1].call_connected().answer(), CallWorld::Body('a'));
  EXPECT_EQ(Word(frames[2]), "peer address");
  EXPECT_THAT(Words(kBob), IsEmpty());
  EXPECT_EQ(world_.Count(Kind::kArm), 1u);
}

TEST_F(SwitchboardTest, ACallToOneselfRingsNowhere) {
  world_.Attach(kAlice2, "alice");
  world_.Place(kAlice, "alice");
  const std::string call = world_.Take(kAlice)[0].call_placed().call();
  world_.Decide(call, true);
  EXPECT_THAT(Words(kAlice2), IsEmpty());
  world_.AdvanceAndTick(45'000);
  EXPECT_THAT(Words(kAlice), ElementsAre("ended NO_ANSWER"));
  EXPECT_THAT(Missed(), ElementsAre("(alice<alice)"));
}

// --- Ringing

TEST_F(SwitchboardTest, AllDevicesRingAndGetACredentialOfTheirOwnSide) {
  const TokenSerial serial = {1, 2, 3};
  const std::string call = Placed();
  world_.Advance(2001);
  world_.Decide(call, true, false, serial);
  for (const SessionId session : {kBob, kBob2}) {
    const auto frames = world_.Take(session);
    ASSERT_EQ(frames.size(), 1u);
    EXPECT_EQ(frames[0].request(), 0u);
    const api::IncomingCall& incoming = frames[0].incoming_call();
    EXPECT_EQ(incoming.call(), call);
    EXPECT_EQ(incoming.caller(), "alice");
    EXPECT_EQ(incoming.offer(), CallWorld::Body('o'));
    EXPECT_THAT(incoming.relay().username(), ::testing::EndsWith("/b"));
    EXPECT_TRUE(incoming.with_token());
    EXPECT_EQ(incoming.token_serial(), std::string(serial.begin(), serial.end()));
    EXPECT_EQ(incoming.rings_for_s(), 43u);
  }
  EXPECT_THAT(Words(kCarol), IsEmpty());
  EXPECT_THAT(Words(kAlice), ElementsAre("placed"));
}

TEST_F(SwitchboardTest, WithoutASerialNoTokenIsTold) {
  Ringing();
  const api::IncomingCall incoming = world_.Take(kBob)[0].incoming_call();
  EXPECT_FALSE(incoming.with_token());
  EXPECT_THAT(incoming.token_serial(), IsEmpty());
}

TEST_F(SwitchboardTest, ADeviceThatComesInTimeRingsForWhatIsLeft) {
  world_.Detach(kBob);
  world_.Detach(kBob2);
  Ringing();
  EXPECT_EQ(counters().rang, 1u);
  world_.Advance(40'000);
  world_.Attach(kBob, "bob");
  const auto frames = world_.Take(kBob);
  ASSERT_EQ(frames.size(), 1u);
  EXPECT_EQ(frames[0].incoming_call().rings_for_s(), 5u);
  world_.AdvanceAndTick(5'000);
  EXPECT_THAT(Words(kBob), ElementsAre("stopped MISSED"));
  world_.Attach(kBob2, "bob");
  EXPECT_THAT(Words(kBob2), IsEmpty());
}

TEST_F(SwitchboardTest, ADeviceThatComesAfterTheAnswerOrTheDeclineDoesNotRing) {
  world_.Detach(kBob2);
  const std::string declined = Ringing(1);
  const std::string accepted = Ringing(2);
  world_.Decline(kBob, declined);
  world_.Accept(kBob, accepted);
  world_.Attach(kBob2, "bob");
  EXPECT_THAT(Words(kBob2), IsEmpty());
}

TEST_F(SwitchboardTest, ADecisionIsTakenOnce) {
  const std::string call = Placed();
  world_.Decide(call, false);
  world_.Decide(call, true);
  EXPECT_THAT(Words(kBob), IsEmpty());
  world_.Decide(std::string(16, 'x'), true);
  EXPECT_EQ(counters().rang, 0u);
}

// --- Bounds

class SwitchboardBoundsTest : public SwitchboardTest {
 protected:
  SwitchboardBoundsTest()
      : SwitchboardTest({.ring_s = 45,
                         .max_calls = 7,
                         .max_placed_per_account = 3,
                         .max_places_per_minute = 6,
                         .max_ringing_per_account = 2}) {}
};

TEST_F(SwitchboardBoundsTest, AnAccountHasSoManyCallsWhateverBecomesOfThem) {
  world_.Decide(Placed(1), false);
  const std::string call = Ringing(2);
  world_.Decline(kBob, call);
  world_.Decide(Placed(3), true);
  Drain();
  world_.Place(kAlice, "bob", 4);
  EXPECT_THAT(Words(kAlice), ElementsAre("refused TOO_MANY"));
  world_.Place(kAlice, "bob", 3);  // no new one
  EXPECT_THAT(Words(kAlice), ElementsAre("placed"));
  world_.HangUp(kAlice, call);
  Drain();
  world_.Place(kAlice, "bob", 4);
  EXPECT_THAT(Words(kAlice), ElementsAre("placed"));
}

TEST_F(SwitchboardBoundsTest, AnAccountPlacesSoManyInAMinute) {
  for (uint8_t i = 0; i < 6; ++i) world_.HangUp(kAlice, Ringing(i));
  Drain();
  world_.Place(kAlice, "bob", 7);
  EXPECT_THAT(Words(kAlice), ElementsAre("refused TOO_MANY"));
  world_.Advance(70'000);
  world_.Place(kAlice, "bob", 8);
  EXPECT_THAT(Words(kAlice), ElementsAre("placed"));
}

TEST_F(SwitchboardBoundsTest, TheServerHoldsSoManyCalls) {
  world_.Attach(kAlice2, "alice2");
  for (uint8_t i = 0; i < 3; ++i) world_.Place(kAlice, "bob", i);
  for (uint8_t i = 0; i < 3; ++i) world_.Place(kAlice2, "bob", i);
  const std::string over = world_.Take(kAlice2).back().call_placed().call();
  world_.HangUp(kAlice2, over);  // remembered until it is decided
  world_.Place(kCarol, "bob", 1);
  EXPECT_THAT(Words(kCarol), ElementsAre("placed"));
  world_.Place(kCarol, "bob", 2);
  EXPECT_THAT(Words(kCarol), ElementsAre("refused TRY_AGAIN"));
  world_.Decide(over, false);
  world_.Place(kCarol, "bob", 2);
  EXPECT_THAT(Words(kCarol), ElementsAre("placed"));
}

TEST_F(SwitchboardBoundsTest, BeyondSoManyACallDoesNotRingAndIsMissed) {
  for (uint8_t i = 0; i < 3; ++i) Ringing(i);
  EXPECT_THAT(Words(kBob), ElementsAre("incoming", "incoming"));
  EXPECT_EQ(counters().rang, 2u);
  EXPECT_EQ(counters().not_rung, 1u);
  world_.AdvanceAndTick(45'000);
  EXPECT_THAT(Missed(), ElementsAre("bob<alice", "bob<alice", "bob<alice"));
  EXPECT_THAT(Words(kAlice), ElementsAre("placed", "placed", "placed", "ended NO_ANSWER",
                                         "ended NO_ANSWER", "ended NO_ANSWER"));
}

TEST(PlaceRateTest, IsASlidingWindow) {
  const AccountId alice = AccountId::Parse("alice").value();
  const AccountId bob = AccountId::Parse("bob").value();
  PlaceRate rate(4);
  uint64_t now = 59'000;
  for (int i = 0; i < 4; ++i) EXPECT_TRUE(rate.Spend(alice, now));
  EXPECT_FALSE(rate.Spend(alice, now));
  EXPECT_TRUE(rate.Spend(bob, now));
  EXPECT_FALSE(rate.Spend(alice, 61'000));  // two seconds later, in another minute
  EXPECT_TRUE(rate.Spend(alice, 90'000));   // half of the four still count
  EXPECT_TRUE(rate.Spend(alice, 90'000));
  EXPECT_FALSE(rate.Spend(alice, 90'000));
  for (int i = 0; i < 4; ++i) EXPECT_TRUE(rate.Spend(alice, 240'000));
  EXPECT_FALSE(rate.Spend(alice, 240'000));
}

}  // namespace
}  // namespace sotto::signaling
