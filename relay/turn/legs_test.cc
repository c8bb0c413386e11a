// SPDX-License-Identifier: Apache-2.0
// What an observer of a call's legs is told.
#include <gmock/gmock.h>

#include "relay/turn/call_table.h"
#include "relay/turn/server_fixture.h"

namespace sotto::relay {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using testing::UnorderedElementsAre;

// "x/a +192.0.2.10:50000", or - for a loss, with all that is left.
std::string Text(const LegChange& change) {
  std::string text(change.call);
  text += change.side == 0 ? "/a" : "/b";
  text += change.lost ? " -" : " +";
  for (const TransportAddress& relayed : change.relayed) text += " " + relayed.ToString();
  return text;
}

class LegsTest : public ServerTest {
 protected:
  static constexpr std::string_view kSecret = "the-current-secret";

  void StartCalls() {
    ServerOptions options = Options();
    options.auth.users.clear();
    options.auth.shared_secrets = {std::string(kSecret)};
    options.peers = {.kind = PeerPolicyKind::kCall};
    Start(options);
    server->ObserveLegs([this](const LegChange& change) { changes_.push_back(Text(change)); });
  }
  TestClient Join(std::string_view name, const TestClient::Extra& extra = {}) {
    const std::string username = std::to_string(now.unix_s + 100'000) + ":" + std::string(name);
    TestClient client = Client(username, MintTimeLimitedPassword(kSecret, username));
    const Reply reply = client.Allocate(now, extra);
    EXPECT_TRUE(reply.success()) << name << ": " << reply.error;
    relayed_ = reply.relayed();
    return client;
  }
  std::vector<std::string> Take() { return std::exchange(changes_, {}); }
  static void BothFamilies(StunBuilder& b) {
    b.AddU32(StunAttributeType::kAdditionalAddressFamily, 0x02000000);
  }

  std::vector<TransportAddress> relayed_;  // of the last to join
  std::vector<std::string> changes_;
};

TEST_F(LegsTest, AreToldAsTheyAreAllocatedAndRefreshedAway) {
  StartCalls();
  TestClient a = Join("x/a");
  EXPECT_THAT(Take(), ElementsAre("x/a + " + relayed_[0].ToString()));
  TestClient b = Join("x/b");
  EXPECT_THAT(Take(), ElementsAre("x/b + " + relayed_[0].ToString()));
  EXPECT_TRUE(a.Refresh(now, 600).success());
  EXPECT_THAT(Take(), IsEmpty());
  EXPECT_TRUE(a.Refresh(now, 0).success());
  EXPECT_THAT(Take(), ElementsAre("x/a -"));
  EXPECT_TRUE(b.Refresh(now, 0).success());
  EXPECT_THAT(Take(), ElementsAre("x/b -"));  // the call is forgotten with it
  EXPECT_EQ(server->FindCall("x", now).status().code(), absl::StatusCode::kNotFound);
}

TEST_F(LegsTest, AreToldWhenTheyExpire) {
  StartCalls();
  Join("x/a");
  Take();
  Pass(599);
  TickAll();
  EXPECT_THAT(Take(), IsEmpty());
  Pass(2);
  TickAll();
  EXPECT_THAT(Take(), ElementsAre("x/a -"));
}

TEST_F(LegsTest, AreToldWhenAnOperatorEndsTheCallOrAnAllocation) {
  StartCalls();
  Join("x/a");
  Join("x/b");
  Take();
  ASSERT_TRUE(server->EndCall("x", now).ok());
  EXPECT_THAT(Take(), ElementsAre("x/a -", "x/b -"));
  Join("y/b");
  Take();
  ASSERT_TRUE(server->EndAllocation(0, now).ok() || server->EndAllocation(1, now).ok());
  EXPECT_THAT(Take(), ElementsAre("y/b -"));
}

TEST_F(LegsTest, AreKnownByTheAddressesOfAllTheirAllocations) {
  StartCalls();
  Join("x/a");
  const std::string first = relayed_[0].ToString();
  Take();
  TestClient second = Join("x/a", BothFamilies);
  ASSERT_EQ(relayed_.size(), 2u);
  const std::string v4 = relayed_[0].ToString(), v6 = relayed_[1].ToString();
  EXPECT_THAT(Take(), ElementsAre("x/a + " + first + " " + v4 + " " + v6));
  // One family of the two is given up.
  EXPECT_TRUE(second.Refresh(now, 0, IpFamily::kV4).success());
  EXPECT_THAT(Take(), ElementsAre("x/a - " + first + " " + v6));
  EXPECT_TRUE(second.Refresh(now, 0).success());
  EXPECT_THAT(Take(), ElementsAre("x/a - " + first));
}

TEST_F(LegsTest, AnAllocationThatFailsIsToldToNobody) {
  StartCalls();
  plane.fail_after = 0;
  const std::string username = std::to_string(now.unix_s + 1000) + ":x/a";
  TestClient client = Client(username, MintTimeLimitedPassword(kSecret, username));
  EXPECT_FALSE(client.Allocate(now).success());
  EXPECT_THAT(Take(), IsEmpty());
}

TEST_F(LegsTest, OfNoCallAreToldToNobody) {
  Start();
  server->ObserveLegs([this](const LegChange& change) { changes_.push_back(Text(change)); });
  TestClient client = Allocated();
  client.Refresh(now, 0);
  EXPECT_THAT(Take(), IsEmpty());
}

TEST_F(LegsTest, FindCallTellsWhatStands) {
  StartCalls();
  EXPECT_EQ(server->FindCall("x", now).status().code(), absl::StatusCode::kNotFound);
  Join("x/b");
  const TransportAddress b = relayed_[0];
  const auto call = server->FindCall("x", now);
  ASSERT_TRUE(call.ok()) << call.status();
  EXPECT_EQ(call->name, "x");
  EXPECT_FALSE(call->armed);
  EXPECT_THAT(call->relayed[0], IsEmpty());
  EXPECT_THAT(call->relayed[1], ElementsAre(b));
  ASSERT_TRUE(server->ArmCall("x", now).ok());
  EXPECT_TRUE(server->FindCall("x", now)->armed);
  ASSERT_TRUE(server->ArmCall("to-come", now).ok());
  EXPECT_TRUE(server->FindCall("to-come", now)->armed);
  Pass(kIdleCallMs / 1000);
  EXPECT_EQ(server->FindCall("to-come", now).status().code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(server->FindCall("x y", now).status().code(), absl::StatusCode::kInvalidArgument);
}

TEST_F(LegsTest, ForEachCallGoesRoundInSteps) {
  StartCalls();
  for (int i = 0; i < 10; ++i) Join("call" + std::to_string(i) + "/a");
  ASSERT_TRUE(server->EndCall("call4", now).ok());
  std::vector<std::string> seen;
  uint32_t place = 0;
  int steps = 0;
  do {
    place = server->ForEachCall(place, 3, now,
                                [&](const CallInfo& call) { seen.push_back(call.name); });
    ++steps;
  } while (place != 0);
  EXPECT_EQ(steps, 4);
  EXPECT_THAT(seen, UnorderedElementsAre("call0", "call1", "call2", "call3", "call5", "call6",
                                         "call7", "call8", "call9"));
}

}  // namespace
}  // namespace sotto::relay
