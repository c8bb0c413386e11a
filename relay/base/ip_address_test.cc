// SPDX-License-Identifier: Apache-2.0
#include "relay/base/ip_address.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <random>

namespace sotto {
namespace {

using ::testing::HasSubstr;

IpAddress Ip(std::string_view text) { return IpAddress::Parse(text).value(); }
IpPrefix Prefix(std::string_view text) { return IpPrefix::Parse(text).value(); }

TEST(IpAddressTest, ParsesAndPrintsTheCanonicalForm) {
  const struct {
    std::string_view text, canonical;
  } kCases[] = {
      {"0.0.0.0", "0.0.0.0"},
      {"255.255.255.255", "255.255.255.255"},
      {"192.0.2.1", "192.0.2.1"},
      {"::", "::"},
      {"::1", "::1"},
      {"2001:DB8:0:0:0:0:0:1", "2001:db8::1"},
      {"::ffff:192.0.2.1", "::ffff:192.0.2.1"},
      {"64:ff9b::192.0.2.1", "64:ff9b::c000:201"},
      {"fe80::1:2:3:4", "fe80::1:2:3:4"},
  };
  for (const auto& c : kCases) {
    const auto ip = IpAddress::Parse(c.text);
    ASSERT_TRUE(ip.ok()) << ip.status();
    EXPECT_EQ(ip->ToString(), c.canonical);
    EXPECT_EQ(Ip(ip->ToString()), *ip);
  }
}

TEST(IpAddressTest, RefusesWhatIsNotExactlyAnAddress) {
  using namespace std::string_view_literals;
  for (std::string_view text : {""sv,           " "sv,
                                "1"sv,          "1.2.3"sv,
                                "1.2.3.4.5"sv,  "256.0.0.1"sv,
                                "127.1"sv,      "0x7f.0.0.1"sv,
                                "010.0.0.1"sv,  "1.2.3.4 "sv,
                                " 1.2.3.4"sv,   "1.2.3.4/32"sv,
                                "1.2.3.4:80"sv, ":"sv,
                                ":::"sv,        "1::2::3"sv,
                                "[::1]"sv,      "fe80::1%eth0"sv,
                                "12345::"sv,    "1:2:3:4:5:6:7"sv,
                                "::1/128"sv,    "127.0.0.1\0.example"sv,
                                "::1\0"sv}) {
    EXPECT_FALSE(IpAddress::Parse(text).ok()) << "\"" << text << "\"";
  }
}

TEST(IpAddressTest, FamiliesAreNeverEqual) {
  EXPECT_NE(Ip("192.0.2.1"), Ip("::ffff:192.0.2.1"));
  EXPECT_NE(Ip("0.0.0.0"), Ip("::"));
  EXPECT_EQ(IpAddress(), Ip("0.0.0.0"));
  EXPECT_EQ(Ip("1.2.3.4").bytes().size(), 4u);
  EXPECT_EQ(Ip("::").bytes().size(), 16u);
}

TEST(IpAddressTest, OrderIsThatOfTheIntegers) {
  std::mt19937 random(7);
  for (int i = 0; i < 2000; ++i) {
    std::array<uint8_t, 16> a, b;
    for (uint8_t& byte : a) byte = static_cast<uint8_t>(random());
    b = a;
    b[random() % 16] = static_cast<uint8_t>(random());
    b[random() % 16] = static_cast<uint8_t>(random());
    const IpAddress x = IpAddress::V6(a), y = IpAddress::V6(b);
    EXPECT_EQ(x < y, x.ToInteger() < y.ToInteger());
  }
}

TEST(IpPrefixTest, Parses) {
  EXPECT_EQ(Prefix("192.0.2.0/24").ToString(), "192.0.2.0/24");
  EXPECT_EQ(Prefix("192.0.2.7").ToString(), "192.0.2.7/32");
  EXPECT_EQ(Prefix("2001:db8::/32").ToString(), "2001:db8::/32");
  EXPECT_EQ(Prefix("::1").length(), 128);
  EXPECT_EQ(Prefix("0.0.0.0/0").length(), 0);
  EXPECT_EQ(IpPrefix(Ip("192.0.2.255"), 25).ToString(), "192.0.2.128/25");
}

TEST(IpPrefixTest, RefusesWithARemedy) {
  for (std::string_view text : {"192.0.2.0/", "192.0.2.0/33", "192.0.2.0/-1", "192.0.2.0/+8",
                                "192.0.2.0/ 8", "::/129", "192.0.2.0/24/24", "/24", "x/8"}) {
    EXPECT_FALSE(IpPrefix::Parse(text).ok()) << text;
  }
  EXPECT_THAT(IpPrefix::Parse("192.0.2.1/24").status().message(), HasSubstr("192.0.2.0/24"));
  EXPECT_THAT(IpPrefix::Parse("::/129").status().message(), HasSubstr("0 to 128"));
}

// The class range-compare of relays elsewhere: comparing byte by byte says that
// 2001:db8:1:ff00:: lies outside 2001:db8:0:8000::-2001:db8:2:10::, because ff > 10.
TEST(IpPrefixTest, RangeCompare) {
  const struct {
    std::string_view prefix, ip;
    bool contains;
  } kCases[] = {
      {"0.0.0.0/0", "255.255.255.255", true},
      {"::/0", "ffff::", true},
      {"0.0.0.0/0", "::", false},
      {"::/0", "0.0.0.0", false},
      {"10.0.0.0/8", "10.255.0.1", true},
      {"10.0.0.0/8", "11.0.0.0", false},
      {"10.0.0.0/8", "9.255.255.255", false},
      {"172.16.0.0/12", "172.31.255.255", true},
      {"172.16.0.0/12", "172.32.0.0", false},
      {"192.0.2.7/32", "192.0.2.7", true},
      {"192.0.2.7/32", "192.0.2.6", false},
      {"2001:db8::/47", "2001:db8:1:ff00::1", true},
      {"2001:db8::/47", "2001:db8:2::", false},
      {"2001:db8:0:8000::/49", "2001:db8:0:ffff:ffff:ffff:ffff:ffff", true},
      {"2001:db8:0:8000::/49", "2001:db8:0:7fff::", false},
      {"fe80::/10", "febf:ffff::", true},
      {"fe80::/10", "fec0::", false},
      {"::ffff:0:0/96", "::ffff:10.0.0.1", true},
      {"::ffff:0:0/96", "10.0.0.1", false},
      {"2001:db8::1/128", "2001:db8::1", true},
      {"2001:db8::1/128", "2001:db8::3", false},
  };
  for (const auto& c : kCases) {
    EXPECT_EQ(Prefix(c.prefix).Contains(Ip(c.ip)), c.contains) << c.ip << " in " << c.prefix;
  }
}

// A prefix holds exactly the addresses that share its first bits, looked at one by one.
TEST(IpPrefixTest, ContainsAgreesWithTheBits) {
  std::mt19937 random(3);
  const auto bit = [](const IpAddress& ip, int i) {
    return (ip.bytes()[i / 8] >> (7 - i % 8)) & 1;
  };
  for (int round = 0; round < 5000; ++round) {
    std::array<uint8_t, 16> base;
    for (uint8_t& byte : base) byte = static_cast<uint8_t>(random());
    std::array<uint8_t, 16> other = base;
    other[random() % 16] ^= static_cast<uint8_t>(1u << (random() % 8));
    const bool v4 = round % 2 == 0;
    const auto make = [v4](const std::array<uint8_t, 16>& b) {
      return v4 ? IpAddress::V4(b[0], b[1], b[2], b[3]) : IpAddress::V6(b);
    };
    const IpAddress a = make(base), b = make(other);
    const int length = static_cast<int>(random() % (v4 ? 33 : 129));
    bool same = true;
    for (int i = 0; i < length; ++i) same = same && bit(a, i) == bit(b, i);
    ASSERT_EQ(IpPrefix(a, length).Contains(b), same)
        << a.ToString() << "/" << length << " and " << b.ToString();
  }
}

TEST(TransportAddressTest, ParsesAndPrints) {
  for (std::string_view text :
       {"192.0.2.1:3478", "[2001:db8::1]:3478", "0.0.0.0:0", "[::]:65535"}) {
    const auto address = TransportAddress::Parse(text);
    ASSERT_TRUE(address.ok()) << address.status();
    EXPECT_EQ(address->ToString(), text);
  }
}

TEST(TransportAddressTest, RefusesWhatIsNotAnAddressWithAPort) {
  for (std::string_view text :
       {"", ":", "192.0.2.1", "192.0.2.1:", ":3478", "192.0.2.1:65536", "192.0.2.1:-1",
        "192.0.2.1:+1", "192.0.2.1: 1", "192.0.2.1:1x", "2001:db8::1:3478", "[192.0.2.1]:3478",
        "[2001:db8::1]", "[2001:db8::1:3478", "2001:db8::1]:3478", "[]:1", "host:1",
        "192.0.2.1:000001"}) {
    EXPECT_FALSE(TransportAddress::Parse(text).ok()) << "\"" << text << "\"";
  }
}

}  // namespace
}  // namespace sotto
