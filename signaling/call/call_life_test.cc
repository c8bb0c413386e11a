// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "signaling/call/switchboard_fixture.h"

namespace sotto::signaling {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using Kind = Effect::Kind;

// --- Accepting

TEST_F(SwitchboardTest, AnAcceptConnectsArmsAndStopsTheOthers) {
  world_.next_relay = 3;
  const std::string call = Ringing();
  Drain();
  const size_t before = world_.effects.size();
  const uint64_t request = world_.Accept(kBob2, call);
  ASSERT_EQ(world_.Count(Kind::kArm), 1u);
  for (size_t i = before; i < world_.effects.size(); ++i) {
    if (world_.effects[i].kind != Kind::kArm) continue;
    EXPECT_EQ(world_.effects[i].relay, 3u);
    EXPECT_EQ(world_.effects[i].call, CallWorld::ToId(call));
  }
  const auto caller = world_.Take(kAlice);
  ASSERT_EQ(caller.size(), 1u);
  EXPECT_EQ(caller[0].call_connected().answer(), CallWorld::Body('a'));
  EXPECT_FALSE(caller[0].call_connected().protect_address());
  const auto acceptor = world_.Take(kBob2);
  ASSERT_EQ(acceptor.size(), 2u);
  EXPECT_EQ(Word(acceptor[0]), "done");
  EXPECT_EQ(acceptor[0].request(), request);
  EXPECT_THAT(acceptor[1].call_connected().answer(), IsEmpty());
  EXPECT_THAT(Words(kBob), ElementsAre("stopped ANSWERED_ELSEWHERE"));
  EXPECT_EQ(world_.switchboard->NextDeadline(), world_.now.monotonic_ms + 86'400'000);
  EXPECT_EQ(counters().connected, 1u);
}

TEST_F(SwitchboardTest, OnlyASessionThatWasOfferedTheCallAccepts) {
  const std::string call = Placed();
  const auto refused = [&](SessionId session) {
    world_.Accept(session, call);
    return Words(session);
  };
  Drain();
  EXPECT_THAT(refused(kBob), ElementsAre("refused NOT_FOUND"));  // not decided yet
  world_.Decide(call, true);
  Drain();
  EXPECT_THAT(refused(kAlice), ElementsAre("refused NOT_FOUND"));
  EXPECT_THAT(refused(kCarol), ElementsAre("refused NOT_FOUND"));
  EXPECT_EQ(world_.Count(Kind::kArm), 0u);
  world_.Accept(kBob, call);
  Drain();
  EXPECT_THAT(refused(kBob), ElementsAre("refused WRONG_STATE"));
  EXPECT_THAT(refused(kBob2), ElementsAre("refused WRONG_STATE"));
  EXPECT_EQ(world_.Count(Kind::kArm), 1u);
}

TEST_F(SwitchboardTest, ASilencedCallCantBeAccepted) {
  const std::string call = Placed();
  world_.Decide(call, false);
  Drain();
  world_.Accept(kBob, call);
  EXPECT_THAT(Words(kBob), ElementsAre("refused NOT_FOUND"));
  world_.AdvanceAndTick(45'000);
  EXPECT_THAT(Words(kBob), IsEmpty());
  EXPECT_EQ(world_.Count(Kind::kArm), 0u);
}

TEST_F(SwitchboardTest, MalformedMessagesOfACallAreRefused) {
  const std::string call = Ringing();
  Drain();
  for (const std::string& id : {std::string(), call.substr(1), call + "x"}) {
    world_.Accept(kBob, id);
    world_.Decline(kBob, id);
    world_.HangUp(kBob, id);
    world_.SendToPeer(kBob, id);
  }
  world_.Accept(kBob, call, std::string(513, 'a'));
  world_.SendToPeer(kBob, call, {});
  const auto words = Words(kBob);
  EXPECT_EQ(words.size(), 14u);
  EXPECT_THAT(words, ::testing::Each("refused MALFORMED"));
  world_.Accept(kBob, call);
  EXPECT_THAT(Words(kBob), ElementsAre("done", "connected"));
}

TEST_F(SwitchboardTest, ADeclineStopsAllDevicesAndTheCallerLearnsNothing) {
  const std::string call = Ringing();
  Drain();
  world_.Decline(kBob, call);
  EXPECT_THAT(Words(kBob), ElementsAre("done"));
  EXPECT_THAT(Words(kBob2), ElementsAre("stopped DECLINED_ELSEWHERE"));
  EXPECT_THAT(Words(kAlice), IsEmpty());
  world_.Accept(kBob2, call);
  world_.Decline(kBob2, call);
  EXPECT_THAT(Words(kBob2), ElementsAre("refused WRONG_STATE", "refused WRONG_STATE"));
  for (const SessionId session : {kAlice, kCarol}) {
    world_.Decline(session, call);
    EXPECT_THAT(Words(session), ElementsAre("refused NOT_FOUND"));
  }
  world_.AdvanceAndTick(45'000);
  EXPECT_THAT(Words(kAlice), ElementsAre("ended NO_ANSWER"));
  EXPECT_THAT(Words(kBob), IsEmpty());
  EXPECT_THAT(Words(kBob2), IsEmpty());
  EXPECT_EQ(counters().missed, 0u);
}

// --- Connected

TEST_F(SwitchboardTest, LegsGoToTheOtherSideOnceConnected) {
  const TransportAddress a = {IpAddress::V4(192, 0, 2, 1), 50001};
  const TransportAddress b4 = {IpAddress::V4(192, 0, 2, 1), 50002};
  const TransportAddress b6 = {IpAddress::Parse("2001:db8::1").value(), 50003};
  const std::string call = Ringing();
  Drain();
  world_.Leg(call, CallSideName::kCaller, {a});
  EXPECT_THAT(Words(kBob), IsEmpty());
  world_.Accept(kBob, call);
  Drain();
  world_.Leg(call, CallSideName::kCaller, {a});
  world_.Leg(call, CallSideName::kCaller, {a});  // told again: nothing new
  auto frames = world_.Take(kBob);
  ASSERT_EQ(frames.size(), 1u);
  EXPECT_EQ(frames[0].peer_address().relayed(0).ip(), std::string("\xc0\x00\x02\x01", 4));
  EXPECT_EQ(frames[0].peer_address().relayed(0).port(), 50001u);
  EXPECT_THAT(Words(kAlice), IsEmpty());
  EXPECT_THAT(Words(kBob2), IsEmpty());

  world_.Leg(call, CallSideName::kRecipient, {b4, b6});
  frames = world_.Take(kAlice);
  ASSERT_EQ(frames.size(), 1u);
  ASSERT_EQ(frames[0].peer_address().relayed_size(), 2);
  EXPECT_EQ(frames[0].peer_address().relayed(1).ip().size(), 16u);

  world_.Leg(call, CallSideName::kCaller, {});  // it has ended
  EXPECT_THAT(Words(kBob), IsEmpty());
  world_.Leg(call, CallSideName::kCaller, {a});
  EXPECT_THAT(Words(kBob), ElementsAre("peer address"));
  world_.HangUp(kAlice, call);
  Drain();
  world_.Leg(call, CallSideName::kRecipient, {b4});
  EXPECT_THAT(Words(kAlice), IsEmpty());
}

TEST_F(SwitchboardTest, PartiesOfAnUnprotectedCallSendEachOtherMessages) {
  const std::string call = Connected();
  world_.SendToPeer(kAlice, call, CallWorld::Body('x', 1024));
  EXPECT_THAT(Words(kAlice), ElementsAre("done"));
  const auto frames = world_.Take(kBob);
  ASSERT_EQ(frames.size(), 1u);
  EXPECT_EQ(frames[0].from_peer().call(), call);
  EXPECT_EQ(frames[0].from_peer().body(), CallWorld::Body('x', 1024));
  world_.SendToPeer(kBob, call);
  EXPECT_THAT(Words(kAlice), ElementsAre("from peer"));
  world_.SendToPeer(kBob2, call);
  EXPECT_THAT(Words(kBob2), ElementsAre("refused WRONG_STATE"));
  world_.SendToPeer(kCarol, call);
  EXPECT_THAT(Words(kCarol), ElementsAre("refused NOT_FOUND"));

  Drain();
  for (int i = 0; i < 63; ++i) world_.SendToPeer(kAlice, call);
  EXPECT_EQ(Words(kBob).size(), 63u);
  Drain();
  world_.SendToPeer(kAlice, call);
  EXPECT_THAT(Words(kAlice), ElementsAre("refused TOO_MANY"));
  world_.SendToPeer(kBob, call);  // each party has its own count
  EXPECT_THAT(Words(kAlice), ElementsAre("from peer"));
}

TEST_F(SwitchboardTest, PartiesOfAProtectedCallSendEachOtherNothing) {
  const std::string call = Placed();
  world_.Decide(call, true, /*protect=*/true);
  world_.Accept(kBob, call);
  EXPECT_TRUE(world_.Take(kAlice).back().call_connected().protect_address());
  EXPECT_TRUE(world_.Take(kBob).back().call_connected().protect_address());
  Drain();
  world_.SendToPeer(kAlice, call);
  world_.SendToPeer(kBob, call);
  EXPECT_THAT(Words(kAlice), ElementsAre("refused WRONG_STATE"));
  EXPECT_THAT(Words(kBob), ElementsAre("refused WRONG_STATE"));
}

TEST_F(SwitchboardTest, NothingIsSentToAPeerBeforeItIsConnected) {
  const std::string call = Placed();
  Drain();
  for (const bool decided : {false, true}) {
    if (decided) world_.Decide(call, true);
    Drain();
    world_.SendToPeer(kAlice, call);
    EXPECT_THAT(Words(kAlice), ElementsAre("refused WRONG_STATE"));
    EXPECT_THAT(Words(kBob), IsEmpty());
  }
  world_.SendToPeer(kBob, call);
  world_.HangUp(kBob, call);
  EXPECT_THAT(Words(kBob), ElementsAre("refused WRONG_STATE", "refused WRONG_STATE"));
  EXPECT_THAT(Words(kAlice), IsEmpty());
}

TEST_F(SwitchboardTest, EitherPartyHangsUp) {
  for (const bool caller : {true, false}) {
    const std::string call = Connected();
    const SessionId who = caller ? kAlice : kBob;
    const SessionId other = caller ? kBob : kAlice;
    world_.HangUp(kBob2, call);
    EXPECT_THAT(Words(kBob2), ElementsAre("refused WRONG_STATE"));
    world_.HangUp(who, call);
    EXPECT_THAT(Words(who), ElementsAre("done", "ended HUNG_UP"));
    EXPECT_THAT(Words(other), ElementsAre("ended PEER_HUNG_UP"));
    EXPECT_THAT(Words(kBob2), IsEmpty());
    ExpectNothingLeft();
  }
  EXPECT_THAT(Missed(), IsEmpty());
}

TEST_F(SwitchboardTest, AConnectedCallEndsWhenItIsTooLong) {
  Connected();
  world_.AdvanceAndTick(24 * 3600 * 1000 - 1);
  EXPECT_THAT(Words(kAlice), IsEmpty());
  world_.AdvanceAndTick(1);
  EXPECT_THAT(Words(kAlice), ElementsAre("ended PEER_LOST"));
  EXPECT_THAT(Words(kBob), ElementsAre("ended PEER_LOST"));
  ExpectNothingLeft();
}

// --- The end of the ringing

TEST_F(SwitchboardTest, WithoutAnAnswerItEndsToTheMillisecond) {
  Ringing();
  Drain();
  EXPECT_EQ(world_.switchboard->NextDeadline(), world_.now.monotonic_ms + 45'000);
  world_.AdvanceAndTick(44'999);
  EXPECT_THAT(Words(kAlice), IsEmpty());
  world_.AdvanceAndTick(1);
  EXPECT_THAT(Words(kAlice), ElementsAre("ended NO_ANSWER"));
  EXPECT_THAT(Words(kBob), ElementsAre("stopped MISSED"));
  EXPECT_THAT(Words(kBob2), ElementsAre("stopped MISSED"));
  EXPECT_THAT(Missed(), ElementsAre("bob<alice"));
  EXPECT_EQ(counters().missed, 1u);
  EXPECT_EQ(world_.Count(Kind::kArm), 0u);
  ExpectNothingLeft();
}

TEST_F(SwitchboardTest, TheCallerSeesTheSameWhateverBecomesOfTheCall) {
  const auto transcript = [](auto&& what_happens) {
    CallWorld world({.ring_s = 45});
    world.Attach(kAlice, "alice");
    world.Attach(kBob, "bob");
    world.Place(kAlice, "bob");
    const std::string call = world.effects[0].frame.call_placed().call();
    world.Advance(3);
    what_happens(world, call);
    world.Advance(44'997 - (world.now.monotonic_ms - 1003));
    std::string seen;
    for (int step = 0; step < 3; ++step) {
      world.Tick();
      for (const api::ServerFrame& frame : world.Take(kAlice)) {
        seen += std::to_string(world.now.monotonic_ms) + frame.SerializeAsString() + "|";
      }
      world.Advance(1);
    }
    return seen;
  };
  const std::string rings =
      transcript([](CallWorld& world, const std::string& call) { world.Decide(call, true); });
  EXPECT_THAT(rings, ::testing::HasSubstr("46000"));
  EXPECT_EQ(rings, transcript([](CallWorld& world, const std::string& call) {
              world.Decide(call, false);
            }));
  EXPECT_EQ(rings, transcript([](CallWorld&, const std::string&) {}));
  EXPECT_EQ(rings, transcript([](CallWorld& world, const std::string& call) {
              world.switchboard->OnDecisionFailed(CallWorld::ToId(call), world.now);
            }));
  EXPECT_EQ(rings, transcript([](CallWorld& world, const std::string& call) {
              world.Decide(call, true);
              world.Decline(kBob, call);
            }));
  EXPECT_EQ(rings, transcript([](CallWorld& world, const std::string& call) {
              world.Decide(call, true);
              world.Detach(kBob);
            }));
  EXPECT_EQ(rings, transcript([](CallWorld& world, const std::string& call) {
              world.Detach(kBob);
              world.Decide(call, true);
              world.Attach(kBob2, "bob");
            }));
}

TEST_F(SwitchboardTest, AllCallersOfATickAreToldBeforeAnyRecipient) {
  world_.Attach(kAlice2, "alice2");
  const std::string first = Ringing();
  world_.Place(kAlice2, "bob", 9);
  world_.Decide(world_.Take(kAlice2)[0].call_placed().call(), true);
  world_.Advance(45'000);
  const size_t before = world_.effects.size();
  world_.Tick();
  std::vector<SessionId> told;
  for (size_t i = before; i < world_.effects.size(); ++i) {
    if (world_.effects[i].kind == Kind::kSend) told.push_back(world_.effects[i].session);
    // Nor does any other work come in between.
    if (told.size() < 2) {
      EXPECT_EQ(world_.effects[i].kind, Kind::kSend);
    }
  }
  EXPECT_THAT(told, ElementsAre(kAlice, kAlice2, kBob, kBob2, kBob, kBob2));
}

TEST_F(SwitchboardTest, TheCallerHangsUpWhileItRings) {
  const std::string call = Ringing();
  Drain();
  const uint64_t request = world_.HangUp(kAlice, call);
  const auto frames = world_.Take(kAlice);
  ASSERT_EQ(frames.size(), 2u);
  EXPECT_EQ(Word(frames[0]), "done");
  EXPECT_EQ(frames[0].request(), request);
  EXPECT_EQ(Word(frames[1]), "ended HUNG_UP");
  EXPECT_EQ(frames[1].request(), 0u);
  EXPECT_THAT(Words(kBob), ElementsAre("stopped MISSED"));
  EXPECT_THAT(Missed(), ElementsAre("bob<alice"));
  ExpectNothingLeft();
  world_.HangUp(kAlice, call);
  EXPECT_THAT(Words(kAlice), ElementsAre("refused NOT_FOUND"));
}

TEST_F(SwitchboardTest, ACallThatEndsBeforeItsDecisionIsMissedIfItWouldHaveRung) {
  for (const bool ring : {true, false}) {
    world_.effects.clear();
    CallWorld world;
    world.Attach(kAlice, "alice");
    world.Attach(kBob, "bob");
    std::string token(85, 't');
    token[0] = 1;
    world.Place(kAlice, "bob", 1, token);
    const std::string call = world.Take(kAlice)[0].call_placed().call();
    world.HangUp(kAlice, call);
    EXPECT_EQ(world.Count(Kind::kEndRelay), 1u);
    EXPECT_EQ(world.Count(Kind::kMissed), 0u);
    EXPECT_EQ(world.Count(Kind::kEndRedemption), 0u);
    EXPECT_EQ(world.switchboard->counters().calls, 1u);
    EXPECT_EQ(world.switchboard->NextDeadline(), UINT64_MAX);
    world.Decide(call, ring);
    ASSERT_EQ(world.Count(Kind::kMissed), 1u);
    EXPECT_EQ(world.effects.back().pretend, !ring);
    EXPECT_EQ(world.Count(Kind::kEndRedemption), 1u);
    EXPECT_THAT(world.Take(kBob), IsEmpty());
    EXPECT_EQ(world.switchboard->counters().calls, 0u);
  }
}

TEST_F(SwitchboardTest, PlacedAgainBeforeItsDecisionItTakesTheOneThatIsOnItsWay) {
  const std::string call = Placed();
  world_.HangUp(kAlice, call);
  Drain();
  world_.Advance(5000);
  EXPECT_EQ(Placed(), call);
  EXPECT_THAT(Words(kAlice), ElementsAre("placed"));
  EXPECT_EQ(world_.Count(Kind::kDecide), 1u);
  world_.Decide(call, true);
  EXPECT_THAT(Words(kBob), ElementsAre("incoming"));
  world_.AdvanceAndTick(44'999);
  EXPECT_THAT(Words(kAlice), IsEmpty());
  world_.AdvanceAndTick(1);
  EXPECT_THAT(Words(kAlice), ElementsAre("ended NO_ANSWER"));
  ExpectNothingLeft();
}

TEST_F(SwitchboardTest, EachUnansweredCallIsMissedOrPretendedToBeOnce) {
  world_.Decide(Placed(1), false);
  const std::string declined = Ringing(2);
  world_.Decline(kBob, declined);
  Ringing(3);
  world_.AdvanceAndTick(45'000);
  EXPECT_THAT(Missed(), ElementsAre("(bob<alice)", "(bob<alice)", "bob<alice"));
  ExpectNothingLeft();
}

TEST_F(SwitchboardTest, TokensOfAllCallsThatHadOneAreUsedUpWhenTheyEnd) {
  std::string token(85, 't');
  token[0] = 1;
  world_.Decide(Placed(1, token), true);
  world_.Decide(Placed(2, token), false);
  world_.Decide(Placed(3), true);
  EXPECT_EQ(world_.Count(Kind::kEndRedemption), 0u);
  world_.AdvanceAndTick(45'000);
  EXPECT_EQ(world_.Count(Kind::kEndRedemption), 2u);

  const std::string call = Placed(4, token);
  world_.Decide(call, true);
  world_.Accept(kBob, call);
  EXPECT_EQ(world_.Count(Kind::kEndRedemption), 2u);
  world_.HangUp(kBob, call);
  EXPECT_EQ(world_.Count(Kind::kEndRedemption), 3u);
}

// --- Sessions that end

TEST_F(SwitchboardTest, ACallEndsWithItsCallersSession) {
  Ringing();
  Drain();
  world_.Detach(kAlice);
  EXPECT_THAT(Words(kBob), ElementsAre("stopped MISSED"));
  EXPECT_THAT(Words(kAlice), IsEmpty());
  EXPECT_THAT(Missed(), ElementsAre("bob<alice"));
  ExpectNothingLeft();
}

TEST_F(SwitchboardTest, AConnectedCallEndsWithEitherSession) {
  Connected();
  world_.Detach(kAlice);
  EXPECT_THAT(Words(kBob), ElementsAre("ended PEER_LOST"));
  ExpectNothingLeft();

  world_.Attach(kAlice, "alice");
  Connected();
  world_.Detach(kBob2);  // not a party
  EXPECT_EQ(counters().calls, 1u);
  world_.Detach(kBob);
  EXPECT_THAT(Words(kAlice), ElementsAre("ended PEER_LOST"));
  ExpectNothingLeft();
  EXPECT_THAT(Missed(), IsEmpty());
}

TEST_F(SwitchboardTest, ItRingsOnWhenARingingDeviceGoes) {
  const std::string call = Ringing();
  Drain();
  world_.Detach(kBob);
  EXPECT_THAT(Words(kBob2), IsEmpty());
  world_.Accept(kBob2, call);
  EXPECT_THAT(Words(kAlice), ElementsAre("connected"));
  EXPECT_THAT(Words(kBob), IsEmpty());
}

TEST_F(SwitchboardTest, ASessionThatIsNotAttachedGetsNothing) {
  world_.Detach(kCarol);
  world_.Detach(kCarol);
  Drain();
  world_.Place(kCarol, "bob");
  const std::string call = Ringing();
  Drain();
  world_.Accept(kCarol, call);
  world_.Decline(kCarol, call);
  world_.HangUp(kCarol, call);
  world_.SendToPeer(kCarol, call);
  EXPECT_THAT(Words(kCarol), IsEmpty());
}

}  // namespace
}  // namespace sotto::signaling
