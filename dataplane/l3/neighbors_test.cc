// SPDX-License-Identifier: Apache-2.0
#include "dataplane/l3/neighbors.h"

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

class NeighborsTest : public testing::NeighborsFixture {
 protected:
  using NeighborsFixture::NeighborsFixture;
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

TEST(NeighborsStartTest, HoldsTheFirstGatewayOfEachFamilyAlone) {
  Interface interface = testing::TwoInterfaces().at(0);
  interface.gateways = {Ip("192.0.2.1"), Ip("192.0.2.2"), Ip("fe80::1"), Ip("fe80::2")};
  const InterfaceTable interfaces = *InterfaceTable::Create({interface});
  testing::RecordingSender sender;
  NextHopTable next_hops(8);
  const Neighbors neighbors(interfaces, next_hops, sender);
  std::set<std::string> held;
  neighbors.ForEach([&held](const NeighborInfo& info) { held.insert(info.ip.ToString()); });
  EXPECT_THAT(held, ElementsAre("192.0.2.1", "fe80::1"));
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
  EXPECT_FALSE(next_hops_.Read(*id).resolved());
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
    ids.push_back(*neighbors_.Acquire(IpAddress::V4(192, 0, 2, static_cast<uint8_t>(100 + i))));
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
    ids.insert(*neighbors_.Acquire(IpAddress::V4(192, 0, 2, static_cast<uint8_t>(100 + i))));
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
  EXPECT_FALSE(next_hops_.Read(id).resolved());
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
  EXPECT_FALSE(next_hops_.Read(id).resolved());
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
    StoreBe32(&bytes[12], 0x10000 + i);
    const absl::StatusOr<NextHopId> id = neighbors_.Acquire(IpAddress::V6(bytes));
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
