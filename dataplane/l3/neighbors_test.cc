#include "dataplane/l3/neighbors.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <set>

#include "dataplane/l3/test_support.h"

namespace sotto::dataplane {
namespace {

using testing::Bytes;
using ::testing::ElementsAre;
using testing::Ip;
using ::testing::IsEmpty;
using testing::kOtherMac;
using testing::kPeerMac;
using testing::kRelayMac;
using ::testing::SizeIs;
using Sent = testing::RecordingSender::Sent;

constexpr const char* kPeerV4 = "192.0.2.77";
constexpr const char* kPeerV6 = "2001:db8::77";

// A station on interface 0, speaking ARP and neighbor discovery, with hostile variations.
class NeighborsTest : public ::testing::Test {
 protected:
  explicit NeighborsTest(uint32_t capacity = 64, NeighborOptions options = {})
      : next_hops_(capacity), neighbors_(interfaces_, next_hops_, sender_, options) {}

  // Resolves the gateways, so that they don't get in the way.
  void SetUp() override {
    Tick(1000);
    Arp(kArpReply, kOtherMac, "192.0.2.1", "192.0.2.10");
    Advertise(kOtherMac, "fe80::1", "2001:db8::10", true, true);
    sender_.Take();
    gateway_solicitations_ = neighbors_.counters().solicitations;
  }

  void Tick(uint64_t now_ms) {
    now_ms_ = now_ms;
    neighbors_.Tick(now_ms);
  }
  // Time passes in small steps; returns what was sent meanwhile, but for what concerns gateways.
  std::vector<Sent> Pass(uint64_t ms) {
    sender_.Take();
    for (const uint64_t end = now_ms_ + ms; now_ms_ < end;) Tick(now_ms_ + 10);
    std::vector<Sent> sent;
    for (Sent& one : sender_.Take()) {
      const Bytes& f = one.frame;
      const bool gateway = (f.size() == 42 && f[41] == 1) || TargetV6(f) == Ip("fe80::1");
      if (!gateway) sent.push_back(std::move(one));
    }
    return sent;
  }

  static std::optional<relay::IpAddress> TargetV6(const Bytes& frame) {
    if (frame.size() < 78 || frame[20] != kProtocolIcmpv6) return std::nullopt;
    return relay::IpAddress::V6(std::span<const uint8_t, 16>(&frame[62], 16));
  }

  static Bytes ArpFrame(uint16_t operation, const MacAddress& sender, const char* sender_ip,
                        const char* target_ip, const MacAddress& to) {
    return testing::ToBytes(BuildArp(testing::Station(sender), to,
                                     {.operation = operation,
                                      .sender_mac = sender,
                                      .sender_ip = Ip(sender_ip),
                                      .target_mac = {},
                                      .target_ip = Ip(target_ip)}));
  }
  L3Event Arp(uint16_t operation, const MacAddress& sender, const char* sender_ip,
              const char* target_ip, std::optional<MacAddress> to = std::nullopt) {
    const MacAddress destination =
        to.value_or(operation == kArpReply ? kRelayMac : MacAddress::Broadcast());
    const Bytes frame = ArpFrame(operation, sender, sender_ip, target_ip, destination);
    return neighbors_.HandleArp(0, *ParseEthernet(frame));
  }

