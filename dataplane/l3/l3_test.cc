// SPDX-License-Identifier: Apache-2.0
#include "dataplane/l3/l3.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "dataplane/l3/headers.h"
#include "dataplane/l3/test_support.h"

namespace sotto::dataplane {
namespace {

using testing::Bytes;
using testing::IcmpOf;
using testing::Ip;
using ::testing::IsEmpty;
using testing::kOtherMac;
using testing::kPeerMac;
using testing::kRelayMac;
using ::testing::SizeIs;
using testing::UdpOf;

// Relay and peer in one family, and what differs between ICMP and ICMPv6.
struct Family {
  IpAddress relay;
  IpAddress peer;
  uint8_t protocol;
  uint8_t echo_request;
  uint8_t echo_reply;
  uint8_t port_unreachable_type, port_unreachable_code;
  uint8_t too_big_type, too_big_code;
  size_t max_error;
  uint16_t min_mtu;
};

const Family kV4 = {Ip("192.0.2.10"), Ip("192.0.2.77"), 1, 8, 0, 3, 3, 3, 4, 576, 68};
const Family kV6 = {Ip("2001:db8::10"), Ip("2001:db8::77"), 58, 128, 129, 1, 4, 2, 0, 1280, 1280};

class L3Test : public ::testing::Test {
 protected:
  explicit L3Test(const L3Options& options = {})
      : l3_(interfaces_, next_hops_, sender_, options,
            [this](const IcmpReport& report) { reports_.push_back(report); }) {}

  Bytes Frame(const IpAddress& source, const IpAddress& destination, uint8_t protocol,
              const Bytes& payload, const MacAddress& to = kRelayMac) {
    return testing::IpFrame(testing::Station(kPeerMac), to,
                            {.source = source, .destination = destination, .protocol = protocol},
                            payload);
  }
  Bytes Echo(const Family& f, size_t size = 56) {
    Bytes data(size);
    for (size_t i = 0; i < size; ++i) data[i] = static_cast<uint8_t>(i);
    return Frame(f.peer, f.relay, f.protocol,
                 IcmpOf(f.peer, f.relay, f.echo_request, 0, 0x12340001, data));
  }
  Bytes Udp(const Family& f, size_t size = 100) {
    return Frame(f.peer, f.relay, kProtocolUdp,
                 UdpOf(f.peer, 4000, f.relay, 50000, Bytes(size, 7)));
  }
  // The start of a datagram that the relay sent from port 50000 to the peer's 4000.
  Bytes Quote(const Family& f, size_t size = 28) {
    Bytes quote =
        testing::IpOf({.source = f.relay, .destination = f.peer, .protocol = kProtocolUdp},
                      UdpOf(f.relay, 50000, f.peer, 4000, Bytes(200, 9)));
    quote.resize(size + (f.relay.is_v6() ? 20 : 0));
    return quote;
  }
  Bytes Error(const Family& f, uint8_t type, uint8_t code, uint32_t data, const Bytes& quote) {
    return Frame(f.peer, f.relay, f.protocol, IcmpOf(f.peer, f.relay, type, code, data, quote));
  }
  L3Event Handle(const Bytes& frame) { return l3_.Handle(0, frame, now_ms_); }

  struct Answer {
    EthernetFrame frame;
    IpPacket packet;
  };
  // The one frame that was sent, parsed and with its checksums verified.
  Answer Sent() {
    EXPECT_THAT(sender_.sent, SizeIs(1));
    sent_ = sender_.Take().at(0).frame;
    Answer answer;
    answer.frame = *ParseEthernet(sent_);
    EXPECT_EQ(ParseIp(answer.frame.payload, answer.packet), L3Event::kNone);
    EXPECT_EQ(answer.frame.payload.size(), answer.packet.datagram.size());
    EXPECT_EQ(IcmpChecksum(answer.packet.source, answer.packet.destination, answer.packet.payload),
              0);
    return answer;
  }
  uint64_t Counted(L3Event event) { return l3_.counters()[static_cast<size_t>(event)]; }

