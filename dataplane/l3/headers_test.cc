// SPDX-License-Identifier: Apache-2.0
#include "dataplane/l3/headers.h"

#include <gtest/gtest.h>

#include <set>
#include <tuple>

#include "dataplane/l3/test_support.h"

namespace sotto::dataplane {
namespace {

using testing::Bytes;
using testing::EthernetOf;
using testing::Ip;
using testing::IpOf;

const Bytes kPayload = {1, 2, 3, 4, 5};

TEST(EthernetTest, ReadsWhatIsWrittenWithAndWithoutTag) {
  for (uint16_t vlan : {0, 7, 4094}) {
    const Bytes frame =
        EthernetOf(testing::Station(testing::kPeerMac, vlan), testing::kRelayMac, 0x1234, kPayload);
    const std::optional<EthernetFrame> parsed = ParseEthernet(frame);
    ASSERT_TRUE(parsed);
    EXPECT_EQ(parsed->source, testing::kPeerMac);
    EXPECT_EQ(parsed->destination, testing::kRelayMac);
    EXPECT_EQ(parsed->vlan, vlan);
    EXPECT_EQ(parsed->ether_type, 0x1234);
    EXPECT_EQ(Bytes(parsed->payload.begin(), parsed->payload.end()), kPayload);
  }
}

TEST(EthernetTest, PriorityBitsAreNoPartOfTheVlan) {
  Bytes frame = EthernetOf(testing::Station(testing::kPeerMac, 7), testing::kRelayMac, 0x800, {});
  frame[14] |= 0xf0;
  EXPECT_EQ(ParseEthernet(frame)->vlan, 7);
}

TEST(EthernetTest, RefusesEveryTruncatedHeader) {
  const Bytes frame =
      EthernetOf(testing::Station(testing::kPeerMac, 7), testing::kRelayMac, 0x800, {});
  ASSERT_EQ(frame.size(), 18u);
  for (size_t size = 0; size < frame.size(); ++size) {
    const Bytes cut(frame.begin(), frame.begin() + size);
    EXPECT_FALSE(ParseEthernet(cut)) << size;
  }
  EXPECT_TRUE(ParseEthernet(frame));
}

IpHeader HeaderV4() {
  return {
      .source = Ip("192.0.2.1"), .destination = Ip("198.51.100.2"), .protocol = 17, .id = 0xabcd};
}
IpHeader HeaderV6() {
  return {.source = Ip("2001:db8::1"), .destination = Ip("2001:db8::2"), .protocol = 17};
}

TEST(IpTest, WritesTheIpv4HeaderOfRfc791) {
  const Bytes packet = IpOf(HeaderV4(), kPayload);
  const Bytes expected = {0x45, 0, 0, 25,  0xab, 0xcd, 0, 0, 64, 17, 0xac, 0x03, 192,
                          0,    2, 1, 198, 51,   100,  2, 1, 2,  3,  4,    5};
  // The checksum stands by itself: 0x4500+0x0019+0xabcd+0+0x4011+0xc000+0x0201+0xc633+0x6402 =
  // 0x31d2d -> 0x1d30, complement 0xe2cf.
  Bytes with_checksum = expected;
  with_checksum[10] = 0xe2;
  with_checksum[11] = 0xcf;
  EXPECT_EQ(packet, with_checksum);
}

TEST(IpTest, DontFragmentIsWrittenAndRead) {
  IpHeader header = HeaderV4();
  header.dont_fragment = true;
  const Bytes packet = IpOf(header, kPayload);
  EXPECT_EQ(packet[6], 0x40);
  IpPacket parsed;
  ASSERT_EQ(ParseIp(packet, parsed), L3Event::kNone);
  EXPECT_TRUE(parsed.dont_fragment);
  EXPECT_FALSE(parsed.is_fragment());
}

TEST(IpTest, ReadsWhatIsWrittenAndTrimsWhatIsBehind) {
  for (const IpHeader& header : {HeaderV4(), HeaderV6()}) {
    Bytes packet = IpOf(header, kPayload);
    const size_t size = packet.size();
    packet.resize(size + 9, 0xee);  // Ethernet padding
    IpPacket parsed;
    ASSERT_EQ(ParseIp(packet, parsed), L3Event::kNone);
    EXPECT_EQ(parsed.source, header.source);
    EXPECT_EQ(parsed.destination, header.destination);
    EXPECT_EQ(parsed.protocol, 17);
    EXPECT_EQ(parsed.hop_limit, 64);
    EXPECT_EQ(parsed.datagram.size(), size);
    EXPECT_EQ(Bytes(parsed.payload.begin(), parsed.payload.end()), kPayload);
  }
}

TEST(IpTest, RefusesEveryTruncatedPacket) {
  for (const IpHeader& header : {HeaderV4(), HeaderV6()}) {
    const Bytes packet = IpOf(header, kPayload);
    for (size_t size = 0; size < packet.size(); ++size) {
      const Bytes cut(packet.begin(), packet.begin() + size);
      IpPacket parsed;
      EXPECT_EQ(ParseIp(cut, parsed), L3Event::kMalformedIp) << size;
    }
  }
}

TEST(IpTest, RefusesLyingLengths) {
  IpPacket parsed;
  Bytes packet = IpOf(HeaderV4(), kPayload);
  packet[0] = 0x44;  // a header of 16 bytes
  EXPECT_EQ(ParseIp(packet, parsed), L3Event::kMalformedIp);
  packet[0] = 0x4f;  // of 60
  EXPECT_EQ(ParseIp(packet, parsed), L3Event::kMalformedIp);
  packet = IpOf(HeaderV4(), kPayload);
  packet[3] = 19;  // a total shorter than the header
  EXPECT_EQ(ParseIp(packet, parsed), L3Event::kMalformedIp);
  packet[3] = 26;  // and one longer than the packet
  EXPECT_EQ(ParseIp(packet, parsed), L3Event::kMalformedIp);
  packet = IpOf(HeaderV6(), kPayload);
  packet[5] = 6;
  EXPECT_EQ(ParseIp(packet, parsed), L3Event::kMalformedIp);
  packet[0] = 0x50;  // no such version
  EXPECT_EQ(ParseIp(packet, parsed), L3Event::kMalformedIp);
}

TEST(IpTest, RefusesAWrongHeaderChecksum) {
  Bytes packet = IpOf(HeaderV4(), kPayload);
  for (size_t i = 8; i < 20; ++i) {  // what isn't a length or version
    packet[i] ^= 0x10;
    IpPacket parsed;
    EXPECT_EQ(ParseIp(packet, parsed), L3Event::kBadIpChecksum) << i;
    packet[i] ^= 0x10;
  }
}

TEST(IpTest, OptionsAreWalkedOver) {
  Bytes packet = IpOf(HeaderV4(), kPayload);
  packet.insert(packet.begin() + 20, {1, 1, 1, 0});
  packet[0] = 0x46;
  packet[3] = static_cast<uint8_t>(packet.size());
  testing::FixIpv4Checksum(packet, 0);
  IpPacket parsed;
  ASSERT_EQ(ParseIp(packet, parsed), L3Event::kNone);
  EXPECT_EQ(Bytes(parsed.payload.begin(), parsed.payload.end()), kPayload);
}

TEST(IpTest, Ipv4FragmentsAreKnownByOffsetOrFlag) {
  for (const auto& [field, offset, more] :
       {std::tuple{0x2000, 0, true}, {0x0001, 8, false}, {0x3fff, 65528, true}}) {
    Bytes packet = IpOf(HeaderV4(), kPayload);
    StoreBe16(&packet[6], static_cast<uint16_t>(field));
    testing::FixIpv4Checksum(packet, 0);
    IpPacket parsed;
    ASSERT_EQ(ParseIp(packet, parsed), L3Event::kNone);
    EXPECT_TRUE(parsed.is_fragment());
    EXPECT_EQ(parsed.fragment_offset, offset);
    EXPECT_EQ(parsed.more_fragments, more);
  }
}

// An IPv6 packet whose payload is `chain`, the first header of which is `next`.
Bytes Chain(uint8_t next, const Bytes& chain) {
  IpHeader header = HeaderV6();
  header.protocol = next;
  return IpOf(header, chain);
}

TEST(IpTest, Ipv6ExtensionHeadersAreWalkedOver) {
  const Bytes packet = Chain(0, {60, 0, 1, 4,  0, 0, 0, 0,                          // hop-by-hop
                                 43, 1, 1, 12, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,  // destination
                                 17, 0, 0, 0,  0, 0, 0, 0,                          // routing
                                 9,  9, 9});
  IpPacket parsed;
  ASSERT_EQ(ParseIp(packet, parsed), L3Event::kNone);
  EXPECT_EQ(parsed.protocol, 17);
  EXPECT_EQ(parsed.payload.size(), 3u);
  for (size_t size = 0; size < 32; ++size) {  // cut off inside the chain, lengths telling the truth
    IpPacket cut;
    const Bytes chain(packet.begin() + 40, packet.begin() + 40 + size);
    EXPECT_EQ(ParseIp(Chain(0, chain), cut), L3Event::kMalformedIp) << size;
  }
}

TEST(IpTest, Ipv6FragmentsEndTheWalkBehindTheFirst) {
  IpPacket parsed;
  ASSERT_EQ(ParseIp(Chain(44, {17, 0, 0, 1, 1, 2, 3, 4, 9, 9}), parsed), L3Event::kNone);
  EXPECT_TRUE(parsed.has_fragment_header);
  EXPECT_TRUE(parsed.is_fragment());
  EXPECT_EQ(parsed.payload.size(), 2u);
  // Offset 8: the payload may look like a header, and is none.
  ASSERT_EQ(ParseIp(Chain(44, {0, 0, 0, 8, 1, 2, 3, 4, 9, 9}), parsed), L3Event::kNone);
  EXPECT_EQ(parsed.fragment_offset, 8);
  EXPECT_FALSE(parsed.more_fragments);
  // An atomic fragment is no fragment.
  ASSERT_EQ(ParseIp(Chain(44, {17, 0, 0, 0, 1, 2, 3, 4, 9, 9}), parsed), L3Event::kNone);
  EXPECT_FALSE(parsed.is_fragment());
  EXPECT_TRUE(parsed.has_fragment_header);
  // Two fragment headers are a lie.
  EXPECT_EQ(ParseIp(Chain(44, {44, 0, 0, 1, 1, 2, 3, 4, 17, 0, 0, 1, 1, 2, 3, 4}), parsed),
            L3Event::kMalformedIp);
}

TEST(IpTest, EndlessExtensionHeadersAreRefused) {
  Bytes chain;
  for (int i = 0; i < 9; ++i) chain.insert(chain.end(), {60, 0, 1, 4, 0, 0, 0, 0});
  chain[64] = 17;
  IpPacket parsed;
  EXPECT_EQ(ParseIp(Chain(60, chain), parsed), L3Event::kMalformedIp);
  chain.erase(chain.begin(), chain.begin() + 8);
  EXPECT_EQ(ParseIp(Chain(60, chain), parsed), L3Event::kNone);
}

TEST(ChecksumTest, Icmpv6CoversThePseudoHeader) {
  Bytes message = testing::IcmpOf(Ip("fe80::1"), Ip("ff02::1"), 135, 0, 0, kPayload);
  EXPECT_EQ(IcmpChecksum(Ip("fe80::1"), Ip("ff02::1"), message), 0);
  EXPECT_NE(IcmpChecksum(Ip("fe80::2"), Ip("ff02::1"), message), 0);
  EXPECT_NE(IcmpChecksum(Ip("fe80::1"), Ip("ff02::2"), message), 0);
  message.push_back(0);  // a length that lies
  EXPECT_NE(IcmpChecksum(Ip("fe80::1"), Ip("ff02::1"), message), 0);
}

TEST(ChecksumTest, IcmpMatchesAKnownPacket) {
  // An echo request, id 0x1234, sequence 1: 0x0800 + 0x1234 + 1 + 0x6162 + 0x6364 = 0xdefb.
  const Bytes known = {8, 0, 0x21, 0x04, 0x12, 0x34, 0, 1, 'a', 'b', 'c', 'd'};
  EXPECT_EQ(IcmpChecksum(Ip("192.0.2.1"), Ip("192.0.2.2"), known), 0);
}

TEST(MulticastTest, GroupsOfAnAddress) {
  EXPECT_EQ(SolicitedNode(Ip("2001:db8::1234:5678")), Ip("ff02::1:ff34:5678"));
  EXPECT_EQ(MulticastMac(Ip("ff02::1:ff34:5678")), testing::Mac("33:33:ff:34:56:78"));
  EXPECT_EQ(MulticastMac(AllNodes()), testing::Mac("33:33:00:00:00:01"));
}

TEST(EventTest, EveryEventHasANameOfItsOwnAndASentence) {
  std::set<std::string_view> names;
  for (size_t i = 0; i < kCountOf<L3Event>; ++i) {
    const L3Event event = static_cast<L3Event>(i);
    EXPECT_TRUE(names.insert(Name(event)).second) << Name(event);
    EXPECT_EQ(Name(event).find_first_not_of("abcdefghijklmnopqrstuvwxyz_"), std::string_view::npos);
    EXPECT_EQ(Sentence(event).back(), '.');
  }
  EXPECT_FALSE(IsL3Drop(L3Event::kListenerReportSent));
  EXPECT_TRUE(IsL3Drop(L3Event::kMalformedFrame));
}

}  // namespace
}  // namespace sotto::dataplane