  // An advertisement with flags as said; `link_layer` false: without the option.
  L3Event Advertise(const MacAddress& sender, const char* target, const char* destination,
                    bool solicited, bool override, bool link_layer = true) {
    Bytes body(16);
    std::ranges::copy(Ip(target).bytes(), body.begin());
    if (link_layer) {
      body.insert(body.end(), {2, 1});
      body.insert(body.end(), sender.bytes.begin(), sender.bytes.end());
    }
    const uint32_t flags = (solicited ? 1u << 30 : 0) | (override ? 1u << 29 : 0);
    const Bytes message =
        testing::IcmpOf(Ip(target), Ip(destination), kNeighborAdvertisement, 0, flags, body);
    return HandleNd(sender, Ip(target), Ip(destination), message);
  }
  L3Event HandleNd(const MacAddress& sender, const relay::IpAddress& source,
                   const relay::IpAddress& destination, const Bytes& message,
                   uint8_t hop_limit = 255) {
    const Bytes frame = testing::IpFrame(
        testing::Station(sender), IsMulticast(destination) ? MulticastMac(destination) : kRelayMac,
        {.source = source, .destination = destination, .protocol = 58, .hop_limit = hop_limit},
        message);
    return HandleNdFrame(frame);
  }
  L3Event HandleNdFrame(const Bytes& frame) {
    const EthernetFrame ethernet = *ParseEthernet(frame);
    IpPacket packet;
    const L3Event event = ParseIp(ethernet.payload, packet);
    if (event != L3Event::kNone) return event;
    if (packet.payload.empty()) return L3Event::kMalformedIcmp;
    return packet.payload[0] == kNeighborSolicitation
               ? neighbors_.HandleSolicitation(0, ethernet, packet)
               : neighbors_.HandleAdvertisement(0, ethernet, packet);
  }
  static Bytes SolicitationFrame(const MacAddress& sender, const char* source, const char* target) {
    return testing::ToBytes(
        BuildSolicitation(testing::Station(sender), Ip(source), Ip(target), nullptr));
  }

  NeighborInfo Info(NextHopId id) {
    NeighborInfo found;
    neighbors_.ForEach([&](const NeighborInfo& info) {
      if (info.id == id) found = info;
    });
    return found;
  }
  NeighborState State(NextHopId id) { return Info(id).state; }
  MacAddress WorkerSees(NextHopId id) {
    const NextHopTable::Hop hop = next_hops_.Read(id);
    return hop.resolved ? hop.mac : MacAddress{};
  }
  NextHopId Resolved(const char* ip) {
    const NextHopId id = *neighbors_.Acquire(Ip(ip));
    if (Ip(ip).is_v4()) {
      Arp(kArpReply, kPeerMac, ip, "192.0.2.10");
    } else {
      Advertise(kPeerMac, ip, "2001:db8::10", true, true);
    }
    sender_.Take();
    return id;
  }
  bool IsUnicastTo(const Sent& sent, const MacAddress& mac) {
    return ParseEthernet(sent.frame)->destination == mac;
  }

