// SPDX-License-Identifier: Apache-2.0
#include "dataplane/l3/reassembly_mbuf.h"

#include <gtest/gtest.h>
#include <rte_mbuf.h>

#include <cstring>

#include "dataplane/l3/test_support.h"

namespace sotto::dataplane {
namespace {

using testing::Bytes;
using testing::Ip;
using Outcome = ReassemblyOutcome;

constexpr uint16_t kDataRoom = 1024;
constexpr unsigned kMbufs = 31;

class ReassemblyMbufTest : public ::testing::Test {
 protected:
  void SetUp() override {
    pool_ = rte_pktmbuf_pool_create("reassembly", kMbufs, 0, 0, kDataRoom, SOCKET_ID_ANY);
    ASSERT_NE(pool_, nullptr);
  }
  void TearDown() override {
    EXPECT_EQ(rte_mempool_avail_count(pool_), kMbufs) << "a buffer leaked";
    rte_mempool_free(pool_);
  }

  rte_mbuf* Alloc(const Bytes& frame, uint16_t headroom = RTE_PKTMBUF_HEADROOM) {
    rte_mbuf* mbuf = rte_pktmbuf_alloc(pool_);
    EXPECT_NE(mbuf, nullptr);
    mbuf->data_off = headroom;
    std::memcpy(rte_pktmbuf_append(mbuf, static_cast<uint16_t>(frame.size())), frame.data(),
                frame.size());
    return mbuf;
  }
  Bytes Fragment(size_t offset, size_t size, bool more, uint16_t id = 1) {
    Bytes data(udp_.begin() + offset, udp_.begin() + offset + size);
    Bytes frame = testing::IpFrame(
        testing::Station(testing::kPeerMac), testing::kRelayMac,
        {.source = Ip("192.0.2.77"), .destination = Ip("192.0.2.10"), .protocol = 17, .id = id},
        data);
    StoreBe16(&frame[20], static_cast<uint16_t>(offset / 8 | (more ? 0x2000 : 0)));
    testing::FixIpv4Checksum(frame);
    return frame;
  }
  rte_mbuf* Add(rte_mbuf* mbuf) {
    return ReassembleMbuf(reassembler_, 0, mbuf, 14, 1000, outcome_);
  }

  rte_mempool* pool_ = nullptr;
  Bytes udp_ = testing::UdpOf(Ip("192.0.2.77"), 4000, Ip("192.0.2.10"), 3478, Bytes(2000, 9));
  Reassembler reassembler_{{.max_packet = MaxReassembledPacket(kDataRoom)}};
  Outcome outcome_ = Outcome::kMalformed;
};

TEST_F(ReassemblyMbufTest, TheLargestPacketFitsBehindTheHeadroom) {
  EXPECT_EQ(MaxReassembledPacket(2048 + RTE_PKTMBUF_HEADROOM), 2030);
  EXPECT_EQ(MaxReassembledPacket(100), 0);
}

TEST_F(ReassemblyMbufTest, TheLastFragmentsBufferComesBackWithTheDatagram) {
  EXPECT_EQ(Add(Alloc(Fragment(0, 400, true))), nullptr);
  EXPECT_EQ(outcome_, Outcome::kPending);
  EXPECT_EQ(rte_mempool_avail_count(pool_), kMbufs) << "a pending datagram holds no buffer";
  rte_mbuf* last = Alloc(Fragment(400, 200, false), 0);
  last->port = 5;
  last->ol_flags = RTE_MBUF_F_RX_IP_CKSUM_GOOD | RTE_MBUF_F_RX_L4_CKSUM_BAD |
                   RTE_MBUF_F_RX_RSS_HASH | RTE_MBUF_F_RX_VLAN;
  rte_mbuf* whole = Add(last);
  ASSERT_EQ(outcome_, Outcome::kComplete);
  ASSERT_EQ(whole, last);
  EXPECT_EQ(whole->port, 5);
  EXPECT_EQ(whole->ol_flags, RTE_MBUF_F_RX_VLAN);
  EXPECT_EQ(whole->nb_segs, 1);
  EXPECT_EQ(rte_pktmbuf_headroom(whole), RTE_PKTMBUF_HEADROOM);
  ASSERT_EQ(rte_pktmbuf_pkt_len(whole), 14u + 20 + 600);
  ASSERT_EQ(rte_pktmbuf_data_len(whole), rte_pktmbuf_pkt_len(whole));
  EXPECT_EQ(std::memcmp(rte_pktmbuf_mtod_offset(whole, uint8_t*, 34), udp_.data(), 600), 0);
  rte_mbuf_sanity_check(whole, 1);
  rte_pktmbuf_free(whole);
}

TEST_F(ReassemblyMbufTest, AFrameInSeveralSegmentsIsMadeLinearFirst) {
  const Bytes fragment = Fragment(0, 400, true);
  rte_mbuf* head = Alloc(Bytes(fragment.begin(), fragment.begin() + 30));
  ASSERT_EQ(rte_pktmbuf_chain(head, Alloc(Bytes(fragment.begin() + 30, fragment.end()))), 0);
  EXPECT_EQ(Add(head), nullptr);
  EXPECT_EQ(outcome_, Outcome::kPending);
  // More than one buffer holds.
  head = Alloc(Bytes(800));
  ASSERT_EQ(rte_pktmbuf_chain(head, Alloc(Bytes(800))), 0);
  EXPECT_EQ(Add(head), nullptr);
  EXPECT_EQ(outcome_, Outcome::kTooLong);
}

TEST_F(ReassemblyMbufTest, WhatDoesntFitIsDroppedUnderItsOwnReason) {
  Reassembler generous({.max_packet = 2000});
  EXPECT_EQ(ReassembleMbuf(generous, 0, Alloc(Fragment(0, 800, true)), 14, 1000, outcome_),
            nullptr);
  EXPECT_EQ(ReassembleMbuf(generous, 0, Alloc(Fragment(800, 400, false)), 14, 1000, outcome_),
            nullptr);
  EXPECT_EQ(outcome_, Outcome::kTooLong);
  EXPECT_EQ(Add(Alloc(Fragment(800, 400, false))), nullptr);
  EXPECT_EQ(outcome_, Outcome::kTooLong);
}

TEST_F(ReassemblyMbufTest, AFloodHoldsNoBuffers) {
  for (uint16_t id = 0; id < 5'000; ++id) {
    EXPECT_EQ(Add(Alloc(Fragment(0, 400, true, id))), nullptr);
  }
  EXPECT_EQ(rte_mempool_avail_count(pool_), kMbufs);
}

}  // namespace
}  // namespace sotto::dataplane
