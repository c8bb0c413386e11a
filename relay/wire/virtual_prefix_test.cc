// SPDX-License-Identifier: Apache-2.0
#include "relay/wire/virtual_prefix.h"

#include <gtest/gtest.h>

namespace sotto::relay {
namespace {

VirtualPrefix Prefix(const char* text) { return VirtualPrefix(IpPrefix::Parse(text).value()); }
IpAddress Ip(const char* text) { return IpAddress::Parse(text).value(); }

TEST(VirtualPrefixTest, EachIndexHasAnAddressOfItsOwnWithinThePrefix) {
  for (const char* text : {"100.64.0.0/22", "10.255.252.0/22", "fd00::/118", "fd00:1:2:3::/64"}) {
    const VirtualPrefix prefix = Prefix(text);
    IpAddress last = prefix.prefix().address();
    for (uint32_t index = 0; index < std::min(prefix.capacity(), 1022u); ++index) {
      const IpAddress ip = prefix.At(index);
      EXPECT_LT(last, ip);
      EXPECT_TRUE(prefix.prefix().Contains(ip)) << ip.ToString();
      EXPECT_EQ(prefix.IndexOf(ip), index);
      last = ip;
    }
  }
}

TEST(VirtualPrefixTest, FirstAndLastAddressAreNobodys) {
  const VirtualPrefix prefix = Prefix("100.64.0.0/30");
  EXPECT_EQ(prefix.capacity(), 2u);
  EXPECT_EQ(prefix.At(0), Ip("100.64.0.1"));
  EXPECT_EQ(prefix.At(1), Ip("100.64.0.2"));
  EXPECT_GE(*prefix.IndexOf(Ip("100.64.0.0")), prefix.capacity());
  EXPECT_GE(*prefix.IndexOf(Ip("100.64.0.3")), prefix.capacity());
}

TEST(VirtualPrefixTest, OutsideThereIsNoIndex) {
  EXPECT_FALSE(Prefix("100.64.0.0/10").IndexOf(Ip("100.128.0.0")));
  EXPECT_FALSE(Prefix("100.64.0.0/10").IndexOf(Ip("100.63.255.255")));
  EXPECT_FALSE(Prefix("100.64.0.0/10").IndexOf(Ip("::ffff:100.64.0.1")));
  EXPECT_FALSE(Prefix("fd00::/96").IndexOf(Ip("fd00::1:0:0")));
  EXPECT_FALSE(Prefix("fd00::/96").IndexOf(Ip("100.64.0.1")));
  // Within a prefix of more than 32 host bits, but none that At() gives.
  EXPECT_EQ(Prefix("fd00::/64").IndexOf(Ip("fd00::1:0:1")), UINT32_MAX);
}

TEST(VirtualPrefixTest, HoldsAsManyAsItsHostBitsSay) {
  EXPECT_EQ(Prefix("100.64.0.0/10").capacity(), (1u << 22) - 2);
  EXPECT_EQ(Prefix("192.0.2.1/32").capacity(), 0u);
  EXPECT_EQ(Prefix("192.0.2.0/31").capacity(), 0u);
  EXPECT_EQ(Prefix("fd00::/8").capacity(), UINT32_MAX - 3);
}

}  // namespace
}  // namespace sotto::relay
