// SPDX-License-Identifier: Apache-2.0
#include "relay/base/byte_cursor.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <random>
#include <vector>

namespace sotto {
namespace {

using ::testing::ElementsAre;

TEST(BigEndianTest, ReadsAndWritesAtOddAddresses) {
  std::array<uint8_t, 9> bytes = {};
  StoreBe64(&bytes[1], 0x0102030405060708);
  EXPECT_THAT(bytes, ElementsAre(0, 1, 2, 3, 4, 5, 6, 7, 8));
  EXPECT_EQ(LoadBe64(&bytes[1]), 0x0102030405060708u);
  EXPECT_EQ(LoadBe32(&bytes[3]), 0x03040506u);
  EXPECT_EQ(LoadBe16(&bytes[7]), 0x0708u);
}

TEST(ByteReaderTest, ReadsEachWidthInNetworkOrder) {
  const std::vector<uint8_t> bytes = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17};
  ByteReader reader(bytes);
  uint8_t u8 = 0;
  uint16_t u16 = 0;
  uint32_t u32 = 0;
  uint64_t u64 = 0;
  std::span<const uint8_t> rest;
  ASSERT_TRUE(reader.ReadU8(u8) && reader.ReadU16(u16) && reader.ReadU32(u32) &&
              reader.ReadU64(u64) && reader.ReadBytes(2, rest));
  EXPECT_EQ(u8, 1);
  EXPECT_EQ(u16, 0x0203);
  EXPECT_EQ(u32, 0x04050607u);
  EXPECT_EQ(u64, 0x08090a0b0c0d0e0fu);
  EXPECT_THAT(rest, ElementsAre(16, 17));
  EXPECT_EQ(reader.remaining(), 0u);
  EXPECT_FALSE(reader.failed());
}

TEST(ByteReaderTest, FailsOnceAndStaysFailed) {
  const std::vector<uint8_t> bytes = {1, 2, 3};
  ByteReader reader(bytes);
  uint32_t u32 = 77;
  uint8_t u8 = 77;
  EXPECT_FALSE(reader.ReadU32(u32));
  EXPECT_EQ(u32, 77u);
  EXPECT_TRUE(reader.failed());
  EXPECT_EQ(reader.remaining(), 0u);
  EXPECT_FALSE(reader.ReadU8(u8)) << "a byte is left, but the cursor has failed";
  EXPECT_FALSE(reader.Skip(0));
  EXPECT_EQ(u8, 77);
}

TEST(ByteReaderTest, HugeCountsDoNotWrapAround) {
  const std::vector<uint8_t> bytes = {1, 2, 3};
  ByteReader reader(bytes);
  ASSERT_TRUE(reader.Skip(2));
  std::span<const uint8_t> out;
  EXPECT_FALSE(reader.ReadBytes(SIZE_MAX - 1, out));
  EXPECT_TRUE(out.empty());
}

// Whatever is asked of it, the cursor stays within its bytes and agrees with a plain model.
TEST(ByteReaderTest, RandomReadsAgreeWithAModel) {
  std::mt19937 random(1);
  for (int round = 0; round < 2000; ++round) {
    std::vector<uint8_t> bytes(random() % 40);
    for (uint8_t& byte : bytes) byte = static_cast<uint8_t>(random());
    ByteReader reader(bytes);
    size_t position = 0;
    bool failed = false;
    while (!failed) {
      const size_t size = std::array<size_t, 5>{1, 2, 4, 8, random() % 12}[random() % 5];
      std::span<const uint8_t> out;
      failed = size > bytes.size() - position;
      ASSERT_EQ(reader.ReadBytes(size, out), !failed);
      if (failed) break;
      ASSERT_EQ(out.data(), bytes.data() + position);
      ASSERT_EQ(out.size(), size);
      position += size;
      ASSERT_EQ(reader.position(), position);
      ASSERT_EQ(reader.remaining(), bytes.size() - position);
      if (size == 0 && position == bytes.size()) break;
    }
    ASSERT_EQ(reader.failed(), failed);
  }
}

TEST(ByteWriterTest, WritesEachWidthInNetworkOrder) {
  std::array<uint8_t, 20> out;
  out.fill(0xee);
  ByteWriter writer(out);
  ASSERT_TRUE(writer.WriteU8(1) && writer.WriteU16(0x0203) && writer.WriteU32(0x04050607) &&
              writer.WriteU64(0x08090a0b0c0d0e0f) && writer.WriteBytes("ab") &&
              writer.WriteZeros(2));
  EXPECT_THAT(writer.written(),
              ElementsAre(1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 'a', 'b', 0, 0));
  EXPECT_EQ(out[19], 0xee) << "wrote past what it was asked to";
}

TEST(ByteWriterTest, FailsOnceAndLeavesTheRestAlone) {
  std::array<uint8_t, 3> out = {9, 9, 9};
  ByteWriter writer(out);
  EXPECT_TRUE(writer.WriteU16(0x0102));
  EXPECT_FALSE(writer.WriteU16(0x0304));
  EXPECT_FALSE(writer.WriteU8(5)) << "a byte is left, but the cursor has failed";
  EXPECT_THAT(out, ElementsAre(1, 2, 9));
  EXPECT_EQ(writer.position(), 2u);
}

}  // namespace
}  // namespace sotto
