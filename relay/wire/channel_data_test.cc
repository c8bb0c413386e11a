// SPDX-License-Identifier: Apache-2.0
#include "relay/wire/channel_data.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <vector>

namespace sotto::relay {
namespace {

using ::testing::ElementsAre;
using Bytes = std::vector<uint8_t>;

TEST(ChannelDataTest, ParsesNumberAndData) {
  const Bytes datagram = {0x40, 0x01, 0x00, 0x03, 'a', 'b', 'c'};
  const auto parsed = ParseChannelData(datagram);
  ASSERT_TRUE(parsed);
  EXPECT_EQ(parsed->number, 0x4001);
  EXPECT_THAT(parsed->data, ElementsAre('a', 'b', 'c'));
  EXPECT_EQ(parsed->data.data(), datagram.data() + 4) << "a view, not a copy";
}

TEST(ChannelDataTest, IgnoresPadding) {
  const auto parsed = ParseChannelData(Bytes{0x40, 0x01, 0x00, 0x03, 'a', 'b', 'c', 0x77});
  ASSERT_TRUE(parsed);
  EXPECT_EQ(parsed->data.size(), 3u);
}

TEST(ChannelDataTest, ZeroLengthDataIsData) {
  const auto parsed = ParseChannelData(Bytes{0x4f, 0xff, 0x00, 0x00});
  ASSERT_TRUE(parsed);
  EXPECT_EQ(parsed->number, kMaxChannelNumber);
  EXPECT_TRUE(parsed->data.empty());
}

TEST(ChannelDataTest, RefusesTruncatedAndLyingLengths) {
  EXPECT_FALSE(ParseChannelData(Bytes{}));
  EXPECT_FALSE(ParseChannelData(Bytes{0x40}));
  EXPECT_FALSE(ParseChannelData(Bytes{0x40, 0x00, 0x00}));
  EXPECT_FALSE(ParseChannelData(Bytes{0x40, 0x00, 0x00, 0x01}));
  EXPECT_FALSE(ParseChannelData(Bytes{0x40, 0x00, 0xff, 0xff, 1, 2, 3, 4}));
  EXPECT_FALSE(ParseChannelData(Bytes{0x40, 0x00, 0x00, 0x05, 1, 2, 3, 4}));
  EXPECT_TRUE(ParseChannelData(Bytes{0x40, 0x00, 0x00, 0x04, 1, 2, 3, 4}));
}

TEST(ChannelDataTest, TakesNumbers4000To4fffAndNothingElse) {
  for (uint32_t number = 0; number <= 0xffff; ++number) {
    uint8_t datagram[kChannelDataHeaderSize];
    WriteChannelDataHeader(datagram, static_cast<uint16_t>(number), 0);
    const bool in_range = number >= 0x4000 && number <= 0x4fff;
    ASSERT_EQ(ParseChannelData(datagram).has_value(), in_range) << std::hex << number;
    ASSERT_EQ(LooksLikeChannelData(datagram), in_range) << std::hex << number;
  }
  EXPECT_FALSE(LooksLikeChannelData({}));
}

}  // namespace
}  // namespace sotto::relay