  InterfaceTable interfaces_ = testing::TwoInterfaces();
  testing::RecordingSender sender_;
  NextHopTable next_hops_;
  Neighbors neighbors_;
  uint64_t now_ms_ = 0;
  uint64_t gateway_solicitations_ = 0;
};

TEST(NeighborsStartTest, HoldsTheGatewaysAndAsksForThemAtTheFirstTick) {
  const InterfaceTable interfaces = testing::TwoInterfaces();
  testing::RecordingSender sender;
  NextHopTable next_hops(8);
  Neighbors neighbors(interfaces, next_hops, sender);
  EXPECT_THAT(sender.sent, IsEmpty());
  EXPECT_EQ(neighbors.size(), 2u);
  neighbors.ForEach([](const NeighborInfo& info) {
    EXPECT_TRUE(info.gateway);
    EXPECT_EQ(info.references, 1u);
  });
  neighbors.Tick(5);
  EXPECT_THAT(sender.sent, SizeIs(2));
}

TEST_F(NeighborsTest, AsksByBroadcastForAnIpv4NextHop) {
  const absl::StatusOr<NextHopId> id = neighbors_.Acquire(Ip(kPeerV4));
  ASSERT_TRUE(id.ok());
  ASSERT_THAT(sender_.sent, SizeIs(1));
  const Bytes expected = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2,   0, 0, 0,
                          0,    1,    8,    6,                                // Ethernet
                          0,    1,    8,    0,    6,    4,    0,   1,         // ARP request
                          2,    0,    0,    0,    0,    1,    192, 0, 2, 10,  // from the relay
                          0,    0,    0,    0,    0,    0,    192, 0, 2, 77};
  EXPECT_EQ(sender_.sent[0].frame, expected);
  EXPECT_FALSE(next_hops_.Read(*id).resolved);
  EXPECT_EQ(State(*id), NeighborState::kIncomplete);
}

TEST_F(NeighborsTest, AsksTheSolicitedNodeGroupForAnIpv6NextHop) {
  ASSERT_TRUE(neighbors_.Acquire(Ip(kPeerV6)).ok());
  ASSERT_THAT(sender_.sent, SizeIs(1));
  const Bytes& frame = sender_.sent[0].frame;
  ASSERT_EQ(frame.size(), 86u);
  EXPECT_EQ(ParseEthernet(frame)->destination, testing::Mac("33:33:ff:00:00:77"));
  IpPacket packet;
  ASSERT_EQ(ParseIp(ParseEthernet(frame)->payload, packet), L3Event::kNone);
  EXPECT_EQ(packet.source, Ip("2001:db8::10"));
  EXPECT_EQ(packet.destination, Ip("ff02::1:ff00:77"));
  EXPECT_EQ(packet.hop_limit, 255);
  NeighborMessage message;
  ASSERT_EQ(ParseSolicitation(packet, message), L3Event::kNone);
  EXPECT_EQ(message.target, Ip(kPeerV6));
  EXPECT_EQ(message.link_layer, kRelayMac);
}

TEST_F(NeighborsTest, VlanInterfacesAskWithTheirTag) {
  ASSERT_TRUE(neighbors_.Acquire(Ip("198.51.100.5")).ok());
  ASSERT_THAT(sender_.sent, SizeIs(1));
  EXPECT_EQ(sender_.sent[0].interface, 1);
  const EthernetFrame frame = *ParseEthernet(sender_.sent[0].frame);
  EXPECT_EQ(frame.vlan, 7);
  EXPECT_EQ(frame.source, testing::kVlanMac);
  EXPECT_EQ(frame.ether_type, kEtherTypeArp);
}

TEST_F(NeighborsTest, AnswersResolveForBothFamilies) {
  for (const char* ip : {kPeerV4, kPeerV6}) {
    const NextHopId id = Resolved(ip);
    EXPECT_EQ(State(id), NeighborState::kReachable);
    EXPECT_EQ(WorkerSees(id), kPeerMac);
    EXPECT_EQ(next_hops_.Read(id).interface, 0);
  }
}

TEST_F(NeighborsTest, ADestinationBehindTheGatewaySharesItsNextHop) {
  const NextHopId a = *neighbors_.Acquire(Ip("8.8.8.8"));
  const NextHopId b = *neighbors_.Acquire(Ip("9.9.9.9"));
  EXPECT_EQ(a, b);
  EXPECT_EQ(Info(a).references, 3u);
  EXPECT_EQ(WorkerSees(a), kOtherMac);
  EXPECT_THAT(sender_.sent, IsEmpty());
  for (int i = 0; i < 5; ++i) neighbors_.Release(a);  // more often than acquired: a gateway stays
  EXPECT_EQ(neighbors_.size(), 2u);
  EXPECT_EQ(WorkerSees(a), kOtherMac);
}

TEST_F(NeighborsTest, NoRouteIsSaid) {
  EXPECT_EQ(neighbors_.Acquire(Ip("192.0.2.255")).status().code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(neighbors_.Acquire(Ip("192.0.2.10")).status().code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(neighbors_.size(), 2u);
}

TEST_F(NeighborsTest, AFullTableIsSaidAndRoomComesBack) {
  std::vector<NextHopId> ids;
  for (int i = 0; i < 61; ++i) {  // 64, less the null entry and two gateways
    ids.push_back(
        *neighbors_.Acquire(relay::IpAddress::V4(192, 0, 2, static_cast<uint8_t>(100 + i))));
  }
  EXPECT_EQ(neighbors_.Acquire(Ip("192.0.2.99")).status().code(),
            absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(neighbors_.counters().table_full, 1u);
  EXPECT_TRUE(neighbors_.Acquire(Ip("192.0.2.100")).ok()) << "a known next hop needs no room";
  neighbors_.Release(ids[5]);
  EXPECT_EQ(*neighbors_.Acquire(Ip("192.0.2.99")), ids[5]);
}

TEST_F(NeighborsTest, IdsAreUniqueAndNeverTheNullEntry) {
  std::set<NextHopId> ids;
  for (int i = 0; i < 50; ++i) {
    ids.insert(*neighbors_.Acquire(relay::IpAddress::V4(192, 0, 2, static_cast<uint8_t>(100 + i))));
  }
  EXPECT_THAT(ids, SizeIs(50));
  EXPECT_FALSE(ids.contains(kNoNextHop));
  neighbors_.Release(kNoNextHop);
  neighbors_.Release(12345);
  EXPECT_EQ(neighbors_.size(), 52u);
}

TEST_F(NeighborsTest, ReleaseForgetsTheNextHop) {
  const NextHopId id = Resolved(kPeerV4);
  neighbors_.Release(id);
  EXPECT_EQ(neighbors_.size(), 2u);
  EXPECT_FALSE(next_hops_.Read(id).resolved);
  EXPECT_THAT(Pass(60'000), IsEmpty());
}

TEST_F(NeighborsTest, AsksThreeTimesThenFailsThenAsksAtGrowingIntervals) {
  const NextHopId id = *neighbors_.Acquire(Ip(kPeerV4));
  EXPECT_THAT(Pass(2'900), SizeIs(2));  // the first went out at once
  EXPECT_EQ(State(id), NeighborState::kIncomplete);
  EXPECT_THAT(Pass(200), IsEmpty());
  EXPECT_EQ(State(id), NeighborState::kFailed);
  EXPECT_EQ(neighbors_.counters().failed, 1u);
  EXPECT_THAT(Pass(1'000), SizeIs(1));  // after 1 s
  EXPECT_THAT(Pass(2'000), SizeIs(1));  // 2 s
  EXPECT_THAT(Pass(4'000), SizeIs(1));  // 4, 8, 16
  EXPECT_THAT(Pass(24'000), SizeIs(2));
  EXPECT_THAT(Pass(90'000), SizeIs(3));  // 30 s at most
  Arp(kArpReply, kPeerMac, kPeerV4, "192.0.2.10");
  EXPECT_EQ(State(id), NeighborState::kReachable);
  EXPECT_EQ(WorkerSees(id), kPeerMac);
}

TEST_F(NeighborsTest, AReachableNextHopIsProbedByUnicastAndConfirmed) {
  for (const char* ip : {kPeerV4, kPeerV6}) {
    const NextHopId id = Resolved(ip);
    std::vector<Sent> sent;
    for (int i = 0; i < 1000 && sent.empty(); ++i) sent = Pass(10);
    ASSERT_THAT(sent, SizeIs(1));
    EXPECT_TRUE(IsUnicastTo(sent[0], kPeerMac));
    EXPECT_EQ(State(id), NeighborState::kProbe);
    EXPECT_EQ(WorkerSees(id), kPeerMac) << "media flows on while it is probed";
    EXPECT_GE(Info(id).age_ms, 5'000u);
    EXPECT_LE(Info(id).age_ms, 10'020u);
    if (Ip(ip).is_v4()) {
      Arp(kArpReply, kPeerMac, ip, "192.0.2.10");
    } else {
      Advertise(kPeerMac, ip, "2001:db8::10", true, false, /*link_layer=*/false);
    }
    EXPECT_EQ(State(id), NeighborState::kReachable);
    EXPECT_EQ(Info(id).age_ms, 0u);
    neighbors_.Release(id);
  }
}

TEST_F(NeighborsTest, ANextHopThatChangesItsMacInSilenceIsFoundInBoundedTime) {
  for (const char* ip : {kPeerV4, kPeerV6}) {
    const NextHopId id = Resolved(ip);
    // Unicast to the old MAC goes nowhere; the new station answers what it hears.
    const uint64_t start = now_ms_;
    bool answered = false;
    while (!answered && now_ms_ < start + 60'000) {
      for (const Sent& sent : Pass(10)) {
        if (!ParseEthernet(sent.frame)->destination.is_multicast()) continue;
        if (Ip(ip).is_v4()) {
          Arp(kArpReply, kOtherMac, ip, "192.0.2.10");
        } else {
          Advertise(kOtherMac, ip, "2001:db8::10", true, true);
        }
        answered = true;
      }
      if (!answered) {
        EXPECT_EQ(WorkerSees(id), kPeerMac);
      }
    }
    EXPECT_LE(now_ms_ - start, 13'050u);
    EXPECT_EQ(WorkerSees(id), kOtherMac);
    EXPECT_EQ(State(id), NeighborState::kReachable);
    neighbors_.Release(id);
  }
  EXPECT_EQ(neighbors_.counters().changed, 2u);
}

TEST_F(NeighborsTest, ANextHopThatIsGoneIsGivenUp) {
  const NextHopId id = Resolved(kPeerV4);
  const std::vector<Sent> sent = Pass(16'500);
  ASSERT_GE(sent.size(), 6u);
  for (int i = 0; i < 3; ++i) EXPECT_TRUE(IsUnicastTo(sent[i], kPeerMac));
  for (int i = 3; i < 6; ++i) EXPECT_TRUE(IsUnicastTo(sent[i], MacAddress::Broadcast()));
  EXPECT_EQ(State(id), NeighborState::kFailed);
  EXPECT_FALSE(next_hops_.Read(id).resolved);
}

TEST_F(NeighborsTest, GratuitousArpMovesAKnownNextHopAtOnceAndIsVerified) {
  const NextHopId id = Resolved(kPeerV4);
  EXPECT_EQ(Arp(kArpRequest, kOtherMac, kPeerV4, kPeerV4), L3Event::kNeighborLearned);
  EXPECT_EQ(WorkerSees(id), kOtherMac);
  EXPECT_EQ(State(id), NeighborState::kStale);
  const std::vector<Sent> probes = Pass(1'050);
  ASSERT_THAT(probes, SizeIs(1));
  EXPECT_TRUE(IsUnicastTo(probes[0], kOtherMac));
}

TEST_F(NeighborsTest, UnsolicitedAdvertisementsObeyTheOverrideFlag) {
  const NextHopId id = Resolved(kPeerV6);
  EXPECT_EQ(Advertise(kOtherMac, kPeerV6, "ff02::1", false, false), L3Event::kNeighborUnchanged);
  EXPECT_EQ(WorkerSees(id), kPeerMac);
  EXPECT_EQ(State(id), NeighborState::kStale) << "two claim it: ask the one that is known";
  EXPECT_EQ(Advertise(kOtherMac, kPeerV6, "ff02::1", false, true), L3Event::kNeighborLearned);
  EXPECT_EQ(WorkerSees(id), kOtherMac);
}

TEST_F(NeighborsTest, UnaskedClaimsDontProlongANextHop) {
  const NextHopId id = Resolved(kPeerV4);
  const uint64_t start = now_ms_;
  while (Pass(100).empty() && now_ms_ < start + 60'000) {
    EXPECT_EQ(State(id), NeighborState::kReachable);
    Arp(kArpReply, kPeerMac, kPeerV4, "192.0.2.10");
    Arp(kArpRequest, kPeerMac, kPeerV4, "192.0.2.10");
  }
  EXPECT_LE(now_ms_ - start, 10'200u);
}

TEST_F(NeighborsTest, AStationThatKeepsChangingItsMindDoesntPutOffTheProbe) {
  const NextHopId id = Resolved(kPeerV4);
  for (int i = 0; i < 12; ++i) {
    Arp(kArpRequest, i % 2 == 0 ? kOtherMac : kPeerMac, kPeerV4, kPeerV4);
    Pass(100);
  }
  EXPECT_NE(neighbors_.counters().solicitations, gateway_solicitations_ + 1);
  EXPECT_NE(State(id), NeighborState::kReachable);
  EXPECT_LE(neighbors_.counters().solicitations, gateway_solicitations_ + 4)
      << "nor flood the link";
}

TEST_F(NeighborsTest, NothingUnaskedCreatesANextHop) {
  for (int i = 1; i < 250; ++i) {
    if (i == 10) continue;  // the relay itself
    const std::string ip = "192.0.2." + std::to_string(i);
    Arp(kArpRequest, kPeerMac, ip.c_str(), "192.0.2.10");
    Arp(kArpReply, kPeerMac, ip.c_str(), "192.0.2.10");
    const std::string ip6 = "2001:db8::1:" + std::to_string(i);
    Advertise(kPeerMac, ip6.c_str(), "ff02::1", false, true);
    HandleNdFrame(SolicitationFrame(kPeerMac, ip6.c_str(), "2001:db8::10"));
  }
  EXPECT_EQ(neighbors_.size(), 2u);
}

TEST_F(NeighborsTest, ArpRequestsForTheRelayAreAnsweredAndMerged) {
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

TEST_F(NeighborsTest, ArpProbesAreAnsweredAndTeachNothing) {
  EXPECT_EQ(Arp(kArpRequest, kPeerMac, "0.0.0.0", "192.0.2.10"), L3Event::kArpAnswered);
  ASSERT_THAT(sender_.sent, SizeIs(1));
  EXPECT_EQ(ParseArp(ParseEthernet(sender_.sent[0].frame)->payload)->target_ip, Ip("0.0.0.0"));
}

TEST_F(NeighborsTest, ArpForOthersOrForOtherInterfacesIsNotAnswered) {
  EXPECT_EQ(Arp(kArpRequest, kPeerMac, kPeerV4, "192.0.2.11"), L3Event::kNeighborUnchanged);
  EXPECT_EQ(Arp(kArpRequest, kPeerMac, kPeerV4, "198.51.100.1"), L3Event::kNeighborUnchanged);
  EXPECT_EQ(Arp(kArpRequest, kPeerMac, kPeerV4, "192.0.2.10", kOtherMac), L3Event::kNotForUs);
  EXPECT_EQ(Arp(kArpRequest, kRelayMac, kPeerV4, "192.0.2.10"), L3Event::kNotForUs);
  EXPECT_THAT(sender_.sent, IsEmpty());
}

TEST_F(NeighborsTest, AnAnswerGoesToTheStationThatAsked) {
  Bytes frame = ArpFrame(kArpRequest, kPeerMac, kPeerV4, "192.0.2.10", MacAddress::Broadcast());
  std::ranges::copy(kOtherMac.bytes, frame.begin() + 6);  // the Ethernet source differs
  EXPECT_EQ(neighbors_.HandleArp(0, *ParseEthernet(frame)), L3Event::kArpAnswered);
  EXPECT_TRUE(IsUnicastTo(sender_.sent.at(0), kOtherMac));
}

TEST_F(NeighborsTest, EveryMalformedArpIsRefused) {
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

TEST_F(NeighborsTest, SolicitationsAreAnsweredAndLearnedFrom) {
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

TEST_F(NeighborsTest, DuplicateAddressDetectionIsAnsweredToAllNodes) {
  Bytes body(16);
  std::ranges::copy(Ip("2001:db8::10").bytes(), body.begin());
  const relay::IpAddress group = SolicitedNode(Ip("2001:db8::10"));
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

TEST_F(NeighborsTest, SolicitationsForOthersAreNotAnswered) {
  EXPECT_EQ(HandleNdFrame(SolicitationFrame(kPeerMac, kPeerV6, "2001:db8::11")),
            L3Event::kNotForUs);
  EXPECT_EQ(HandleNdFrame(SolicitationFrame(kPeerMac, kPeerV6, "2001:db8:7::1")),
            L3Event::kNotForUs);
  EXPECT_EQ(HandleNdFrame(SolicitationFrame(kPeerMac, "2001:db8::10", "2001:db8::10")),
            L3Event::kMartianSource);
  EXPECT_THAT(sender_.sent, IsEmpty());
}

TEST_F(NeighborsTest, EveryMalformedNeighborMessageIsRefused) {
  const relay::IpAddress source = Ip(kPeerV6), destination = Ip("2001:db8::10");
  for (const uint8_t type : {kNeighborSolicitation, kNeighborAdvertisement}) {
    const bool solicitation = type == kNeighborSolicitation;
    Bytes body(16);
    std::ranges::copy(solicitation ? destination.bytes() : source.bytes(), body.begin());
    body.insert(body.end(), {static_cast<uint8_t>(solicitation ? 1 : 2), 1, 2, 0, 0, 0, 0, 0xaa});
    const auto handle = [&](const Bytes& with_body, uint8_t code = 0, uint8_t hop_limit = 255) {
      return HandleNd(kPeerMac, source, destination,
                      testing::IcmpOf(source, destination, type, code, 0, with_body), hop_limit);
    };
    EXPECT_LT(handle(body), L3Event::kFirstDrop);
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
    EXPECT_LT(handle(bad), L3Event::kFirstDrop);
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

TEST_F(NeighborsTest, ASolicitedAdvertisementToAGroupIsMalformed) {
  EXPECT_EQ(Advertise(kPeerMac, kPeerV6, "ff02::1", true, true),
            L3Event::kMalformedNeighborMessage);
}

TEST_F(NeighborsTest, AnAdvertisementWithoutAddressResolvesNothing) {
  const NextHopId id = *neighbors_.Acquire(Ip(kPeerV6));
  EXPECT_EQ(Advertise(kPeerMac, kPeerV6, "2001:db8::10", true, true, false),
            L3Event::kNeighborUnchanged);
  EXPECT_EQ(State(id), NeighborState::kIncomplete);
}

TEST_F(NeighborsTest, ConflictsAreCountedAndTheAddressIsDefendedAtABoundedRate) {
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

TEST_F(NeighborsTest, AnnouncesEachAddressTwice) {
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

TEST_F(NeighborsTest, ListenerReportsNameTheGroupsAtWhichSolicitationsArrive) {
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
  const relay::IpAddress group = Ip("ff02::1:ff00:10");
  record.insert(record.end(), group.bytes().begin(), group.bytes().end());
  ASSERT_EQ(packet.payload.size(), 8 + record.size());
  EXPECT_EQ(packet.payload[0], kListenerReportV2);
  EXPECT_EQ(packet.payload[7], 1);
  EXPECT_EQ(Bytes(packet.payload.begin() + 8, packet.payload.end()), record);
}

TEST_F(NeighborsTest, ListenerQueriesFromTheLinkAreAnsweredOnceASecond) {
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

TEST_F(NeighborsTest, HeldFramesAreSentInOrderOnceResolved) {
  const NextHopId id = *neighbors_.Acquire(Ip(kPeerV4));
  sender_.Take();
  for (uint8_t i = 0; i < 3; ++i) {
    Bytes frame(60);
    frame[20] = i;
    EXPECT_TRUE(neighbors_.Hold(id, frame));
  }
  EXPECT_THAT(sender_.sent, IsEmpty());
  EXPECT_EQ(neighbors_.held(), 3u);
  Arp(kArpReply, kPeerMac, kPeerV4, "192.0.2.10");
  ASSERT_THAT(sender_.sent, SizeIs(3));
  for (uint8_t i = 0; i < 3; ++i) {
    EXPECT_TRUE(IsUnicastTo(sender_.sent[i], kPeerMac));
    EXPECT_EQ(sender_.sent[i].frame[20], i);
    EXPECT_EQ(sender_.sent[i].frame.size(), 60u);
  }
  EXPECT_EQ(neighbors_.held(), 0u);
  EXPECT_EQ(neighbors_.counters().held_sent, 3u);
  EXPECT_TRUE(neighbors_.Hold(id, Bytes(60))) << "resolved by now: sent at once";
  EXPECT_THAT(sender_.sent, SizeIs(4));
}

TEST_F(NeighborsTest, TheHoldQueueKeepsTheNewest) {
  const NextHopId id = *neighbors_.Acquire(Ip(kPeerV4));
  sender_.Take();
  for (uint8_t i = 0; i < 20; ++i) EXPECT_TRUE(neighbors_.Hold(id, Bytes(14, i)));
  EXPECT_EQ(neighbors_.held(), 8u);
  EXPECT_EQ(neighbors_.counters().dropped_held_full, 12u);
  Arp(kArpReply, kPeerMac, kPeerV4, "192.0.2.10");
  ASSERT_THAT(sender_.sent, SizeIs(8));
  EXPECT_EQ(sender_.sent[0].frame[6], 12);
}

TEST_F(NeighborsTest, FailureAndReleaseDropWhatIsHeld) {
  const NextHopId id = *neighbors_.Acquire(Ip(kPeerV4));
  const NextHopId other = *neighbors_.Acquire(Ip("192.0.2.78"));
  EXPECT_TRUE(neighbors_.Hold(id, Bytes(60)));
  EXPECT_TRUE(neighbors_.Hold(other, Bytes(60)));
  neighbors_.Release(other);
  EXPECT_EQ(neighbors_.counters().dropped_unresolved, 1u);
  Pass(3'100);
  EXPECT_EQ(State(id), NeighborState::kFailed);
  EXPECT_EQ(neighbors_.held(), 0u);
  EXPECT_EQ(neighbors_.counters().dropped_unresolved, 2u);
  EXPECT_FALSE(neighbors_.Hold(id, Bytes(60)));
  EXPECT_FALSE(neighbors_.Hold(kNoNextHop, Bytes(60)));
  EXPECT_FALSE(neighbors_.Hold(99'999, Bytes(60)));
  EXPECT_FALSE(neighbors_.Hold(other, Bytes(60)));
  EXPECT_EQ(neighbors_.counters().dropped_unresolved, 6u);
  const NextHopId third = *neighbors_.Acquire(Ip("192.0.2.79"));
  EXPECT_FALSE(neighbors_.Hold(third, Bytes(13))) << "no Ethernet header";
}

class HoldBoundTest : public NeighborsTest {
 protected:
  HoldBoundTest() : NeighborsTest(64, {.max_held = 10}) {}
};

TEST_F(HoldBoundTest, AllNextHopsShareABound) {
  const NextHopId a = *neighbors_.Acquire(Ip("192.0.2.101"));
  const NextHopId b = *neighbors_.Acquire(Ip("192.0.2.102"));
  for (int i = 0; i < 8; ++i) EXPECT_TRUE(neighbors_.Hold(a, Bytes(60)));
  for (int i = 0; i < 2; ++i) EXPECT_TRUE(neighbors_.Hold(b, Bytes(60)));
  EXPECT_FALSE(neighbors_.Hold(b, Bytes(60)));
  EXPECT_EQ(neighbors_.held(), 10u);
  EXPECT_TRUE(neighbors_.Hold(a, Bytes(60))) << "in place of a's oldest";
  EXPECT_EQ(neighbors_.held(), 10u);
}

class ManyNextHopsTest : public NeighborsTest {
 protected:
  ManyNextHopsTest() : NeighborsTest(100'064, {.solicitations_per_second = 5'000}) {}
};

TEST_F(ManyNextHopsTest, QuestionsStayWithinTheirRateAndTickWithinItsBudget) {
  std::vector<NextHopId> ids;
  for (uint32_t i = 0; i < 100'000; ++i) {
    std::array<uint8_t, 16> bytes = {0x20, 0x01, 0x0d, 0xb8};
    relay::StoreBe32(&bytes[12], 0x10000 + i);
    const absl::StatusOr<NextHopId> id = neighbors_.Acquire(relay::IpAddress::V6(bytes));
    ASSERT_TRUE(id.ok());
    ids.push_back(*id);
  }
  EXPECT_LE(sender_.Take().size(), 5'000u) << "the burst";
  size_t most = 0, all = 0;
  for (int i = 0; i < 3'000; ++i) {
    Tick(now_ms_ + 1);
    const size_t sent = sender_.Take().size();
    most = std::max(most, sent);
    all += sent;
  }
  EXPECT_LE(most, 256u);
  EXPECT_GE(all, 14'000u);
  EXPECT_LE(all, 15'010u);
  for (NextHopId id : ids) neighbors_.Release(id);
  EXPECT_EQ(neighbors_.size(), 2u);
}

TEST(NeighborStateTest, NamesAreInTheOrderOfTheStates) {
  EXPECT_EQ(NeighborStateName(NeighborState::kIncomplete), "incomplete");
  EXPECT_EQ(NeighborStateName(NeighborState::kFailed), "failed");
}

}  // namespace
}  // namespace sotto::dataplane