  InterfaceTable interfaces_ = testing::TwoInterfaces();
  testing::RecordingSender sender_;
  NextHopTable next_hops_{16};
  std::vector<IcmpReport> reports_;
  L3 l3_;
  uint64_t now_ms_ = 1000;
  Bytes sent_;
};

TEST_F(L3Test, EchoRequestsAreAnsweredWithTheirPayload) {
  for (const Family& f : {kV4, kV6}) {
    for (size_t size : {0, 1, 56, 57}) {
      const Bytes request = Echo(f, size);
      ASSERT_EQ(Handle(request), L3Event::kEchoAnswered);
      const Answer answer = Sent();
      EXPECT_EQ(answer.frame.destination, kPeerMac);
      EXPECT_EQ(answer.frame.source, kRelayMac);
      EXPECT_EQ(answer.packet.source, f.relay);
      EXPECT_EQ(answer.packet.destination, f.peer);
      EXPECT_EQ(answer.packet.hop_limit, 64);
      EXPECT_FALSE(answer.packet.dont_fragment);
      EXPECT_EQ(answer.packet.payload[0], f.echo_reply);
      ASSERT_EQ(answer.packet.payload.size(), 8 + size);
      EXPECT_TRUE(std::equal(answer.packet.payload.begin() + 4, answer.packet.payload.end(),
                             request.end() - 4 - size));
    }
  }
  EXPECT_EQ(Counted(L3Event::kEchoAnswered), 8u);
}

TEST_F(L3Test, EthernetPaddingIsNotEchoed) {
  Bytes request = Echo(kV4, 1);
  request.resize(60, 0xee);
  ASSERT_EQ(Handle(request), L3Event::kEchoAnswered);
  EXPECT_EQ(Sent().packet.payload.size(), 9u);
}

TEST_F(L3Test, AnswersOnAVlanCarryItsTag) {
  const Bytes message = IcmpOf(Ip("198.51.100.9"), Ip("198.51.100.1"), 8, 0, 1, {});
  const Bytes frame = testing::IpFrame(
      testing::Station(kPeerMac, 7), testing::kVlanMac,
      {.source = Ip("198.51.100.9"), .destination = Ip("198.51.100.1"), .protocol = 1}, message);
  ASSERT_EQ(l3_.Handle(1, frame, now_ms_), L3Event::kEchoAnswered);
  EXPECT_EQ(Sent().frame.vlan, 7);
  EXPECT_EQ(l3_.Handle(0, frame, now_ms_), L3Event::kNotForUs) << "another interface's address";
}

TEST_F(L3Test, AnswersToEachOtherHaveDifferentIps) {
  Handle(Echo(kV4));
  const Bytes first = sender_.Take().at(0).frame;
  Handle(Echo(kV4));
  const Bytes second = sender_.Take().at(0).frame;
  EXPECT_NE(LoadBe16(&first[18]), LoadBe16(&second[18]));
}

TEST_F(L3Test, AnEchoThatWouldNotFitIsRefused) {
  for (const Family& f : {kV4, kV6}) {
    const size_t fits = 1500 - IpHeaderSize(f.relay.family()) - 8;
    EXPECT_EQ(Handle(Echo(f, fits)), L3Event::kEchoAnswered);
    EXPECT_EQ(Sent().packet.datagram.size(), 1500u);
    EXPECT_EQ(Handle(Echo(f, fits + 1)), L3Event::kReplyTooBig);
  }
  EXPECT_THAT(sender_.sent, IsEmpty());
}

TEST_F(L3Test, EveryTruncationIsRefusedUnanswered) {
  for (const Family& f : {kV4, kV6}) {
    for (const Bytes& whole :
         {Echo(f), Error(f, f.port_unreachable_type, f.port_unreachable_code, 0, Quote(f))}) {
      for (size_t size = 0; size < whole.size(); ++size) {
        EXPECT_TRUE(IsL3Drop(Handle(Bytes(whole.begin(), whole.begin() + size)))) << size;
      }
    }
  }
  EXPECT_THAT(sender_.sent, IsEmpty());
  EXPECT_THAT(reports_, IsEmpty());
}

TEST_F(L3Test, TruncatedIcmpMessagesInWholePacketsAreRefused) {
  for (const Family& f : {kV4, kV6}) {
    const Bytes message = IcmpOf(f.peer, f.relay, f.echo_request, 0, 0, {});
    for (size_t size = 0; size < 8; ++size) {
      EXPECT_EQ(Handle(Frame(f.peer, f.relay, f.protocol,
                             Bytes(message.begin(), message.begin() + size))),
                L3Event::kMalformedIcmp)
          << size;
    }
    EXPECT_EQ(Handle(Frame(f.peer, f.relay, f.protocol,
                           IcmpOf(f.peer, f.relay, f.echo_request, 1, 0, {}))),
              L3Event::kMalformedIcmp);
  }
}

TEST_F(L3Test, WrongChecksumsAreRefused) {
  for (const Family& f : {kV4, kV6}) {
    Bytes frame = Echo(f);
    frame.back() ^= 1;
    EXPECT_EQ(Handle(frame), L3Event::kBadIcmpChecksum);
  }
  Bytes frame = Echo(kV4);
  frame[14 + 8] ^= 1;
  EXPECT_EQ(Handle(frame), L3Event::kBadIpChecksum);
}

TEST_F(L3Test, NothingIsAnsweredToOrFromAGroup) {
  const auto echo = [this](const char* source, const char* destination, const MacAddress& to) {
    const bool v4 = Ip(source).is_v4();
    return Handle(Frame(Ip(source), Ip(destination), v4 ? 1 : 58,
                        IcmpOf(Ip(source), Ip(destination), v4 ? 8 : 128, 0, 0, {}), to));
  };
  const MacAddress all = MacAddress::Broadcast();
  EXPECT_EQ(echo("192.0.2.77", "192.0.2.10", all), L3Event::kBroadcastRefused);
  EXPECT_EQ(echo("192.0.2.77", "192.0.2.255", all), L3Event::kBroadcastRefused);
  EXPECT_EQ(echo("192.0.2.77", "255.255.255.255", all), L3Event::kBroadcastRefused);
  EXPECT_EQ(echo("192.0.2.77", "224.0.0.1", testing::Mac("01:00:5e:00:00:01")),
            L3Event::kBroadcastRefused);
  EXPECT_EQ(echo("192.0.2.77", "192.0.2.255", kRelayMac), L3Event::kBroadcastRefused);
  EXPECT_EQ(echo("2001:db8::77", "ff02::1", MulticastMac(AllNodes())), L3Event::kBroadcastRefused);
  EXPECT_EQ(echo("2001:db8::77", "2001:db8::10", MulticastMac(AllNodes())),
            L3Event::kBroadcastRefused);
  EXPECT_EQ(echo("192.0.2.77", "192.0.2.11", kRelayMac), L3Event::kNotForUs);
  EXPECT_EQ(echo("192.0.2.77", "192.0.2.10", kOtherMac), L3Event::kNotForUs);
  for (const char* source : {"192.0.2.255", "255.255.255.255", "224.0.0.1", "0.0.0.0", "127.0.0.1",
                             "240.1.2.3", "192.0.2.10", "198.51.100.1"}) {
    EXPECT_EQ(echo(source, "192.0.2.10", kRelayMac), L3Event::kMartianSource) << source;
  }
  for (const char* source : {"::", "::1", "ff02::1", "2001:db8::10", "2001:db8:7::1"}) {
    EXPECT_EQ(echo(source, "2001:db8::10", kRelayMac), L3Event::kMartianSource) << source;
  }
  EXPECT_THAT(sender_.sent, IsEmpty());
}

TEST_F(L3Test, FragmentsOfIcmpAreNotAnswered) {
  Bytes frame = Echo(kV4);
  frame[14 + 6] = 0x20;
  testing::FixIpv4Checksum(frame);
  EXPECT_EQ(Handle(frame), L3Event::kFragment);
  const Bytes fragment = {58, 0, 0, 1, 1, 2, 3, 4};
  for (uint8_t type : {kV6.echo_request, kListenerQuery, kNeighborSolicitation}) {
    Bytes whole = fragment;
    const Bytes message = IcmpOf(kV6.peer, kV6.relay, type, 0, 0, Bytes(24));
    whole.insert(whole.end(), message.begin(), message.end());
    EXPECT_EQ(Handle(Frame(kV6.peer, kV6.relay, 44, whole)), L3Event::kFragment);
  }
}

TEST_F(L3Test, WhatIsNeitherArpNorIcmpIsNamed) {
  EXPECT_EQ(Handle(Udp(kV4)), L3Event::kUnhandledProtocol);
  EXPECT_EQ(Handle(Udp(kV6)), L3Event::kUnhandledProtocol);
  // ICMP of the other family.
  EXPECT_EQ(Handle(Frame(kV4.peer, kV4.relay, 58, Bytes(16))), L3Event::kUnhandledProtocol);
  EXPECT_EQ(Handle(testing::EthernetOf(testing::Station(kPeerMac), kRelayMac, 0x88cc, Bytes(46))),
            L3Event::kUnknownEtherType);
  // An IPv6 packet that says it is IPv4.
  Bytes frame = Echo(kV6);
  StoreBe16(&frame[12], kEtherTypeIpv4);
  EXPECT_EQ(Handle(frame), L3Event::kMalformedIp);
  EXPECT_EQ(Handle({}), L3Event::kMalformedFrame);
}

TEST_F(L3Test, OtherIcmpTypesAreIgnored) {
  for (const Family& f : {kV4, kV6}) {
    int ignored = 0;
    for (int type = 0; type < 256; ++type) {
      const L3Event event = Handle(Error(f, static_cast<uint8_t>(type), 0, 1500, Quote(f)));
      ignored += event == L3Event::kIcmpIgnored;
    }
    // IPv4: all but echo, unreachable, time exceeded. IPv6: all but echo, 1-3, ND, MLD query.
    EXPECT_EQ(ignored, f.relay.is_v4() ? 253 : 249);
  }
}

TEST_F(L3Test, NeighborMessagesReachTheNeighbors) {
  const NextHopId v4 = *l3_.neighbors().Acquire(kV4.peer);
  const NextHopId v6 = *l3_.neighbors().Acquire(kV6.peer);
  sender_.Take();
  const Interface peer = testing::Station(kPeerMac);
  EXPECT_EQ(Handle(testing::ToBytes(BuildArp(peer, kRelayMac,
                                             {.operation = kArpReply,
                                              .sender_mac = kPeerMac,
                                              .sender_ip = kV4.peer,
                                              .target_mac = kRelayMac,
                                              .target_ip = kV4.relay}))),
            L3Event::kNeighborLearned);
  EXPECT_EQ(Handle(testing::ToBytes(BuildAdvertisement(peer, kRelayMac, kV6.peer, kV6.relay))),
            L3Event::kNeighborLearned);
  EXPECT_TRUE(next_hops_.Read(v4).resolved());
  EXPECT_TRUE(next_hops_.Read(v6).resolved());
  EXPECT_EQ(Handle(testing::ToBytes(BuildSolicitation(peer, kV6.peer, kV6.relay, nullptr))),
            L3Event::kSolicitationAnswered);
  const Bytes query = IcmpOf(Ip("fe80::1"), AllNodes(), 130, 0, 0, Bytes(20));
  EXPECT_EQ(
      Handle(testing::IpFrame(
          peer, MulticastMac(AllNodes()),
          {.source = Ip("fe80::1"), .destination = AllNodes(), .protocol = 58, .hop_limit = 1},
          query)),
      L3Event::kListenerReportSent);
}

TEST_F(L3Test, TooBigTellsTheSenderTheMtu) {
  for (const Family& f : {kV4, kV6}) {
    const Bytes offender = Udp(f, 1400);
    ASSERT_EQ(l3_.PacketTooBig(0, offender, 1380, now_ms_), L3Event::kTooBigSent);
    const Answer answer = Sent();
    EXPECT_EQ(answer.frame.destination, kPeerMac);
    EXPECT_EQ(answer.packet.source, f.relay);
    EXPECT_EQ(answer.packet.destination, f.peer);
    EXPECT_EQ(answer.packet.payload[0], f.too_big_type);
    EXPECT_EQ(answer.packet.payload[1], f.too_big_code);
    EXPECT_EQ(LoadBe32(&answer.packet.payload[4]), 1380u);
    EXPECT_EQ(answer.packet.datagram.size(), f.max_error);
    EXPECT_TRUE(std::equal(answer.packet.payload.begin() + 8, answer.packet.payload.end(),
                           offender.begin() + 14));
  }
}

TEST_F(L3Test, TooBigNeverAsksForLessThanEveryLinkCarries) {
  for (const Family& f : {kV4, kV6}) {
    ASSERT_EQ(l3_.PacketTooBig(0, Udp(f), 10, now_ms_), L3Event::kTooBigSent);
    EXPECT_EQ(LoadBe32(&Sent().packet.payload[4]), f.min_mtu);
  }
}

TEST_F(L3Test, TooBigQuotesTheWholeOfASmallPacket) {
  for (const Family& f : {kV4, kV6}) {
    const Bytes offender = Udp(f, 20);
    ASSERT_EQ(l3_.PacketTooBig(0, offender, 1280, now_ms_), L3Event::kTooBigSent);
    const Answer answer = Sent();
    EXPECT_EQ(Bytes(answer.packet.payload.begin() + 8, answer.packet.payload.end()),
              Bytes(offender.begin() + 14, offender.end()));
  }
}

TEST_F(L3Test, NoErrorIsSentAboutAnError) {
  for (const Family& f : {kV4, kV6}) {
    for (uint8_t type = 0; type < 255; ++type) {
      const bool v4 = f.relay.is_v4();
      const bool error = v4 ? type == 3 || type == 4 || type == 5 || type == 11 || type == 12
                            : type < 128 || type == 137;
      if (!error) continue;
      EXPECT_EQ(l3_.PacketTooBig(0, Error(f, type, 0, 0, Quote(f)), 1280, now_ms_),
                L3Event::kErrorAboutError)
          << int{type};
    }
    EXPECT_EQ(l3_.PacketTooBig(0, Frame(f.peer, f.relay, f.protocol, {}), 1280, now_ms_),
              L3Event::kErrorAboutError)
        << "a type that is cut off could be an error's";
    EXPECT_THAT(sender_.sent, IsEmpty());
    EXPECT_EQ(l3_.PacketTooBig(0, Echo(f), 1280, now_ms_), L3Event::kTooBigSent);
    sender_.Take();
  }
}

TEST_F(L3Test, NoErrorIsSentAboutGroupsMartiansOrLaterFragments) {
  const auto refuse = [this](const char* source, const char* destination,
                             const MacAddress& to = kRelayMac) {
    return l3_.PacketTooBig(
        0, Frame(Ip(source), Ip(destination), 17, UdpOf(Ip(source), 1, Ip(destination), 2, {}), to),
        1280, now_ms_);
  };
  EXPECT_EQ(refuse("192.0.2.77", "192.0.2.255"), L3Event::kBroadcastRefused);
  EXPECT_EQ(refuse("192.0.2.77", "192.0.2.10", MacAddress::Broadcast()),
            L3Event::kBroadcastRefused);
  EXPECT_EQ(refuse("192.0.2.255", "192.0.2.10"), L3Event::kMartianSource);
  EXPECT_EQ(refuse("192.0.2.10", "192.0.2.10"), L3Event::kMartianSource);
  EXPECT_EQ(refuse("::", "2001:db8::10"), L3Event::kMartianSource);
  EXPECT_EQ(refuse("192.0.2.77", "192.0.2.11"), L3Event::kNotForUs);
  Bytes later = Udp(kV4);
  later[14 + 7] = 1;
  testing::FixIpv4Checksum(later);
  EXPECT_EQ(l3_.PacketTooBig(0, later, 1280, now_ms_), L3Event::kFragment);
  Bytes first = Udp(kV4);
  first[14 + 6] = 0x20;
  testing::FixIpv4Checksum(first);
  EXPECT_EQ(l3_.PacketTooBig(0, first, 1280, now_ms_), L3Event::kTooBigSent);
  const Bytes whole = Udp(kV4);
  for (size_t size = 0; size < whole.size(); ++size) {
    EXPECT_TRUE(
        IsL3Drop(l3_.PacketTooBig(0, Bytes(whole.begin(), whole.begin() + size), 1280, now_ms_)));
  }
  EXPECT_THAT(sender_.sent, SizeIs(1));
}

TEST_F(L3Test, ErrorsAboutRelayedDatagramsAreReported) {
  struct Case {
    const Family& family;
    uint8_t type, code;
    uint32_t field, data;
  };
  const Case cases[] = {
      {kV4, 3, 3, 0, 0},  {kV4, 3, 1, 0xffff, 0},        {kV4, 3, 4, 1400, 1400},
      {kV4, 3, 4, 0, 0},  {kV4, 3, 4, 0xabcd0500, 1280}, {kV4, 11, 0, 0, 0},
      {kV6, 1, 4, 0, 0},  {kV6, 2, 0, 1280, 1280},       {kV6, 2, 0, 70000, 70000},
      {kV6, 3, 0, 99, 0},
  };
  for (const Case& c : cases) {
    reports_.clear();
    EXPECT_EQ(Handle(Error(c.family, c.type, c.code, c.field, Quote(c.family))),
              L3Event::kErrorReported);
    ASSERT_THAT(reports_, SizeIs(1));
    EXPECT_EQ(reports_[0].relayed, (TransportAddress{c.family.relay, 50000}));
    EXPECT_EQ(reports_[0].peer, (TransportAddress{c.family.peer, 4000}));
    EXPECT_EQ(reports_[0].reporter, c.family.peer);
    EXPECT_EQ(reports_[0].error.type, c.type);
    EXPECT_EQ(reports_[0].error.code, c.code);
    EXPECT_EQ(reports_[0].error.data, c.data);
  }
  EXPECT_THAT(sender_.sent, IsEmpty());
}

TEST_F(L3Test, AnyRouterMayReportAnError) {
  const IpAddress router = Ip("203.0.113.5");
  const Bytes frame = Frame(router, kV4.relay, 1, IcmpOf(router, kV4.relay, 3, 1, 0, Quote(kV4)));
  EXPECT_EQ(Handle(frame), L3Event::kErrorReported);
  EXPECT_EQ(reports_.at(0).reporter, router);
}

TEST_F(L3Test, ErrorsAboutAnythingElseAreNotReported) {
  for (const Family& f : {kV4, kV6}) {
    const size_t ip_size = IpHeaderSize(f.relay.family());
    const auto handle = [&](const Bytes& quote) {
      return Handle(Error(f, f.port_unreachable_type, 3, 0, quote));
    };
    const Bytes quote = Quote(f, 24);  // up to the ports, no further
    EXPECT_EQ(handle(quote), L3Event::kErrorReported);
    for (size_t size = 0; size < quote.size(); ++size) {
      EXPECT_EQ(handle(Bytes(quote.begin(), quote.begin() + size)), L3Event::kErrorNotOurs);
    }
    Bytes bad = quote;
    bad[ip_size == 20 ? 9 : 6] = 6;  // TCP
    EXPECT_EQ(handle(bad), L3Event::kErrorNotOurs);
    bad = quote;
    bad[ip_size == 20 ? 15 : 23] ^= 1;  // another source address
    EXPECT_EQ(handle(bad), L3Event::kErrorNotOurs);
    bad = quote;
    bad[0] ^= 0x20;  // the other version
    EXPECT_EQ(handle(bad), L3Event::kErrorNotOurs);
    // Another of the relay's addresses than that to which the error came.
    bad = Quote(f.relay.is_v4() ? kV6 : kV4, 24);
    EXPECT_EQ(handle(bad), L3Event::kErrorNotOurs);
  }
  Bytes bad = Quote(kV4);
  bad[0] = 0x44;
  EXPECT_EQ(Handle(Error(kV4, 3, 3, 0, bad)), L3Event::kErrorNotOurs);
  bad = Quote(kV4);
  bad[7] = 1;  // about a later fragment: there are no ports
  EXPECT_EQ(Handle(Error(kV4, 3, 3, 0, bad)), L3Event::kErrorNotOurs);
  EXPECT_THAT(reports_, SizeIs(2));
}

TEST_F(L3Test, MtusBelowWhatEveryLinkCarriesAreLies) {
  EXPECT_EQ(Handle(Error(kV4, 3, 4, 67, Quote(kV4))), L3Event::kMalformedIcmp);
  EXPECT_EQ(Handle(Error(kV4, 3, 4, 68, Quote(kV4))), L3Event::kErrorReported);
  EXPECT_EQ(Handle(Error(kV6, 2, 0, 1279, Quote(kV6))), L3Event::kMalformedIcmp);
}

class L3RateTest : public L3Test {
 protected:
  L3RateTest()
      : L3Test({.neighbors = {},
                .icmp = {.echo_rate = 10,
                         .echo_burst = 5,
                         .echo_total_rate = 20,
                         .error_rate = 10,
                         .error_burst = 3,
                         .error_total_rate = 100,
                         .report_rate = 10,
                         .report_burst = 4}}) {}

