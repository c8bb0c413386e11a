// SPDX-License-Identifier: Apache-2.0
#include "tools/loadgen/wire/packet.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <random>
#include <vector>

#include "relay/base/big_endian.h"
#include "relay/base/checksum.h"
#include "relay/wire/channel_data.h"

namespace sotto::tools {
namespace {

constexpr size_t kIp = 14;
constexpr size_t kUdp = 34;
constexpr size_t kChannel = 42;
constexpr size_t kPayload = 46;

WirePlan Plan() {
  WirePlan plan;
  plan.own_mac = {2, 0, 0, 0, 0, 1};
  plan.server_mac = {2, 0, 0, 0, 0, 2};
  plan.server_ip = 0xc000020a;  // 192.0.2.10
  plan.server_port = 3478;
  plan.legs = 1000;
  plan.first_ip = 0xc6336401;  // 198.51.100.1
  plan.address_count = 250;
  plan.first_port = 5000;
  return plan;
}

// The checksum of everything that UDP covers, computed the long way; 0xffff if it is right.
uint16_t UdpSum(std::span<const uint8_t> frame) {
  const uint16_t length = LoadBe16(&frame[kUdp + 4]);
  return FoldSum(SumWords(&frame[kIp + 12], 8) + SumWord(17) + SumWord(length) +
                 SumWords(&frame[kUdp], length));
}

// What a relay makes of a packet, the long way: from the server to the receiver, on its channel.
std::vector<uint8_t> Delivered(const WirePlan& plan, std::vector<uint8_t> frame, uint32_t to) {
  std::swap_ranges(frame.begin(), frame.begin() + 6, frame.begin() + 6);
  StoreBe32(&frame[kIp + 12], plan.server_ip);
  StoreBe32(&frame[kIp + 16], plan.IpOf(to));
  StoreBe16(&frame[kUdp], plan.server_port);
  StoreBe16(&frame[kUdp + 2], plan.PortOf(to));
  StoreBe16(&frame[kChannel], WireChannel(to));
  return frame;
}

void FixChecksums(std::vector<uint8_t>& frame) {
  std::memset(&frame[kIp + 10], 0, 2);
  const uint16_t ip = ChecksumOf(SumWords(&frame[kIp], 20));
  std::memcpy(&frame[kIp + 10], &ip, 2);
  std::memset(&frame[kUdp + 6], 0, 2);
  const auto udp = UdpChecksumField(static_cast<uint16_t>(~UdpSum(frame)));
  std::memcpy(&frame[kUdp + 6], &udp, 2);
}

std::vector<uint8_t> Written(const WirePackets& packets, WireTemplate& from, uint64_t time = 0) {
  std::vector<uint8_t> frame(kWireMaxFrame);
  frame.resize(packets.Write(from, time, frame.data()));
  return frame;
}

class WirePacketTest : public ::testing::Test {
 protected:
  WirePlan plan_ = Plan();
  WirePackets packets_{plan_, *WireMix::Named("imix")};
};

TEST_F(WirePacketTest, EveryPacketHasRightLengthsAndChecksums) {
  std::mt19937_64 random(1);
  for (const char* name : {"opus", "video", "64", "imix"}) {
    const WirePackets packets(plan_, *WireMix::Named(name));
    for (int i = 0; i < 20'000; ++i) {
      WireTemplate from = packets.TemplateFor(static_cast<uint32_t>(random() % plan_.legs));
      from.sequence = static_cast<uint32_t>(random());
      const auto frame = Written(packets, from, random());
      const std::span<const uint8_t> bytes(frame);
      ASSERT_EQ(LoadBe16(&bytes[kIp + 2]), frame.size() - kIp);
      ASSERT_EQ(LoadBe16(&bytes[kUdp + 4]), frame.size() - kUdp);
      ASSERT_EQ(FoldSum(SumWords(&bytes[kIp], 20)), 0xffff);
      ASSERT_EQ(UdpSum(bytes), 0xffff) << name << " leg " << from.leg << " packet " << i;
      ASSERT_NE(LoadBe16(&bytes[kUdp + 6]), 0) << "zero means that there is no checksum";
      const auto channel = relay::ParseChannelData(bytes.subspan(kChannel));
      ASSERT_TRUE(channel);
      ASSERT_EQ(channel->number, WireChannel(from.leg));
      ASSERT_EQ(channel->data.size(), frame.size() - kPayload);
    }
  }
}

TEST_F(WirePacketTest, OddPayloadsHaveRightChecksumsToo) {
  for (uint32_t payload = 14; payload < 40; ++payload) {
    const WirePackets packets(plan_, *WireMix::Of(payload));
    WireTemplate from = packets.TemplateFor(7);
    const auto frame = Written(packets, from, 0x123456789abc);
    ASSERT_EQ(frame.size(), kPayload + payload);
    EXPECT_EQ(UdpSum(frame), 0xffff) << payload;
    auto delivered = Delivered(plan_, frame, 6);
    FixChecksums(delivered);
    EXPECT_EQ(packets.Read(delivered).verdict, WireVerdict::kIntact) << payload;
  }
}

TEST_F(WirePacketTest, IsReadAsItWasWritten) {
  WireTemplate from = packets_.TemplateFor(3);
  from.sequence = 0xfffffffe;
  for (uint32_t sequence : {0xfffffffeu, 0xffffffffu, 0u}) {
    auto frame = Delivered(plan_, Written(packets_, from, 0xab00ff1122334455), 2);
    FixChecksums(frame);
    const WireArrival arrival = packets_.Read(frame);
    EXPECT_EQ(arrival.verdict, WireVerdict::kIntact);
    EXPECT_EQ(arrival.leg, 2u);
    EXPECT_EQ(arrival.sequence, sequence);
    EXPECT_EQ(arrival.time, 0xff1122334455u);
    EXPECT_FALSE(arrival.no_udp_checksum);
  }
}

TEST_F(WirePacketTest, EveryFlippedBitIsNoticed) {
  WireTemplate from = packets_.TemplateFor(3);
  from.sequence = 1;
  const auto sent = Written(packets_, from, 42);
  auto frame = Delivered(plan_, sent, 2);
  FixChecksums(frame);
  for (size_t bit = kIp * 8; bit < frame.size() * 8; ++bit) {
    frame[bit / 8] ^= static_cast<uint8_t>(1 << (bit % 8));
    EXPECT_NE(packets_.Read(frame).verdict, WireVerdict::kIntact)
        << "bit " << bit % 8 << " of byte " << bit / 8;
    frame[bit / 8] ^= static_cast<uint8_t>(1 << (bit % 8));
  }
  // Even if the checksums are right: what the fill and the leg should be is known.
  for (size_t byte : {kPayload + 3, kPayload + 14, frame.size() - 1}) {
    auto changed = frame;
    changed[byte] ^= 0x20;
    FixChecksums(changed);
    const WireVerdict verdict = packets_.Read(changed).verdict;
    EXPECT_TRUE(verdict == WireVerdict::kCorrupt || verdict == WireVerdict::kMisdelivered) << byte;
  }
}

TEST_F(WirePacketTest, NoticesTheWrongLegTheWrongChannelAndTheWrongSize) {
  WireTemplate from = packets_.TemplateFor(3);
  const auto sent = Written(packets_, from, 42);
  auto frame = Delivered(plan_, sent, 4);
  FixChecksums(frame);
  EXPECT_EQ(packets_.Read(frame).verdict, WireVerdict::kMisdelivered);

  frame = Delivered(plan_, sent, 2);
  StoreBe16(&frame[kChannel], WireChannel(3));
  FixChecksums(frame);
  EXPECT_EQ(packets_.Read(frame).verdict, WireVerdict::kMisdelivered);

  frame = Delivered(plan_, sent, 2);
  uint32_t sequence = 1;  // of a packet that has another size in this mix
  while (packets_.mix().IndexFor(3, sequence) == packets_.mix().IndexFor(3, 0)) ++sequence;
  StoreBe32(&frame[kPayload + 4], sequence);
  FixChecksums(frame);
  EXPECT_EQ(packets_.Read(frame).verdict, WireVerdict::kCorrupt);

  // Cut short: the Ethernet frame ends before the IP packet does.
  frame = Delivered(plan_, sent, 2);
  FixChecksums(frame);
  for (size_t size = 0; size < frame.size(); ++size) {
    EXPECT_NE(packets_.Read({frame.data(), size}).verdict, WireVerdict::kIntact) << size;
  }
}

TEST_F(WirePacketTest, TakesPaddingOfFramesAndOfChannelData) {
  const WirePackets packets(plan_, *WireMix::Of(17));
  WireTemplate from = packets.TemplateFor(3);
  auto frame = Delivered(plan_, Written(packets, from, 42), 2);
  FixChecksums(frame);
  auto padded_frame = frame;
  padded_frame.resize(frame.size() + 6);
  EXPECT_EQ(packets.Read(padded_frame).verdict, WireVerdict::kIntact);

  auto padded_channel = frame;
  padded_channel.insert(padded_channel.end(), {1, 2, 3});
  StoreBe16(&padded_channel[kIp + 2], static_cast<uint16_t>(padded_channel.size() - kIp));
  StoreBe16(&padded_channel[kUdp + 4], static_cast<uint16_t>(padded_channel.size() - kUdp));
  FixChecksums(padded_channel);
  EXPECT_EQ(packets.Read(padded_channel).verdict, WireVerdict::kIntact);
  padded_channel.back() ^= 1;
  EXPECT_EQ(packets.Read(padded_channel).verdict, WireVerdict::kBadChecksum);
}

TEST_F(WirePacketTest, CountsAMissingChecksumAndTakesThePacket) {
  WireTemplate from = packets_.TemplateFor(3);
  auto frame = Delivered(plan_, Written(packets_, from, 42), 2);
  FixChecksums(frame);
  std::memset(&frame[kUdp + 6], 0, 2);
  const WireArrival arrival = packets_.Read(frame);
  EXPECT_EQ(arrival.verdict, WireVerdict::kIntact);
  EXPECT_TRUE(arrival.no_udp_checksum);
}

TEST_F(WirePacketTest, AMirrorSendsALegItsOwnPackets) {
  plan_.mirror = true;
  const WirePackets packets(plan_, *WireMix::Of(100));
  WireTemplate from = packets.TemplateFor(9);
  auto frame = Written(packets, from, 42);
  std::swap_ranges(frame.begin(), frame.begin() + 6, frame.begin() + 6);
  std::swap_ranges(&frame[kIp + 12], &frame[kIp + 16], &frame[kIp + 16]);
  std::swap_ranges(&frame[kUdp], &frame[kUdp + 2], &frame[kUdp + 2]);
  const WireArrival arrival = packets.Read(frame);
  EXPECT_EQ(arrival.verdict, WireVerdict::kIntact);
  EXPECT_EQ(arrival.leg, 9u);
}

TEST_F(WirePacketTest, HandsStunFromTheServerToTheLegsClient) {
  const std::vector<uint8_t> request = {0, 1, 0, 4, 0x21, 0x12, 0xa4, 0x42, 9, 9, 9};
  std::array<uint8_t, 200> out;
  const size_t size = WriteWireDatagram(plan_, 5, request, out);
  ASSERT_EQ(size, kChannel + request.size());
  EXPECT_EQ(UdpSum({out.data(), size}), 0xffff);
  EXPECT_EQ(packets_.Read({out.data(), size}).verdict, WireVerdict::kForeign)
      << "it isn't to a leg";

  std::vector<uint8_t> frame(out.begin(), out.begin() + static_cast<ptrdiff_t>(size));
  std::swap_ranges(&frame[kIp + 12], &frame[kIp + 16], &frame[kIp + 16]);
  std::swap_ranges(&frame[kUdp], &frame[kUdp + 2], &frame[kUdp + 2]);
  const WireArrival arrival = packets_.Read(frame);
  ASSERT_EQ(arrival.verdict, WireVerdict::kStun);
  EXPECT_EQ(arrival.leg, 5u);
  EXPECT_TRUE(
      std::equal(arrival.datagram.begin(), arrival.datagram.end(), request.begin(), request.end()));
  EXPECT_EQ(WriteWireDatagram(plan_, 5, request, std::span(out).first(size - 1)), 0u);
}

TEST_F(WirePacketTest, SurvivesRandomFrames) {
  std::mt19937_64 random(2);
  WireTemplate from = packets_.TemplateFor(3);
  std::array<uint8_t, kArpFrameSize> answer;
  for (int i = 0; i < 200'000; ++i) {
    auto frame = Delivered(plan_, Written(packets_, from, 42), 2);
    FixChecksums(frame);
    for (int flips = 0; flips < 4; ++flips) frame[random() % 64] = static_cast<uint8_t>(random());
    frame.resize(random() % frame.size());
    frame.shrink_to_fit();
    packets_.Read(frame);
    AnswerArp(plan_, frame, answer);
    WirePlan plan = plan_;
    LearnServerMac(frame, plan);
  }
}

TEST_F(WirePacketTest, AnswersArpForItsLegsAlone) {
  std::array<uint8_t, kArpFrameSize> request;
  WirePlan server = plan_;  // asks for 198.51.100.1, as 192.0.2.10
  server.first_ip = plan_.server_ip;
  server.server_ip = plan_.first_ip;
  server.own_mac = plan_.server_mac;
  WriteArpRequest(server, request);
  EXPECT_EQ(packets_.Read(request).verdict, WireVerdict::kArp);
  std::array<uint8_t, kArpFrameSize> answer;
  ASSERT_TRUE(AnswerArp(plan_, request, answer));
  EXPECT_TRUE(std::equal(&answer[0], &answer[6], plan_.server_mac.begin()));

  WirePlan learned = server;
  learned.server_mac = {};
  EXPECT_TRUE(LearnServerMac(answer, learned));
  EXPECT_EQ(learned.server_mac, plan_.own_mac);
  EXPECT_FALSE(LearnServerMac(request, learned)) << "a request answers nothing";

  server.server_ip = plan_.first_ip + plan_.address_count;
  WriteArpRequest(server, request);
  EXPECT_FALSE(AnswerArp(plan_, request, answer)) << "not an address of a leg";
  WriteArpRequest(plan_, request);
  EXPECT_FALSE(AnswerArp(plan_, request, answer));
}

TEST(WirePlan, FindsEachLegFromItsAddress) {
  WirePlan plan = Plan();
  for (uint32_t leg = 0; leg < plan.legs; ++leg) {
    ASSERT_EQ(plan.LegAt(plan.IpOf(leg), plan.PortOf(leg)), leg);
  }
  EXPECT_GE(plan.LegAt(plan.first_ip, static_cast<uint16_t>(plan.first_port + 4)), plan.legs);
  EXPECT_GE(plan.LegAt(plan.first_ip, static_cast<uint16_t>(plan.first_port - 1)), plan.legs);
  EXPECT_GE(plan.LegAt(plan.first_ip - 1, plan.first_port), plan.legs);
  EXPECT_GE(plan.LegAt(plan.first_ip + plan.address_count, plan.first_port), plan.legs);
  EXPECT_NE(WireChannel(0), WireChannel(1));
  EXPECT_TRUE(relay::IsChannelNumber(WireChannel(4'000'000)));
  EXPECT_TRUE(relay::IsChannelNumber(WireChannel(4'000'001)));
}

TEST(WireAge, GoesRound) {
  EXPECT_EQ(WireAge(0x1000000000005, 0xfffffffffffe), 7u);
  EXPECT_EQ(WireAge(100, 40), 60u);
}

}  // namespace
}  // namespace sotto::tools
