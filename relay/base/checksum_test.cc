// SPDX-License-Identifier: Apache-2.0
#include "relay/base/checksum.h"

#include <gtest/gtest.h>

#include <random>
#include <vector>

#include "relay/base/big_endian.h"

namespace sotto {
namespace {

// RFC 1071, section 4.1, word for word in network order: the definition to compare with.
uint16_t ReferenceChecksum(const std::vector<uint8_t>& bytes) {
  uint32_t sum = 0;
  for (size_t i = 0; i < bytes.size(); i += 2) {
    sum += bytes[i] << 8 | (i + 1 < bytes.size() ? bytes[i + 1] : 0);
    sum = (sum & 0xffff) + (sum >> 16);
  }
  return static_cast<uint16_t>(~sum);
}

uint16_t Network(uint16_t in_memory) {
  return LoadBe16(reinterpret_cast<const uint8_t*>(&in_memory));
}

std::vector<uint8_t> RandomBytes(std::mt19937& random, size_t size) {
  std::vector<uint8_t> bytes(size);
  // Runs of equal bytes bring the carries and the zero sums that uniform bytes hardly ever do.
  const uint8_t fill = static_cast<uint8_t>(random() % 3 == 0 ? 0xff : 0);
  const bool uniform = random() % 2 == 0;
  for (uint8_t& byte : bytes) byte = uniform ? static_cast<uint8_t>(random()) : fill;
  return bytes;
}

TEST(ChecksumTest, ExampleOfRfc1071) {
  const std::vector<uint8_t> bytes = {0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7};
  EXPECT_EQ(Network(FoldSum(SumWords(bytes))), 0xddf2);
}

TEST(ChecksumTest, AgreesWithTheDefinitionAtEverySizeAndAlignment) {
  std::mt19937 random(1);
  for (size_t size = 0; size < 300; ++size) {
    std::vector<uint8_t> bytes = RandomBytes(random, size);
    std::vector<uint8_t> shifted(size + 1);
    std::copy(bytes.begin(), bytes.end(), shifted.begin() + 1);
    const uint16_t expected = ReferenceChecksum(bytes);
    EXPECT_EQ(Network(ChecksumOf(SumWords(bytes))), expected) << size;
    EXPECT_EQ(Network(ChecksumOf(SumWords(shifted.data() + 1, size))), expected) << size;
  }
}

TEST(ChecksumTest, FoldsTheLargestSums) {
  EXPECT_EQ(FoldSum(0), 0);
  EXPECT_EQ(FoldSum(0xffff), 0xffff);
  EXPECT_EQ(FoldSum(0x10000), 1);
  EXPECT_EQ(FoldSum(UINT64_MAX), 0xffff) << "a multiple of 0xffff that isn't zero";
  EXPECT_EQ(FoldSum(UINT64_MAX - 1), 0xfffe);
  const std::vector<uint8_t> ones(65536, 0xff);
  EXPECT_EQ(FoldSum(SumWords(ones)), 0xffff);
}

TEST(ChecksumTest, SumWordIsTheWordInMemoryOrder) {
  const uint8_t bytes[2] = {0x12, 0x34};
  EXPECT_EQ(SumWord(0x1234), SumWords(bytes, 2));
}

// What a relay does to a UDP datagram: other addresses and ports, another length, and four bytes
// more or less before the payload. Field for field the update must give what a full computation
// over the new datagram gives, whatever the size, and when either sum is zero.
TEST(ChecksumTest, IncrementalUpdateAgreesWithRecomputation) {
  std::mt19937 random(5);
  int zeros = 0;
  for (int round = 0; round < 200'000; ++round) {
    const std::vector<uint8_t> payload = RandomBytes(random, random() % 64);
    const auto datagram = [&](std::vector<uint8_t> head) {
      head.insert(head.end(), payload.begin(), payload.end());
      return head;
    };
    // 12 bytes of pseudo-header and ports; a UDP datagram's are never all zero (protocol 17).
    std::vector<uint8_t> old_head = RandomBytes(random, 16);
    old_head[9] = 17;
    std::vector<uint8_t> new_head = RandomBytes(random, 12);
    new_head[9] = 17;
    if (round % 8 == 0) {
      // Aim at a zero: choose the last word so that the new datagram sums to 0xffff.
      StoreBe16(&new_head[10], 0);
      StoreBe16(&new_head[10], ReferenceChecksum(datagram(new_head)));
    }
    const uint16_t old_field = UdpChecksumField(ChecksumOf(SumWords(datagram(old_head))));
    const uint64_t removed = FoldSum(SumWords(old_head));
    const uint64_t delta = SumWords(new_head) + NegateSum(static_cast<uint16_t>(removed));
    const uint16_t expected = UdpChecksumField(ChecksumOf(SumWords(datagram(new_head))));
    ASSERT_EQ(UdpChecksumField(UpdateChecksum(old_field, delta)), expected) << "round " << round;
    zeros += expected == 0xffff;
  }
  EXPECT_GT(zeros, 10'000) << "the zero case was meant to be met often";
}

// A corrupt payload stays visibly corrupt: the update carries the error over.
TEST(ChecksumTest, UpdateKeepsAWrongChecksumWrong) {
  std::mt19937 random(6);
  for (int round = 0; round < 10'000; ++round) {
    std::vector<uint8_t> bytes = RandomBytes(random, 40);
    bytes[0] |= 1;
    const uint16_t wrong = static_cast<uint16_t>(ChecksumOf(SumWords(bytes)) ^ 0x0100);
    const uint64_t delta = NegateSum(FoldSum(SumWords(bytes.data(), 4)));
    std::vector<uint8_t> after = bytes;
    after[0] = 0x45, after[1] = 1, after[2] = 2, after[3] = 3;
    const uint16_t updated = UpdateChecksum(wrong, delta + SumWords(after.data(), 4));
    EXPECT_NE(FoldSum(SumWords(after) + updated), 0xffff);
  }
}

TEST(ChecksumTest, UdpZeroIsSentAsOnes) {
  EXPECT_EQ(UdpChecksumField(0), 0xffff);
  EXPECT_EQ(UdpChecksumField(0xffff), 0xffff);
  EXPECT_EQ(UdpChecksumField(1), 1);
}

}  // namespace
}  // namespace sotto
