// SPDX-License-Identifier: Apache-2.0
#include "dataplane/l3/neighbor_messages.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <set>
#include <string>

#include "dataplane/l3/neighbors_fixture.h"
#include "dataplane/l3/test_support.h"

namespace sotto::dataplane {
namespace {

using testing::Bytes;
using ::testing::ElementsAre;
using testing::Ip;
using ::testing::IsEmpty;
using testing::kOtherMac;
using testing::kPeerMac;
using testing::kPeerV4;
using testing::kPeerV6;
using testing::kRelayMac;
using testing::Sent;
using ::testing::SizeIs;

class NeighborMessagesTest : public testing::NeighborsFixture {
 protected:
  using NeighborsFixture::NeighborsFixture;
};

TEST_F(NeighborMessagesTest, ArpRequestsForTheRelayAreAnsweredAndMerged) {
  const NextHopId id = *neighbors_.Acquire(Ip(kPeerV4));
  sender_.Take();
  EXPECT_EQ(Arp(kArpRequest, kPeerMac, kPeerV4, "192.0.2.10"), L3Event::kArpAnswered);
  EXPECT_EQ(WorkerSees(id), kPeerMac);
  EXPECT_EQ(State(id), NeighborState::kStale);
  const Bytes expected = {2, 0, 0, 0, 0, 0xaa, 2,   0, 0, 0,  0, 1, 8, 6,  //
                          0, 1, 8, 0, 6, 4,    0,   2,                     // ARP reply
                          2, 0, 0, 0, 0, 1,    192, 0, 2, 10,              //
                          2, 0, 0, 0, 0, 0xaa, 192, 0, 2, 77};
  ASSERT_THAT(sender_.sent, SizeIs(1));
  EXPECT_EQ(sender_.sent[0].frame, expected);
}

TEST_F(NeighborMessagesTest, ArpProbesAreAnsweredAndTeachNothing) {
  EXPECT_EQ(Arp(kArpRequest, kPeerMac, "0.0.0.0", "192.0.2.10"), L3Event::kArpAnswered);
  ASSERT_THAT(sender_.sent, SizeIs(1));
  EXPECT_EQ(ParseArp(ParseEthernet(sender_.sent[0].frame)->payload)->target_ip, Ip("0.0.0.0"));
}

TEST_F(NeighborMessagesTest, ArpForOthersOrForOtherInterfacesIsNotAnswered) {
  EXPECT_EQ(Arp(kArpRequest, kPeerMac, kPeerV4, "192.0.2.11"), L3Event::kNeighborUnchanged);
  EXPECT_EQ(Arp(kArpRequest, kPeerMac, kPeerV4, "198.51.100.1"), L3Event::kNeighborUnchanged);
  EXPECT_EQ(Arp(kArpRequest, kPeerMac, kPeerV4, "192.0.2.10", kOtherMac), L3Event::kNotForUs);
  EXPECT_EQ(Arp(kArpRequest, kRelayMac, kPeerV4, "192.0.2.10"), L3Event::kNotForUs);
  EXPECT_THAT(sender_.sent, IsEmpty());
}

TEST_F(NeighborMessagesTest, AnAnswerGoesToTheStationThatAsked) {
  Bytes frame = ArpFrame(kArpRequest, kPeerMac, kPeerV4, "192.0.2.10", MacAddress::Broadcast());
  std::ranges::copy(kOtherMac.bytes, frame.begin() + 6);  // the Ethernet source differs
  EXPECT_EQ(neighbors_.HandleArp(0, *ParseEthernet(frame)), L3Event::kArpAnswered);
  EXPECT_TRUE(IsUnicastTo(sender_.sent.at(0), kOtherMac));
}

TEST_F(NeighborMessagesTest, EveryMalformedArpIsRefused) {
  const Bytes good =
      ArpFrame(kArpRequest, kPeerMac, kPeerV4, "192.0.2.10", MacAddress::Broadcast());
  for (size_t size = kEthernetHeaderSize; size < good.size(); ++size) {
    const Bytes cut(good.begin(), good.begin() + size);
    EXPECT_EQ(neighbors_.HandleArp(0, *ParseEthernet(cut)), L3Event::kMalformedArp) << size;
  }
  for (const auto& [offset, value] : {std::pair{15, 6},  // hardware
                                      {16, 9},           // protocol
                                      {18, 8},           // sizes
                                      {19, 16},
                                      {21, 3},  // operation
                                      {21, 0},
                                      {22, 3},    // sender MAC: a group
                                      {28, 224},  // sender IP: multicast, loopback, none
                                      {28, 127},
                                      {28, 0},
                                      {28, 255},
                                      {6, 3}}) {  // Ethernet source: a group
    Bytes frame = good;
    frame[offset] = static_cast<uint8_t>(value);
    EXPECT_EQ(neighbors_.HandleArp(0, *ParseEthernet(frame)), L3Event::kMalformedArp) << offset;
  }
  Bytes zero = good;
  std::fill_n(zero.begin() + 22, 6, 0);
  EXPECT_EQ(neighbors_.HandleArp(0, *ParseEthernet(zero)), L3Event::kMalformedArp);
  EXPECT_THAT(sender_.sent, IsEmpty());
  EXPECT_EQ(neighbors_.HandleArp(0, *ParseEthernet(good)), L3Event::kArpAnswered);
}

TEST_F(NeighborMessagesTest, SolicitationsAreAnsweredAndLearnedFrom) {
  const NextHopId id = *neighbors_.Acquire(Ip(kPeerV6));
  sender_.Take();
  EXPECT_EQ(HandleNdFrame(SolicitationFrame(kPeerMac, kPeerV6, "2001:db8::10")),
            L3Event::kSolicitationAnswered);
  EXPECT_EQ(WorkerSees(id), kPeerMac);
  ASSERT_THAT(sender_.sent, SizeIs(1));
  EXPECT_TRUE(IsUnicastTo(sender_.sent[0], kPeerMac));
  IpPacket packet;
  ASSERT_EQ(ParseIp(ParseEthernet(sender_.sent[0].frame)->payload, packet), L3Event::kNone);
  EXPECT_EQ(packet.destination, Ip(kPeerV6));
  EXPECT_EQ(packet.source, Ip("2001:db8::10"));
  NeighborMessage message;
  ASSERT_EQ(ParseAdvertisement(packet, message), L3Event::kNone);
  EXPECT_TRUE(message.solicited);
  EXPECT_TRUE(message.override);
  EXPECT_EQ(message.target, Ip("2001:db8::10"));
  EXPECT_EQ(message.link_layer, kRelayMac);
}

TEST_F(NeighborMessagesTest, DuplicateAddressDetectionIsAnsweredToAllNodes) {
  Bytes body(16);
  std::ranges::copy(Ip("2001:db8::10").bytes(), body.begin());
  const IpAddress group = SolicitedNode(Ip("2001:db8::10"));
  const Bytes message = testing::IcmpOf(Ip("::"), group, kNeighborSolicitation, 0, 0, body);
  EXPECT_EQ(HandleNd(kPeerMac, Ip("::"), group, message), L3Event::kSolicitationAnswered);
  ASSERT_THAT(sender_.sent, SizeIs(1));
  EXPECT_TRUE(IsUnicastTo(sender_.sent[0], testing::Mac("33:33:00:00:00:01")));
  IpPacket packet;
  ASSERT_EQ(ParseIp(ParseEthernet(sender_.sent[0].frame)->payload, packet), L3Event::kNone);
  NeighborMessage answer;
  ASSERT_EQ(ParseAdvertisement(packet, answer), L3Event::kNone);
  EXPECT_FALSE(answer.solicited);
  // Such a question carries no link-layer address, and asks the solicited-node group.
  EXPECT_EQ(HandleNdFrame(SolicitationFrame(kPeerMac, "::", "2001:db8::10")),
            L3Event::kMalformedNeighborMessage);
  const Bytes unicast =
      testing::IcmpOf(Ip("::"), Ip("2001:db8::10"), kNeighborSolicitation, 0, 0, body);
  EXPECT_EQ(HandleNd(kPeerMac, Ip("::"), Ip("2001:db8::10"), unicast),
            L3Event::kMalformedNeighborMessage);
}

TEST_F(NeighborMessagesTest, SolicitationsForOthersAreNotAnswered) {
  EXPECT_EQ(HandleNdFrame(SolicitationFrame(kPeerMac, kPeerV6, "2001:db8::11")),
            L3Event::kNotForUs);
  EXPECT_EQ(HandleNdFrame(SolicitationFrame(kPeerMac, kPeerV6, "2001:db8:7::1")),
            L3Event::kNotForUs);
  EXPECT_EQ(HandleNdFrame(SolicitationFrame(kPeerMac, "2001:db8::10", "2001:db8::10")),
            L3Event::kMartianSource);
  // For the relay, but at a group where it isn't asked.
  Bytes body(16);
  std::ranges::copy(Ip("2001:db8::10").bytes(), body.begin());
  EXPECT_EQ(HandleNd(kPeerMac, Ip(kPeerV6), AllNodes(),
                     testing::IcmpOf(Ip(kPeerV6), AllNodes(), kNeighborSolicitation, 0, 0, body)),
            L3Event::kNotForUs);
  EXPECT_THAT(sender_.sent, IsEmpty());
}

TEST_F(NeighborMessagesTest, EveryMalformedNeighborMessageIsRefused) {
  const IpAddress source = Ip(kPeerV6), destination = Ip("2001:db8::10");
  for (const uint8_t type : {kNeighborSolicitation, kNeighborAdvertisement}) {
    const bool solicitation = type == kNeighborSolicitation;
    Bytes body(16);
    std::ranges::copy(solicitation ? destination.bytes() : source.bytes(), body.begin());
    body.insert(body.end(), {static_cast<uint8_t>(solicitation ? 1 : 2), 1, 2, 0, 0, 0, 0, 0xaa});
    const auto handle = [&](const Bytes& with_body, uint8_t code = 0, uint8_t hop_limit = 255) {
      return HandleNd(kPeerMac, source, destination,
                      testing::IcmpOf(source, destination, type, code, 0, with_body), hop_limit);
    };
    EXPECT_FALSE(IsL3Drop(handle(body)));
    sender_.Take();
    for (size_t size = 0; size < body.size(); ++size) {
      if (size == 16) continue;  // without option: valid
      EXPECT_EQ(handle(Bytes(body.begin(), body.begin() + size)),
                L3Event::kMalformedNeighborMessage)
          << size;
    }
    EXPECT_EQ(handle(body, 1), L3Event::kMalformedNeighborMessage);
    EXPECT_EQ(handle(body, 0, 254), L3Event::kMalformedNeighborMessage);
    Bytes bad = body;
    bad[0] = 0xff;  // a multicast target
    EXPECT_EQ(handle(bad), L3Event::kMalformedNeighborMessage);
    for (const uint8_t units : {0, 2, 255}) {
      bad = body;
      bad[17] = units;
      EXPECT_EQ(handle(bad), L3Event::kMalformedNeighborMessage) << int{units};
    }
    bad = body;
    bad[18] = 0x33;  // a group's MAC address
    EXPECT_EQ(handle(bad), L3Event::kMalformedNeighborMessage);
    bad = body;
    bad.insert(bad.end(), {14, 0});  // an unknown option of no length
    EXPECT_EQ(handle(bad), L3Event::kMalformedNeighborMessage);
    bad = body;
    bad.insert(bad.end(), {14, 1, 0, 0, 0, 0, 0, 0});  // an unknown option is ignored
    EXPECT_FALSE(IsL3Drop(handle(bad)));
    sender_.Take();
    Bytes message = testing::IcmpOf(source, destination, type, 0, 0, body);
    message[2] ^= 1;
    EXPECT_EQ(HandleNd(kPeerMac, source, destination, message), L3Event::kBadIcmpChecksum);
    // RFC 6980: not in a fragment, not even an atomic one.
    Bytes fragment = {58, 0, 0, 0, 1, 2, 3, 4};
    message[2] ^= 1;
    fragment.insert(fragment.end(), message.begin(), message.end());
    EXPECT_EQ(HandleNdFrame(testing::IpFrame(
                  testing::Station(kPeerMac), kRelayMac,
                  {.source = source, .destination = destination, .protocol = 44, .hop_limit = 255},
                  fragment)),
              L3Event::kMalformedNeighborMessage);
  }
  EXPECT_THAT(sender_.sent, IsEmpty());
}

TEST_F(NeighborMessagesTest, ASolicitedAdvertisementToAGroupIsMalformed) {
  EXPECT_EQ(Advertise(kPeerMac, kPeerV6, "ff02::1", true, true),
            L3Event::kMalformedNeighborMessage);
}

TEST_F(NeighborMessagesTest, AnAdvertisementWithoutAddressResolvesNothing) {
  const NextHopId id = *neighbors_.Acquire(Ip(kPeerV6));
  EXPECT_EQ(Advertise(kPeerMac, kPeerV6, "2001:db8::10", true, true, false),
            L3Event::kNeighborUnchanged);
  EXPECT_EQ(State(id), NeighborState::kIncomplete);
}

TEST_F(NeighborMessagesTest, ConflictsAreCountedAndTheAddressIsDefendedAtABoundedRate) {
  for (int i = 0; i < 100; ++i) {
    EXPECT_EQ(Arp(kArpRequest, kOtherMac, "192.0.2.10", "192.0.2.10"), L3Event::kAddressConflict);
    EXPECT_EQ(Advertise(kOtherMac, "2001:db8::10", "ff02::1", false, true),
              L3Event::kAddressConflict);
  }
  EXPECT_THAT(sender_.Take(), SizeIs(3));  // listener report, ARP, advertisement: once
  Pass(10'000);
  Arp(kArpRequest, kOtherMac, "192.0.2.10", "192.0.2.10");
  EXPECT_THAT(sender_.Take(), SizeIs(3));
}

TEST_F(NeighborMessagesTest, AnnouncesEachAddressTwice) {
  neighbors_.AnnounceAddresses();
  const std::vector<Sent> first = sender_.Take();
  ASSERT_THAT(first, SizeIs(6));  // two interfaces: listener report, ARP, advertisement
  const ArpMessage arp = *ParseArp(ParseEthernet(first[1].frame)->payload);
  EXPECT_EQ(arp.operation, kArpRequest);
  EXPECT_EQ(arp.sender_ip, Ip("192.0.2.10"));
  EXPECT_EQ(arp.target_ip, Ip("192.0.2.10"));
  EXPECT_TRUE(IsUnicastTo(first[1], MacAddress::Broadcast()));
  IpPacket packet;
  ASSERT_EQ(ParseIp(ParseEthernet(first[2].frame)->payload, packet), L3Event::kNone);
  NeighborMessage message;
  ASSERT_EQ(ParseAdvertisement(packet, message), L3Event::kNone);
  EXPECT_EQ(message.target, Ip("2001:db8::10"));
  EXPECT_FALSE(message.solicited);
  EXPECT_TRUE(message.override);
  EXPECT_EQ(packet.destination, AllNodes());
  EXPECT_EQ(Pass(2'050).size(), 6u);
  EXPECT_EQ(Pass(1'000).size(), 0u);
}

TEST_F(NeighborMessagesTest, ListenerReportsNameTheGroupsAtWhichSolicitationsArrive) {
  neighbors_.AnnounceAddresses();
  const Bytes& frame = sender_.sent.at(0).frame;
  EXPECT_TRUE(IsUnicastTo(sender_.sent[0], testing::Mac("33:33:00:00:00:16")));
  IpPacket packet;
  ASSERT_EQ(ParseIp(ParseEthernet(frame)->payload, packet), L3Event::kNone);
  EXPECT_EQ(packet.hop_limit, 1);
  EXPECT_EQ(packet.protocol, kProtocolIcmpv6);
  EXPECT_EQ(packet.destination, Ip("ff02::16"));
  EXPECT_EQ(IcmpChecksum(packet.source, packet.destination, packet.payload), 0);
  // Router alert directly behind the IPv6 header (RFC 3810, section 5).
  EXPECT_THAT(std::vector<uint8_t>(frame.begin() + 54, frame.begin() + 62),
              ElementsAre(58, 0, 5, 2, 0, 0, 1, 0));
  Bytes record = {4, 0, 0, 0};
  const IpAddress group = Ip("ff02::1:ff00:10");
  record.insert(record.end(), group.bytes().begin(), group.bytes().end());
  ASSERT_EQ(packet.payload.size(), 8 + record.size());
  EXPECT_EQ(packet.payload[0], kListenerReportV2);
  EXPECT_EQ(packet.payload[7], 1);
  EXPECT_EQ(Bytes(packet.payload.begin() + 8, packet.payload.end()), record);
}

TEST_F(NeighborMessagesTest, ListenerQueriesFromTheLinkAreAnsweredOnceASecond) {
  const auto query = [this](const char* source, uint8_t hop_limit, size_t size) {
    const Bytes message =
        testing::IcmpOf(Ip(source), AllNodes(), kListenerQuery, 0, 1000u << 16, Bytes(size));
    const Bytes frame = testing::IpFrame(
        testing::Station(kOtherMac), MulticastMac(AllNodes()),
        {.source = Ip(source), .destination = AllNodes(), .protocol = 58, .hop_limit = hop_limit},
        message);
    IpPacket packet;
    ParseIp(ParseEthernet(frame)->payload, packet);
    return neighbors_.HandleListenerQuery(0, packet);
  };
  EXPECT_EQ(query("fe80::1", 1, 20), L3Event::kListenerReportSent);
  EXPECT_EQ(sender_.Take().at(0).frame.at(70), 2);  // the state, not a change of it
  EXPECT_EQ(query("fe80::1", 1, 20), L3Event::kRateLimited);
  Pass(1'000);
  EXPECT_EQ(query("fe80::1", 2, 20), L3Event::kMartianSource);
  EXPECT_EQ(query("2001:db8::1", 1, 20), L3Event::kMartianSource);
  EXPECT_EQ(query("fe80::1", 1, 15), L3Event::kMalformedIcmp);
  EXPECT_EQ(query("fe80::1", 1, 16), L3Event::kListenerReportSent);
}

}  // namespace
}  // namespace sotto::dataplane
