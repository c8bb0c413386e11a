// SPDX-License-Identifier: Apache-2.0
#include "tools/media/media_packet.h"

#include <gtest/gtest.h>

#include <vector>

namespace sotto::tools {
namespace {

constexpr uint64_t kKey = 0x0123456789abcdef;
const MediaPacket kPacket = {.run = 0xa1b2c3d4,
                             .call = 49,
                             .sequence = 0xfffffffe,
                             .send_time_ns = 1'800'000'000'123'456'789,
                             .direction = 1,
                             .counts = false};

TEST(MediaPacketTest, EverySizeSurvivesARoundTrip) {
  for (size_t size = kMinMediaPacketSize; size < 200; ++size) {
    std::vector<uint8_t> bytes(size, 0xee);
    WriteMediaPacket(kPacket, kKey, bytes);
    EXPECT_EQ(ReadMediaPacket(bytes, kKey), kPacket) << size;
  }
}

TEST(MediaPacketTest, EveryChangedBitIsNoticed) {
  std::vector<uint8_t> bytes(75);
  WriteMediaPacket(kPacket, kKey, bytes);
  for (size_t i = 0; i < bytes.size(); ++i) {
    for (int bit = 0; bit < 8; ++bit) {
      bytes[i] ^= static_cast<uint8_t>(1 << bit);
      EXPECT_FALSE(ReadMediaPacket(bytes, kKey)) << "byte " << i << " bit " << bit;
      bytes[i] ^= static_cast<uint8_t>(1 << bit);
    }
  }
  EXPECT_TRUE(ReadMediaPacket(bytes, kKey));
}

TEST(MediaPacketTest, RefusesOtherKeysAndShortPackets) {
  std::vector<uint8_t> bytes(64);
  WriteMediaPacket(kPacket, kKey, bytes);
  EXPECT_FALSE(ReadMediaPacket(bytes, kKey + 1));
  for (size_t size = 0; size < kMinMediaPacketSize; ++size) {
    EXPECT_FALSE(ReadMediaPacket(std::span(bytes).first(size), kKey)) << size;
  }
}

TEST(MediaPacketTest, FillDiffersFromPacketToPacket) {
  std::vector<uint8_t> first(64), second(64);
  WriteMediaPacket(kPacket, kKey, first);
  MediaPacket next = kPacket;
  ++next.sequence;
  WriteMediaPacket(next, kKey, second);
  int same = 0;
  for (size_t i = kMinMediaPacketSize; i < 64; ++i) same += first[i] == second[i];
  EXPECT_LT(same, 8);
}

}  // namespace
}  // namespace sotto::tools
