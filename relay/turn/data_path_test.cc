// SPDX-License-Identifier: Apache-2.0
// Data between clients and peers (RFC 8656, sections 11 and 12).
#include "relay/turn/server_fixture.h"

namespace sotto::relay {
namespace {

using enum StunAttributeType;

class DataPathTest : public ServerTest {
 protected:
  TestClient Ready(ServerOptions options = Options()) {
    Start(std::move(options));
    TestClient client = Client();
    const Reply reply =
        client.Allocate(now, [](StunBuilder& b) { b.AddU8(kAdditionalAddressFamily, 2); });
    v4 = reply.relayed().at(0);
    v6 = reply.relayed().at(1);
    EXPECT_TRUE(client.Permit(now, {peer4, peer6}).success());
    return client;
  }
  Reply Error(const TransportAddress& relayed, const TransportAddress& peer,
              const IcmpError& error) {
    Bytes buffer(2048, 0xAA);
    return Reply(server->HandlePeerError(relayed, peer, error, now, buffer));
  }

  const TransportAddress peer4 = At("198.51.100.1:7000");
  const TransportAddress peer6 = At("[2001:db8:1::1]:7000");
  TransportAddress v4;
  TransportAddress v6;
  const Bytes data = {1, 2, 3, 4, 5};
};

TEST_F(DataPathTest, SendGoesFromTheRelayedAddressOfThePeersFamily) {
  TestClient client = Ready();
  const Reply to4 = client.Send(now, peer4, data);
  ASSERT_EQ(to4.outcome.kind, Outcome::Kind::kToPeer);
  EXPECT_EQ(to4.outcome.relayed, v4);
  EXPECT_EQ(to4.outcome.peer, peer4);
  EXPECT_EQ(to4.bytes, data);
  EXPECT_FALSE(to4.outcome.dont_fragment);
  const Reply to6 = client.Send(now, peer6, data);
  EXPECT_EQ(to6.outcome.relayed, v6);
  EXPECT_EQ(to6.outcome.peer, peer6);
}

TEST_F(DataPathTest, DontFragmentIsForIpv4Alone) {
  TestClient client = Ready();
  EXPECT_TRUE(client.Send(now, peer4, data, true).outcome.dont_fragment);
  EXPECT_FALSE(client.Send(now, peer6, data, true).outcome.dont_fragment);
}

TEST_F(DataPathTest, ZeroBytesAreDataToo) {
  TestClient client = Ready();
  ASSERT_TRUE(client.Bind(now, 0x4000, peer4).success());
  for (const Reply& reply : {client.Send(now, peer4, {}), client.SendChannel(now, 0x4000, {})}) {
    EXPECT_EQ(reply.outcome.kind, Outcome::Kind::kToPeer);
    EXPECT_TRUE(reply.bytes.empty());
  }
  const Reply channel = FromPeer(v4, peer4, {});
  EXPECT_EQ(channel.bytes, (Bytes{0x40, 0, 0, 0}));
  const Reply indication = FromPeer(v6, peer6, {});
  ASSERT_TRUE(indication.message()->Has(kData));
  EXPECT_TRUE(indication.message()->Find(kData)->value.empty());
}

TEST_F(DataPathTest, ABrokenSendIndicationIsDiscarded) {
  TestClient client = Ready();
  const auto discard = [&](const TestClient::Extra& extra) {
    return client
        .SendRaw(client.Build(StunMethod::kSend, client.NewId(), extra, StunClass::kIndication),
                 now)
        .outcome.discard;
  };
  const auto peer = [&](StunBuilder& b) { b.AddXorAddress(kXorPeerAddress, peer4); };
  EXPECT_EQ(discard({}), Discard::kMalformed);
  EXPECT_EQ(discard(peer), Discard::kMalformed);
  EXPECT_EQ(discard([&](StunBuilder& b) { b.Add(kData, data); }), Discard::kMalformed);
  EXPECT_EQ(discard([&](StunBuilder& b) { b.Add(kXorPeerAddress, Bytes(7)), b.Add(kData, data); }),
            Discard::kMalformed);
  EXPECT_EQ(discard([&](StunBuilder& b) {
              peer(b), b.Add(kData, data), b.AddEmpty(static_cast<StunAttributeType>(0x7abc));
            }),
            Discard::kUnknownAttribute);
}

TEST_F(DataPathTest, SendChecksLikeAChannel) {
  TestClient client = Ready();
  EXPECT_EQ(client.Send(now, At("198.51.100.2:7000"), data).outcome.discard,
            Discard::kNoPermission);
  EXPECT_EQ(client.Send(now, At("127.0.0.1:7000"), data).outcome.discard, Discard::kPeerRefused);
  EXPECT_EQ(client.Send(now, At("198.51.100.1:0"), data).outcome.discard, Discard::kPeerRefused);
  ASSERT_TRUE(client.Permit(now, {v4}).success());  // the relay itself: the hairpin
  EXPECT_EQ(client.Send(now, At("192.0.2.10:3478"), data).outcome.discard, Discard::kPeerRefused);
  EXPECT_EQ(client.Send(now, At("192.0.2.10:22"), data).outcome.discard, Discard::kPeerRefused);
  TestClient single = Allocated();
  EXPECT_EQ(single.Send(now, peer6, data).outcome.discard, Discard::kNoRelayedFamily);
  EXPECT_EQ(Client().Send(now, peer4, data).outcome.discard, Discard::kNoAllocation);
}

TEST_F(DataPathTest, ChannelDataGoesToTheBoundPeer) {
  TestClient client = Ready();
  EXPECT_EQ(client.SendChannel(now, 0x4000, data).outcome.discard, Discard::kNoChannel);
  ASSERT_TRUE(client.Bind(now, 0x4000, peer6).success());
  const Reply reply = client.SendChannel(now, 0x4000, data);
  ASSERT_EQ(reply.outcome.kind, Outcome::Kind::kToPeer);
  EXPECT_EQ(reply.outcome.relayed, v6);
  EXPECT_EQ(reply.outcome.peer, peer6);
  EXPECT_EQ(reply.bytes, data);
  EXPECT_EQ(client.SendChannel(now, 0x4001, data).outcome.discard, Discard::kNoChannel);
  EXPECT_EQ(Client().SendChannel(now, 0x4000, data).outcome.discard, Discard::kNoAllocation);
}

TEST_F(DataPathTest, ChannelDataThatLiesAboutItsLengthIsDiscardedAndPaddingIgnored) {
  TestClient client = Ready();
  ASSERT_TRUE(client.Bind(now, 0x4000, peer4).success());
  EXPECT_EQ(client.SendRaw(Bytes{0x40, 0, 0, 3, 1, 2}, now).outcome.discard, Discard::kMalformed);
  EXPECT_EQ(client.SendRaw(Bytes{0x40, 0, 0, 3, 1, 2, 3, 0}, now).bytes, (Bytes{1, 2, 3}));
  EXPECT_EQ(client.SendRaw(Bytes{0x50, 0, 0, 0}, now).outcome.discard, Discard::kMalformed);
}

TEST_F(DataPathTest, DataFromAPeerComesAsAnIndicationOrOnItsChannel) {
  TestClient client = Ready();
  const Reply indication = FromPeer(v4, peer4, data);
  ASSERT_TRUE(indication.answered());
  EXPECT_EQ(indication.outcome.path, client.path());
  const StunMessage message = *indication.message();
  EXPECT_EQ(message.method(), StunMethod::kData);
  EXPECT_EQ(message.message_class(), StunClass::kIndication);
  EXPECT_EQ(message.FindXorAddress(kXorPeerAddress), peer4);
  const auto value = message.Find(kData)->value;
  EXPECT_EQ(Bytes(value.begin(), value.end()), data);

  ASSERT_TRUE(client.Bind(now, 0x4abc, peer4).success());
  EXPECT_EQ(FromPeer(v4, peer4, data).bytes, (Bytes{0x4a, 0xbc, 0, 5, 1, 2, 3, 4, 5}));
  // Another port of the same host has a permission, but not the channel.
  EXPECT_EQ(FromPeer(v4, {peer4.ip, 7001}, data).message()->FindXorAddress(kXorPeerAddress),
            (TransportAddress{peer4.ip, 7001}));
}

TEST_F(DataPathTest, DataFromAPeerWithoutAPermissionIsDiscarded) {
  Ready();
  EXPECT_EQ(FromPeer(v4, At("198.51.100.2:7000"), data).outcome.discard, Discard::kNoPermission);
  EXPECT_EQ(FromPeer({v4.ip, static_cast<uint16_t>(v4.port ^ 1)}, peer4, data).outcome.discard,
            Discard::kNoAllocation);
  EXPECT_EQ(FromPeer({v4.ip, 80}, peer4, data).outcome.discard, Discard::kNoAllocation);
  EXPECT_EQ(FromPeer(At("192.0.2.99:50000"), peer4, data).outcome.discard, Discard::kNoAllocation);
}

TEST_F(DataPathTest, IndicationsHaveTransactionIdsThatNobodyKnowsBefore) {
  Ready();
  const TransactionId first = FromPeer(v4, peer4, data).message()->transaction_id();
  EXPECT_NE(FromPeer(v4, peer4, data).message()->transaction_id(), first);
}

TEST_F(DataPathTest, TheLargestDatagramIsWrapped) {
  TestClient client = Ready();
  const Bytes large(65'000, 7);
  const Reply indication = FromPeer(v4, peer4, large);
  ASSERT_TRUE(indication.answered());
  EXPECT_EQ(indication.message()->Find(kData)->value.size(), large.size());
  EXPECT_LE(indication.bytes.size(), large.size() + Server::kMaxWrapping);
  ASSERT_TRUE(client.Bind(now, 0x4000, peer4).success());
  EXPECT_EQ(FromPeer(v4, peer4, large).bytes.size(), large.size() + 4);
}

TEST_F(DataPathTest, TwoClientsReachEachOtherThroughTheirRelayedAddresses) {
  TestClient alice = Ready();
  TestClient bob = Client("bob", "another-password");
  const TransportAddress bobs = bob.Allocate(now).relayed().at(0);
  ASSERT_TRUE(alice.Bind(now, 0x4000, bobs).success());
  ASSERT_TRUE(bob.Bind(now, 0x4001, v4).success());
  const Reply out = alice.SendChannel(now, 0x4000, data);
  ASSERT_EQ(out.outcome.kind, Outcome::Kind::kToPeer);
  EXPECT_EQ(out.outcome.peer, bobs);
  const Reply in = FromPeer(out.outcome.peer, out.outcome.relayed, out.bytes);
  EXPECT_EQ(in.outcome.path, bob.path());
  EXPECT_EQ(in.bytes, (Bytes{0x40, 0x01, 0, 5, 1, 2, 3, 4, 5}));
}

TEST_F(DataPathTest, IcmpErrorsReachTheClient) {
  TestClient client = Ready();
  const auto value = [&](const TransportAddress& relayed, const TransportAddress& peer,
                         const IcmpError& error) {
    const Reply reply = Error(relayed, peer, error);
    EXPECT_EQ(reply.outcome.path, client.path());
    EXPECT_EQ(reply.message()->FindXorAddress(kXorPeerAddress), peer);
    EXPECT_FALSE(reply.message()->Has(kData));
    const auto icmp = reply.message()->Find(kIcmp)->value;
    return Bytes(icmp.begin(), icmp.end());
  };
  // Port unreachable; fragmentation needed, with its MTU; time exceeded.
  EXPECT_EQ(value(v4, peer4, {3, 3, 99}), (Bytes{0, 0, 6, 3, 0, 0, 0, 0}));
  EXPECT_EQ(value(v4, peer4, {3, 4, 1400}), (Bytes{0, 0, 6, 4, 0, 0, 5, 0x78}));
  EXPECT_EQ(value(v4, peer4, {11, 0, 0}), (Bytes{0, 0, 22, 0, 0, 0, 0, 0}));
  // ICMPv6: unreachable, packet too big, time exceeded.
  EXPECT_EQ(value(v6, peer6, {1, 4, 99}), (Bytes{0, 0, 2, 4, 0, 0, 0, 0}));
  EXPECT_EQ(value(v6, peer6, {2, 0, 1280}), (Bytes{0, 0, 4, 0, 0, 0, 5, 0}));
  EXPECT_EQ(value(v6, peer6, {3, 1, 0}), (Bytes{0, 0, 6, 1, 0, 0, 0, 0}));
}

TEST_F(DataPathTest, OtherIcmpAndThatOfStrangersIsDiscarded) {
  Ready();
  for (uint8_t type : {0, 4, 5, 8, 12}) {
    EXPECT_EQ(Error(v4, peer4, {type, 0, 0}).outcome.discard, Discard::kIcmpNotRelayed);
  }
  for (uint8_t type : {0, 4, 128, 135}) {
    EXPECT_EQ(Error(v6, peer6, {type, 0, 0}).outcome.discard, Discard::kIcmpNotRelayed);
  }
  EXPECT_EQ(Error(v4, At("198.51.100.2:7000"), {3, 3, 0}).outcome.discard, Discard::kNoPermission);
  EXPECT_EQ(Error({v4.ip, 80}, peer4, {3, 3, 0}).outcome.discard, Discard::kNoAllocation);
}

}  // namespace
}  // namespace sotto::relay
