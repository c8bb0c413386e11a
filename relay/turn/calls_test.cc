// SPDX-License-Identifier: Apache-2.0
// The peer policy `call`.
#include "relay/turn/call_table.h"
#include "relay/turn/calls_fixture.h"

namespace sotto::relay {
namespace {

using enum StunAttributeType;

TEST_F(CallsTest, NothingFlowsUntilTheCallIsArmed) {
  Start(CallOptions());
  auto [a, b] = Pair("x");
  EXPECT_FALSE(Flows(a, b));
  EXPECT_FALSE(Flows(b, a));
  EXPECT_EQ(a.client.SendChannel(now, 0x4000, Bytes{1}).outcome.discard, Discard::kCallNotArmed);
  EXPECT_EQ(a.client.Send(now, b.relayed, Bytes{1}).outcome.discard, Discard::kCallNotArmed);
  EXPECT_EQ(FromPeer(b.relayed, a.relayed, Bytes{1}).outcome.discard, Discard::kCallNotArmed);
  for (const auto& [id, leg] : plane.legs) EXPECT_FALSE(leg.leg.call.armed);

  ASSERT_TRUE(server->ArmCall("x", now).ok());
  EXPECT_TRUE(Flows(a, b));
  EXPECT_TRUE(Flows(b, a));
  for (const auto& [id, leg] : plane.legs) EXPECT_TRUE(leg.leg.call.armed);
  EXPECT_TRUE(CallsConnect(plane.legs.at(0).leg.call, plane.legs.at(1).leg.call));

  ASSERT_TRUE(server->DisarmCall("x", now).ok());
  EXPECT_FALSE(Flows(a, b));
  for (const auto& [id, leg] : plane.legs) EXPECT_FALSE(leg.leg.call.armed);
  EXPECT_EQ(server->allocation_count(), 2u);

  ASSERT_TRUE(server->EndCall("x", now).ok());
  EXPECT_EQ(server->allocation_count(), 0u);
  EXPECT_TRUE(plane.legs.empty());
  EXPECT_EQ(server->DisarmCall("x", now).code(), absl::StatusCode::kNotFound);
}

TEST_F(CallsTest, AThirdLegDeliversNotASingleByte) {
  Start(CallOptions());
  auto [a, b] = Pair("x");
  auto [c, d] = Pair("y");
  Party second_a = Join("x/a");  // another leg of the same side
  ASSERT_TRUE(server->ArmCall("x", now).ok());
  ASSERT_TRUE(server->ArmCall("y", now).ok());
  ASSERT_TRUE(Flows(a, b));
  for (Party* intruder : {&c, &d, &second_a}) {
    for (const Party* victim : {&a, &b}) {
      if (intruder == &second_a && victim == &b) continue;  // that is its other leg
      EXPECT_TRUE(intruder->client.Permit(now, {victim->relayed}).success());
      EXPECT_EQ(intruder->client.Bind(now, 0x4001, victim->relayed).error, 403);
      EXPECT_EQ(intruder->client.Send(now, victim->relayed, Bytes{1}).outcome.discard,
                Discard::kCallNotArmed);
      EXPECT_EQ(FromPeer(victim->relayed, intruder->relayed, Bytes{1}).outcome.discard,
                Discard::kCallNotArmed);
    }
  }
  // Nor does anybody outside, not even with the victim's permission (which it can't give).
  EXPECT_EQ(a.client.Permit(now, {At("198.51.100.1:1")}).error, 403);
  EXPECT_EQ(FromPeer(a.relayed, {b.relayed.ip, 22}, Bytes{1}).outcome.discard,
            Discard::kCallNotArmed);
  EXPECT_EQ(FromPeer(a.relayed, At("198.51.100.1:1"), Bytes{1}).outcome.discard,
            Discard::kNoPermission);
}

TEST_F(CallsTest, APortThatGoesToAnotherCallIsNotReachedByAnOldChannel) {
  ServerOptions options = CallOptions();
  options.relay_ports = {50000, 50001};
  Start(options);
  auto [a, b] = Pair("x");
  ASSERT_TRUE(server->ArmCall("x", now).ok());
  b.client.Refresh(now, 0);
  Party stranger = Join("y/b");
  ASSERT_EQ(stranger.relayed, b.relayed);
  ASSERT_TRUE(server->ArmCall("y", now).ok());
  EXPECT_FALSE(Flows(a, stranger));
  EXPECT_EQ(a.client.SendChannel(now, 0x4000, Bytes{1}).outcome.discard, Discard::kCallNotArmed);
}

TEST_F(CallsTest, AUserNameThatNamesNoLegIsForbidden) {
  Start(CallOptions());
  for (std::string_view name : {"carol", "x/c", "/a", "x y/a"}) {
    const Reply reply = Named(name).Allocate(now);
    EXPECT_EQ(reply.error, 403) << name;
  }
  EXPECT_EQ(server->allocation_count(), 0u);
}

TEST_F(CallsTest, ChannelsLeadToTheOtherLegAlone) {
  Start(CallOptions());
  Party a = Join("x/a");
  EXPECT_EQ(a.client.Bind(now, 0x4000, {a.relayed.ip, 50000}).error, 403);  // nobody's yet
  EXPECT_EQ(a.client.Bind(now, 0x4000, a.relayed).error, 403);              // itself
  EXPECT_EQ(a.client.Bind(now, 0x4000, At("198.51.100.1:1")).error, 403);
  Party b = Join("x/b");
  EXPECT_TRUE(a.client.Bind(now, 0x4000, b.relayed).success());
}

TEST_F(CallsTest, ACallMayBeArmedBeforeItsLegsComeAndIsForgottenAfterAWhile) {
  Start(CallOptions());
  ASSERT_TRUE(server->ArmCall("x", now).ok());
  ASSERT_TRUE(server->ArmCall("y", now).ok());
  Pass(kIdleCallMs / 1000 - 1);
  auto [a, b] = Pair("x");
  EXPECT_TRUE(Flows(a, b));
  Pass(1);
  auto [c, d] = Pair("y");
  EXPECT_FALSE(Flows(c, d));
}

TEST_F(CallsTest, ReconnectingLegsFindTheirCallArmed) {
  Start(CallOptions());
  {
    auto [a, b] = Pair("x");
    ASSERT_TRUE(server->ArmCall("x", now).ok());
    a.client.Refresh(now, 0);
    b.client.Refresh(now, 0);
  }
  auto [a, b] = Pair("x");
  EXPECT_TRUE(Flows(a, b));
  // An ended call is not remembered.
  ASSERT_TRUE(server->EndCall("x", now).ok());
  auto [c, d] = Pair("x");
  EXPECT_FALSE(Flows(c, d));
}

TEST_F(CallsTest, IdleCallsAreBoundedInNumber) {
  ServerOptions options = CallOptions();
  options.limits.max_allocations = 3;
  Start(options);
  for (int i = 0; i < 3; ++i) EXPECT_TRUE(server->ArmCall(std::to_string(i), now).ok());
  EXPECT_EQ(server->ArmCall("3", now).code(), absl::StatusCode::kResourceExhausted);
  ASSERT_TRUE(server->DisarmCall("0", now).ok());
  EXPECT_TRUE(server->ArmCall("3", now).ok());
  Pass(kIdleCallMs / 1000);
  server->Tick(now, 64);
  EXPECT_TRUE(server->ArmCall("4", now).ok());
}

TEST_F(CallsTest, LegsOfOneSideAreBounded) {
  ServerOptions options = CallOptions();
  options.limits.max_allocations_per_leg = 2;
  Start(options);
  Party first = Join("x/a");
  Join("x/a");
  EXPECT_EQ(Named("x/a").Allocate(now).error, 486);
  EXPECT_TRUE(Named("x/b").Allocate(now).success());
  first.client.Refresh(now, 0);
  EXPECT_TRUE(Named("x/a").Allocate(now).success());
}

TEST_F(CallsTest, CallsCanBeArmedAtOnce) {
  ServerOptions options = CallOptions();
  options.arm_calls_at_once = true;
  Start(options);
  auto [a, b] = Pair("x");
  EXPECT_TRUE(Flows(a, b));
}

TEST_F(CallsTest, AFailedAllocateLeavesNoCall) {
  Start(CallOptions());
  plane.fail_after = 0;
  EXPECT_EQ(Named("x/a").Allocate(now).error, 508);
  EXPECT_EQ(server->DisarmCall("x", now).code(), absl::StatusCode::kNotFound);
}

TEST_F(CallsTest, ControlSaysWhatIsWrong) {
  Start(CallOptions());
  EXPECT_EQ(server->ArmCall("x/a", now).code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(server->EndCall("", now).code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(server->EndCall("x", now).code(), absl::StatusCode::kNotFound);
  Start();
  EXPECT_EQ(server->ArmCall("x", now).code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(server->DisarmCall("x", now).code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(server->EndCall("x", now).code(), absl::StatusCode::kFailedPrecondition);
}

// A plane that takes new legs but no change to those it has.
class StubbornPlane final : public ForwardingPlane {
 public:
  bool stubborn = false;
  int legs = 0;
  void SetRates(const ForwardingRates&) override {}
  absl::Status Upsert(const ForwardingLeg&) override {
    if (stubborn) return absl::ResourceExhaustedError("full");
    ++legs;
    return absl::OkStatus();
  }
  absl::Status Upsert(const ForwardingPermission&) override { return absl::OkStatus(); }
  absl::Status Upsert(const ForwardingChannel&) override { return absl::OkStatus(); }
  void RemoveLeg(LegId) override { --legs; }
  void RemovePermission(LegId, const IpAddress&) override {}
  void RemoveChannel(LegId, uint16_t) override {}
  void List(const std::function<void(const ForwardingLeg&)>&) const override {}
};

TEST_F(CallsTest, LegsThatCannotBeToldToStopAreEnded) {
  StubbornPlane stubborn;
  server = std::make_unique<Server>(CallOptions(), stubborn);
  Join("x/a");
  Join("x/b");
  ASSERT_TRUE(server->ArmCall("x", now).ok());
  stubborn.stubborn = true;
  EXPECT_TRUE(server->DisarmCall("x", now).ok());
  EXPECT_EQ(server->allocation_count(), 0u);
  EXPECT_EQ(server->ports_in_use(), 0u);
}

}  // namespace
}  // namespace sotto::relay