  L3Event EchoFrom(const IpAddress& source) {
    return Handle(Frame(source, kV4.relay, 1, IcmpOf(source, kV4.relay, 8, 0, 0, {})));
  }
};

TEST_F(L3RateTest, EchoesAreLimitedForEachPrefixAndOverAll) {
  for (int i = 0; i < 5; ++i) EXPECT_EQ(EchoFrom(kV4.peer), L3Event::kEchoAnswered);
  EXPECT_EQ(EchoFrom(kV4.peer), L3Event::kRateLimited);
  now_ms_ += 100;
  EXPECT_EQ(EchoFrom(kV4.peer), L3Event::kEchoAnswered);
  int answered = 0;
  for (int i = 0; i < 200; ++i) {
    answered +=
        EchoFrom(IpAddress::V4(198, 18, static_cast<uint8_t>(i), 1)) == L3Event::kEchoAnswered;
  }
  EXPECT_LE(answered, 20) << "many prefixes share what is left over all";
  EXPECT_GE(answered, 14);
  EXPECT_EQ(Counted(L3Event::kRateLimited), 201u - answered);
}

TEST_F(L3RateTest, ErrorsAreLimitedBothWays) {
  int sent = 0;
  for (int i = 0; i < 20; ++i) {
    sent += l3_.PacketTooBig(0, Udp(kV6), 1280, now_ms_) == L3Event::kTooBigSent;
  }
  EXPECT_EQ(sent, 3);
  int reported = 0;
  for (int i = 0; i < 20; ++i) {
    reported += Handle(Error(kV6, 1, 4, 0, Quote(kV6))) == L3Event::kErrorReported;
  }
  EXPECT_EQ(reported, 4);
}

// 200,000 random mutations of valid frames: every one comes to a named end, and whatever is sent is
// well-formed and never larger than what it answers by more than an error's headers.
TEST_F(L3Test, MutatedFramesNeverYieldMalformedAnswers) {
  std::vector<Bytes> seeds = {
      Echo(kV4),
      Echo(kV6),
      Udp(kV4),
      Udp(kV6),
      Error(kV4, 3, 4, 1400, Quote(kV4)),
      Error(kV6, 2, 0, 1400, Quote(kV6)),
      testing::ToBytes(BuildSolicitation(testing::Station(kPeerMac), kV6.peer, kV6.relay, nullptr)),
      testing::ToBytes(BuildArp(testing::Station(kPeerMac), MacAddress::Broadcast(),
                                {.operation = kArpRequest,
                                 .sender_mac = kPeerMac,
                                 .sender_ip = kV4.peer,
                                 .target_mac = {},
                                 .target_ip = kV4.relay}))};
  uint64_t state = 42;
  const auto random = [&state](uint64_t below) {
    state = state * 6364136223846793005ULL + 1442695040888963407ULL;
    return (state >> 33) % below;
  };
  uint64_t answers = 0;
  for (int i = 0; i < 200'000; ++i) {
    Bytes frame = seeds[random(seeds.size())];
    for (uint64_t flips = random(4); flips > 0; --flips) {
      frame[random(frame.size())] = static_cast<uint8_t>(random(256));
    }
    if (random(8) == 0) frame.resize(random(frame.size() + 1));
    now_ms_ += 10;
    if (random(2) == 0) {
      Handle(frame);
    } else {
      l3_.PacketTooBig(0, frame, static_cast<uint16_t>(random(65536)), now_ms_);
    }
    for (const auto& sent : sender_.Take()) {
      ++answers;
      const std::optional<EthernetFrame> ethernet = ParseEthernet(sent.frame);
      ASSERT_TRUE(ethernet);
      ASSERT_EQ(ethernet->source, kRelayMac);
      if (ethernet->ether_type == kEtherTypeArp) continue;
      ASSERT_LE(sent.frame.size(), frame.size() + 48);
      IpPacket packet;
      ASSERT_EQ(ParseIp(ethernet->payload, packet), L3Event::kNone);
      ASSERT_EQ(IcmpChecksum(packet.source, packet.destination, packet.payload), 0);
      ASSERT_FALSE(interfaces_.FindLocal(packet.destination));
    }
  }
  EXPECT_GT(answers, 20'000u);
  EXPECT_EQ(l3_.neighbors().size(), 2u);
}

}  // namespace
}  // namespace sotto::dataplane
