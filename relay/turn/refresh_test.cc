// SPDX-License-Identifier: Apache-2.0
// Refresh (RFC 8656, section 8), and the end of allocations.
#include "relay/turn/server_fixture.h"

namespace sotto::relay {
namespace {

using enum StunAttributeType;

class RefreshTest : public ServerTest {
 protected:
  TestClient Dual(const TestClient::Extra& extra = {}) {
    TestClient client = Client();
    const Reply reply = client.Allocate(now, [&](StunBuilder& b) {
      b.AddU8(kAdditionalAddressFamily, 2);
      if (extra) extra(b);
    });
    EXPECT_EQ(reply.relayed().size(), 2u);
    v4 = reply.relayed()[0];
    v6 = reply.relayed()[1];
    return client;
  }
  const RecordingPlane::Leg& Leg() const { return plane.legs.begin()->second; }

  const TransportAddress peer4 = At("198.51.100.1:7000");
  const TransportAddress peer6 = At("[2001:db8:1::1]:7000");
  TransportAddress v4;
  TransportAddress v6;
};

TEST_F(RefreshTest, AnAllocationEndsAtTheVeryEndOfItsLifetime) {
  Start();
  TestClient client = Allocated();
  Pass(599);
  EXPECT_TRUE(client.Permit(now, {peer4}).success());
  Pass(1);
  EXPECT_EQ(client.Permit(now, {peer4}).error, 437);
  EXPECT_EQ(server->allocation_count(), 0u);
  EXPECT_EQ(server->ports_in_use(), 0u);
  EXPECT_EQ(server->counters().allocations_expired, 1u);
}

TEST_F(RefreshTest, ProlongsFromNowAndClampsLikeAllocate) {
  Start();
  TestClient client = Allocated();
  const std::pair<std::optional<uint32_t>, uint32_t> cases[] = {
      {std::nullopt, 600}, {1, 600}, {1800, 1800}, {99999, 3600}};
  for (const auto& [asked, granted] : cases) {
    Pass(100);
    const Reply reply = client.Refresh(now, asked);
    EXPECT_EQ(reply.lifetime(), granted);
    EXPECT_EQ(Leg().leg.expires_at, now.monotonic_ms + granted * 1000);
  }
  EXPECT_EQ(
      client.Request(StunMethod::kRefresh, now, [](StunBuilder& b) { b.Add(kLifetime, Bytes(2)); })
          .error,
      400);
}

TEST_F(RefreshTest, ZeroDeletesAndIsAnsweredAlikeWhenRepeated) {
  Start();
  TestClient client = Allocated();
  client.Bind(now, 0x4000, peer4);
  const Bytes request = client.Build(StunMethod::kRefresh, client.NewId(),
                                     [](StunBuilder& b) { b.AddU32(kLifetime, 0); });
  const Reply first = client.SendRaw(request, now);
  ASSERT_TRUE(first.success());
  EXPECT_EQ(first.lifetime(), 0u);
  EXPECT_TRUE(client.Trusts(first));
  EXPECT_EQ(server->allocation_count(), 0u);
  EXPECT_TRUE(plane.legs.empty());
  EXPECT_EQ(client.SendRaw(request, now).bytes, first.bytes);
  EXPECT_EQ(client.Refresh(now, 0).error, 437);  // another transaction

  EXPECT_TRUE(client.Allocate(now).success());
  EXPECT_EQ(client.SendRaw(request, now).bytes, first.bytes);
  EXPECT_EQ(server->allocation_count(), 1u);  // a late copy ends nothing
  Pass(40);
  EXPECT_TRUE(client.SendRaw(request, now).success());
  EXPECT_EQ(server->allocation_count(), 0u);
}

TEST_F(RefreshTest, OfAFamilyThatIsNotThereIsAMismatch) {
  Start();
  TestClient client = Allocated();
  EXPECT_TRUE(client.Refresh(now, 600, IpFamily::kV4).success());
  EXPECT_EQ(client.Refresh(now, 600, IpFamily::kV6).error, 443);
  EXPECT_EQ(client.Refresh(now, 0, IpFamily::kV6).error, 443);
  EXPECT_EQ(client
                .Request(StunMethod::kRefresh, now,
                         [](StunBuilder& b) { b.Add(kRequestedAddressFamily, Bytes(1)); })
                .error,
            400);
  EXPECT_EQ(server->allocation_count(), 1u);
}

TEST_F(RefreshTest, DeletingOneFamilyLeavesTheOtherAndWhatBelongsToIt) {
  Start();
  TestClient client = Dual();
  ASSERT_TRUE(client.Bind(now, 0x4000, peer4).success());
  ASSERT_TRUE(client.Bind(now, 0x4001, peer6).success());
  const Bytes request = client.Build(StunMethod::kRefresh, client.NewId(), [](StunBuilder& b) {
    b.AddU32(kLifetime, 0);
    b.AddU8(kRequestedAddressFamily, 1);
  });
  const Reply reply = client.SendRaw(request, now);
  EXPECT_EQ(reply.lifetime(), 0u);
  EXPECT_EQ(client.SendRaw(request, now).bytes, reply.bytes);
  EXPECT_EQ(server->ports_in_use(), 1u);
  EXPECT_FALSE(Leg().leg.relayed_v4);
  EXPECT_EQ(Leg().leg.relayed_v6, v6);
  EXPECT_FALSE(Leg().permissions.contains(peer4.ip));
  EXPECT_TRUE(Leg().permissions.contains(peer6.ip));
  EXPECT_FALSE(Leg().channels.contains(0x4000));
  EXPECT_TRUE(Leg().channels.contains(0x4001));

  EXPECT_EQ(client.Permit(now, {peer4}).error, 443);
  EXPECT_EQ(client.SendChannel(now, 0x4000, Bytes{1}).outcome.discard, Discard::kNoChannel);
  EXPECT_EQ(client.SendChannel(now, 0x4001, Bytes{1}).outcome.relayed, v6);
  EXPECT_EQ(FromPeer(v4, peer4, Bytes{1}).outcome.discard, Discard::kNoAllocation);

  EXPECT_TRUE(client.Refresh(now, 0, IpFamily::kV6).success());  // the last one
  EXPECT_EQ(server->allocation_count(), 0u);
  EXPECT_EQ(server->ports_in_use(), 0u);
}

TEST_F(RefreshTest, EachFamilyOfADualAllocationHasItsOwnLifetime) {
  Start();
  TestClient client = Dual();
  Pass(300);
  ASSERT_TRUE(client.Refresh(now, 600, IpFamily::kV6).success());
  Pass(299);
  ASSERT_TRUE(client.Permit(now, {peer4, peer6}).success());
  // The plane must stop IPv4 by itself, when the server is late.
  EXPECT_EQ(Leg().permissions.at(peer4.ip), now.monotonic_ms + 1000);
  EXPECT_EQ(Leg().permissions.at(peer6.ip), now.monotonic_ms + 300'000);
  Pass(1);
  EXPECT_EQ(FromPeer(v4, peer4, Bytes{1}).outcome.discard, Discard::kNoAllocation);
  EXPECT_TRUE(FromPeer(v6, peer6, Bytes{1}).answered());
  EXPECT_EQ(server->ports_in_use(), 1u);
  EXPECT_FALSE(Leg().leg.relayed_v4);
  Pass(300);
  TickAll();
  EXPECT_EQ(server->allocation_count(), 0u);
}

TEST_F(RefreshTest, ProlongsWhatTheLifetimeHadCutShort) {
  Start();
  TestClient client = Allocated();
  Pass(500);
  ASSERT_TRUE(client.Bind(now, 0x4000, peer4).success());
  EXPECT_EQ(Leg().permissions.at(peer4.ip), now.monotonic_ms + 100'000);
  EXPECT_EQ(Leg().channels.at(0x4000).expires_at, now.monotonic_ms + 100'000);
  ASSERT_TRUE(client.Refresh(now, 3600).success());
  EXPECT_EQ(Leg().permissions.at(peer4.ip), now.monotonic_ms + 300'000);
  EXPECT_EQ(Leg().channels.at(0x4000).expires_at, now.monotonic_ms + 600'000);
}

}  // namespace
}  // namespace sotto::relay
