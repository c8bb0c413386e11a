// SPDX-License-Identifier: Apache-2.0
#include "signaling/signald/front/connection_limits.h"

#include <gtest/gtest.h>

#include <vector>

namespace sotto::signaling {
namespace {

constexpr MonotonicMs kStart = 1'000'000;

IpAddress Ip(std::string_view text) { return *IpAddress::Parse(text); }

TEST(ConnectionLimits, BoundsAllAndEachPrefix) {
  const auto limits = std::make_shared<ConnectionLimits>(4, 2);
  std::vector<ConnectionLimits::Place> places;
  const auto take = [&](std::string_view source) {
    auto place = limits->Take(Ip(source), kStart);
    if (place) places.push_back(*std::move(place));
    return place.has_value();
  };
  EXPECT_TRUE(take("2001:db8::1"));
  EXPECT_TRUE(take("2001:db8::ffff:2"));
  EXPECT_FALSE(take("2001:db8::3")) << "the same /64";
  EXPECT_TRUE(take("2001:db8:0:1::1"));
  EXPECT_TRUE(take("192.0.2.1"));
  EXPECT_FALSE(take("192.0.2.2")) << "four in all";
  EXPECT_EQ(limits->taken(), 4u);
  places.pop_back();
  EXPECT_EQ(limits->taken(), 3u);
  EXPECT_TRUE(take("192.0.2.2"));
}

TEST(ConnectionLimits, APlaceThatWasMovedIsGivenBackOnce) {
  const auto limits = std::make_shared<ConnectionLimits>(4, 2);
  {
    auto place = limits->Take(Ip("192.0.2.1"), kStart);
    const ConnectionLimits::Place moved(*std::move(place));
    place.reset();
    EXPECT_EQ(limits->taken(), 1u);
  }
  EXPECT_EQ(limits->taken(), 0u);
}

TEST(ConnectionLimits, ReconnectingOverAndOverIsBounded) {
  const auto limits = std::make_shared<ConnectionLimits>(100, 2);
  MonotonicMs now = kStart;
  int opened = 0;
  while (limits->Take(Ip("192.0.2.1"), now)) ++opened;
  EXPECT_EQ(opened, 8);
  EXPECT_TRUE(limits->Take(Ip("192.0.2.2"), now)) << "others aren't held back";
  EXPECT_FALSE(limits->Take(Ip("192.0.2.1"), now + 7'499));
  EXPECT_TRUE(limits->Take(Ip("192.0.2.1"), now + 7'500)) << "eight a minute";
  now += 3'600'000;
  opened = 0;
  while (limits->Take(Ip("192.0.2.1"), now)) ++opened;
  EXPECT_EQ(opened, 8) << "an hour's pause is worth no more";
}

TEST(ConnectionLimits, ManyPrefixesDontFillTheMemory) {
  const auto limits = std::make_shared<ConnectionLimits>(10, 2);
  const auto held = limits->Take(Ip("192.0.2.1"), kStart);
  for (uint8_t i = 0; i < 250; ++i) {
    EXPECT_TRUE(limits->Take(IpAddress::V4(198, 51, 100, i), kStart));
    EXPECT_LE(limits->prefixes(), 20u);
  }
  EXPECT_EQ(limits->taken(), 1u);
}

}  // namespace
}  // namespace sotto::signaling
