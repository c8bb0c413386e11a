// SPDX-License-Identifier: Apache-2.0
// CreatePermission (RFC 8656, sections 9 and 10) and ChannelBind (section 12).
#include "relay/turn/server_fixture.h"

namespace sotto::relay {
namespace {

using enum StunAttributeType;

class PeersTest : public ServerTest {
 protected:
  static TransportAddress Peer(int i, uint16_t port = 7000) {
    return {IpAddress::V4(198, 51, 100, static_cast<uint8_t>(i)), port};
  }
  const RecordingPlane::Leg& Leg() const { return plane.legs.begin()->second; }
};

TEST_F(PeersTest, APermissionLastsFiveMinutesUnlessRenewed) {
  Start();
  TestClient client = Allocated();
  ASSERT_TRUE(client.Permit(now, {Peer(1)}).success());
  Pass(299);
  EXPECT_EQ(client.Send(now, Peer(1), Bytes{1}).outcome.kind, Outcome::Kind::kToPeer);
  ASSERT_TRUE(client.Permit(now, {Peer(1)}).success());
  Pass(299);
  EXPECT_EQ(client.Send(now, Peer(1), Bytes{1}).outcome.kind, Outcome::Kind::kToPeer);
  Pass(1);
  EXPECT_EQ(client.Send(now, Peer(1), Bytes{1}).outcome.discard, Discard::kNoPermission);
  TickAll();
  EXPECT_TRUE(Leg().permissions.empty());
  EXPECT_EQ(server->counters().permissions_created, 1u);
}

TEST_F(PeersTest, APermissionIgnoresThePort) {
  Start();
  TestClient client = Allocated();
  ASSERT_TRUE(client.Permit(now, {Peer(1, 0)}).success());
  EXPECT_EQ(client.Send(now, Peer(1, 9), Bytes{1}).outcome.peer, Peer(1, 9));
}

TEST_F(PeersTest, SeveralPeersAreAllPermittedOrNone) {
  Start();
  TestClient client = Allocated();
  EXPECT_EQ(client.Permit(now, {Peer(1), At("127.0.0.1:1")}).error, 403);
  EXPECT_EQ(client.Permit(now, {Peer(1), At("[2001:db8:1::1]:1")}).error, 443);
  EXPECT_EQ(client
                .Request(StunMethod::kCreatePermission, now,
                         [](StunBuilder& b) {
                           b.AddXorAddress(kXorPeerAddress, Peer(1));
                           b.Add(kXorPeerAddress, Bytes{0, 1, 0});
                         })
                .error,
            400);
  EXPECT_EQ(client.Permit(now, {}).error, 400);
  EXPECT_TRUE(Leg().permissions.empty());
  EXPECT_TRUE(client.Permit(now, {Peer(1), Peer(2), Peer(1)}).success());
  EXPECT_EQ(Leg().permissions.size(), 2u);
}

TEST_F(PeersTest, HoldsNoMorePermissionsThanItsBound) {
  ServerOptions options = Options();
  options.limits.max_permissions_per_allocation = 4;
  Start(options);
  TestClient client = Allocated();
  EXPECT_TRUE(client.Permit(now, {Peer(1), Peer(2), Peer(3)}).success());
  EXPECT_EQ(client.Permit(now, {Peer(4), Peer(5)}).error, 508);
  EXPECT_EQ(Leg().permissions.size(), 3u);
  EXPECT_TRUE(client.Permit(now, {Peer(1), Peer(2), Peer(3), Peer(4)}).success());
  EXPECT_EQ(client.Bind(now, 0x4000, Peer(5)).error, 508);
  Pass(300);  // what has ended makes room at once
  EXPECT_TRUE(client.Permit(now, {Peer(5), Peer(6), Peer(7), Peer(8)}).success());
  EXPECT_EQ(Leg().permissions.size(), 4u);
}

TEST_F(PeersTest, AFullPlaneLeavesPermissionsAsTheyWere) {
  Start();
  TestClient client = Allocated();
  ASSERT_TRUE(client.Permit(now, {Peer(1)}).success());
  const auto before = Leg().permissions;
  Pass(10);
  plane.fail_after = 1;
  EXPECT_EQ(client.Permit(now, {Peer(1), Peer(2), Peer(3)}).error, 508);
  EXPECT_EQ(Leg().permissions, before);
  plane.fail_after = 1;  // the permission, but not the channel
  EXPECT_EQ(client.Bind(now, 0x4000, Peer(4)).error, 508);
  EXPECT_EQ(Leg().permissions, before);
  plane.fail_after = -1;
  EXPECT_EQ(client.Send(now, Peer(4), Bytes{1}).outcome.discard, Discard::kNoPermission);
  EXPECT_TRUE(client.Bind(now, 0x4000, Peer(4)).success());
}

TEST_F(PeersTest, AChannelLastsTenMinutesAndItsPermissionFive) {
  Start();
  TestClient client = Allocated();
  client.Refresh(now, 3600);
  ASSERT_TRUE(client.Bind(now, 0x4000, Peer(1)).success());
  const TransportAddress relayed = *Leg().leg.relayed_v4;
  Pass(299);
  EXPECT_TRUE(FromPeer(relayed, Peer(1), Bytes{1}).answered());
  Pass(1);
  // Out by the channel still, in no more.
  EXPECT_EQ(client.SendChannel(now, 0x4000, Bytes{1}).outcome.kind, Outcome::Kind::kToPeer);
  EXPECT_EQ(FromPeer(relayed, Peer(1), Bytes{1}).outcome.discard, Discard::kNoPermission);
  ASSERT_TRUE(client.Permit(now, {Peer(1)}).success());
  Pass(299);
  EXPECT_EQ(client.SendChannel(now, 0x4000, Bytes{1}).outcome.kind, Outcome::Kind::kToPeer);
  Pass(1);
  EXPECT_EQ(client.SendChannel(now, 0x4000, Bytes{1}).outcome.discard, Discard::kNoChannel);
  TickAll();
  EXPECT_TRUE(Leg().channels.empty());
}

TEST_F(PeersTest, BindingAgainRenewsChannelAndPermission) {
  Start();
  TestClient client = Allocated();
  client.Refresh(now, 3600);
  for (int i = 0; i < 6; ++i) {
    ASSERT_TRUE(client.Bind(now, 0x4000, Peer(1)).success());
    Pass(299);
    EXPECT_EQ(client.SendChannel(now, 0x4000, Bytes{1}).outcome.kind, Outcome::Kind::kToPeer);
    EXPECT_EQ(client.Send(now, Peer(1), Bytes{1}).outcome.kind, Outcome::Kind::kToPeer);
  }
  EXPECT_EQ(server->counters().channels_created, 1u);
}

TEST_F(PeersTest, AChannelAndAPeerAreBoundToEachOtherAlone) {
  Start();
  TestClient client = Allocated();
  client.Refresh(now, 3600);
  ASSERT_TRUE(client.Bind(now, 0x4000, Peer(1)).success());
  EXPECT_EQ(client.Bind(now, 0x4000, Peer(2)).error, 400);
  EXPECT_EQ(client.Bind(now, 0x4001, Peer(1)).error, 400);
  EXPECT_EQ(client.Bind(now, 0x4000, Peer(1, 7001)).error, 400);  // another port: another peer
  EXPECT_TRUE(client.Bind(now, 0x4001, Peer(1, 7001)).success());
  EXPECT_EQ(client.Bind(now, 0x4000, Peer(1, 7001)).error, 400);  // each bound, not to each other
  Pass(600);
  EXPECT_TRUE(client.Bind(now, 0x4000, Peer(2)).success());  // free again once it has ended
  EXPECT_TRUE(client.Bind(now, 0x4001, Peer(1)).success());
}

TEST_F(PeersTest, ChannelNumbersAre0x4000To0x4FFF) {
  Start();
  TestClient client = Allocated();
  for (uint16_t number : {0x0000, 0x3fff, 0x5000, 0x7fff, 0xffff}) {
    EXPECT_EQ(client.Bind(now, number, Peer(1)).error, 400) << number;
  }
  EXPECT_TRUE(client.Bind(now, 0x4000, Peer(1)).success());
  EXPECT_TRUE(client.Bind(now, 0x4fff, Peer(2)).success());
}

TEST_F(PeersTest, ChannelBindWantsANumberAndAPeer) {
  Start();
  TestClient client = Allocated();
  const auto with = [&](const TestClient::Extra& extra) {
    return client.Request(StunMethod::kChannelBind, now, extra).error;
  };
  const auto number = [](StunBuilder& b) { b.AddU32(kChannelNumber, 0x40000000); };
  const auto peer = [](StunBuilder& b) { b.AddXorAddress(kXorPeerAddress, Peer(1)); };
  EXPECT_EQ(with(number), 400);
  EXPECT_EQ(with(peer), 400);
  EXPECT_EQ(with([&](StunBuilder& b) { peer(b), b.Add(kChannelNumber, Bytes{0x40, 0}); }), 400);
  EXPECT_EQ(with([&](StunBuilder& b) { number(b), b.Add(kXorPeerAddress, Bytes(8)); }), 400);
  EXPECT_EQ(with([&](StunBuilder& b) { peer(b), b.AddU32(kChannelNumber, 0x4000ffff); }), 0);
}

TEST_F(PeersTest, ChannelBindRefusesWhatThePolicyRefuses) {
  Start();
  TestClient client = Allocated();
  EXPECT_EQ(client.Bind(now, 0x4000, At("[2001:db8:1::1]:7000")).error, 443);
  for (std::string_view peer : {"127.0.0.1:7000", "10.0.0.1:7000", "169.254.169.254:80",
                                "192.0.2.10:3478", "192.0.2.10:22", "198.51.100.1:0"}) {
    EXPECT_EQ(client.Bind(now, 0x4000, At(peer)).error, 403) << peer;
  }
  EXPECT_TRUE(Leg().permissions.empty());
}

TEST_F(PeersTest, HoldsNoMoreChannelsThanItsBound) {
  ServerOptions options = Options();
  options.limits.max_channels_per_allocation = 3;
  Start(options);
  TestClient client = Allocated();
  for (uint16_t i = 0; i < 3; ++i) {
    EXPECT_TRUE(client.Bind(now, 0x4000 + i, Peer(i)).success());
  }
  EXPECT_EQ(client.Bind(now, 0x4003, Peer(3)).error, 508);
  EXPECT_FALSE(Leg().permissions.contains(Peer(3).ip));
  EXPECT_TRUE(client.Bind(now, 0x4000, Peer(0)).success());
}

}  // namespace
}  // namespace sotto::relay
