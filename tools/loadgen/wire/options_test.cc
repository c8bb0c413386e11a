// SPDX-License-Identifier: Apache-2.0
#include "tools/loadgen/wire/options.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdio>
#include <fstream>
#include <iterator>
#include <map>
#include <set>

#include "tools/loadgen/wire/packet.h"
#include "tools/loadgen/wire/pcap.h"

namespace sotto::tools {
namespace {

using ::testing::HasSubstr;

WireOptions Options() {
  WireOptions options;
  options.server = TransportAddress::Parse("192.0.2.10:3478").value();
  options.clients = IpPrefix::Parse("198.51.100.0/24").value();
  options.legs = 10'000;
  options.user = "demo";
  options.password = "a-long-secret";
  return options;
}

TEST(WireOptions, NamesWhatIsWrong) {
  EXPECT_TRUE(Options().Validate().ok());
  const auto wrong = [](auto change, std::string_view flag) {
    WireOptions options = Options();
    change(options);
    EXPECT_THAT(std::string(options.Validate().message()), HasSubstr(std::string(flag)));
  };
  wrong([](auto& o) { o.legs = 3; }, "--legs");
  wrong([](auto& o) { o.legs = 0; }, "--legs");
  wrong([](auto& o) { o.queues = 3; }, "--queues");
  wrong([](auto& o) { o.clients = *IpPrefix::Parse("198.51.100.7"), o.legs = 70'000; },
        "--clients 198.51.100.7/32");
  wrong([](auto& o) { o.clients = *IpPrefix::Parse("192.0.2.0/24"); }, "must not hold");
  wrong([](auto& o) { o.server = *TransportAddress::Parse("[2001:db8::1]:3478"); }, "IPv4");
  wrong([](auto& o) { o.user = ""; }, "--mirror");
  wrong([](auto& o) { o.secret = "both"; }, "--secret");
  wrong([](auto& o) { o.call_policy = true; }, "--call-policy");
  wrong([](auto& o) { o.rate = 5, o.find_rate = true; }, "--find-rate");
  wrong([](auto& o) { o.pcap_only = true; }, "--pcap");
  wrong([](auto& o) { o.search.max_loss = 1; }, "--loss");
  wrong([](auto& o) { o.search.precision = 0; }, "--precision");
}

TEST(WireOptions, EveryLegHasAnAddressOfThePrefixAndAPortOfItsOwn) {
  for (const auto& [prefix, legs] : std::map<std::string, uint32_t>{{"198.51.100.0/24", 10'000},
                                                                    {"10.0.0.0/8", 1'048'576},
                                                                    {"198.51.100.9", 60'000},
                                                                    {"198.51.100.8/31", 100'000},
                                                                    {"198.51.100.8/30", 4}}) {
    WireOptions options = Options();
    options.clients = IpPrefix::Parse(prefix).value();
    options.legs = legs;
    ASSERT_TRUE(options.Validate().ok()) << options.Validate().message();
    const WirePlan plan = options.MakePlan();
    std::set<std::pair<uint32_t, uint16_t>> used;
    for (uint32_t leg = 0; leg < legs; ++leg) {
      ASSERT_TRUE(options.clients.Contains(plan.AddressOf(leg).ip))
          << plan.AddressOf(leg).ToString();
      ASSERT_EQ(plan.LegAt(plan.IpOf(leg), plan.PortOf(leg)), leg);
      if (legs <= 10'000) used.emplace(plan.IpOf(leg), plan.PortOf(leg));
    }
    if (legs <= 10'000) {
      EXPECT_EQ(used.size(), legs);
    }
  }
}

TEST(WireOptions, ReadsMacAddresses) {
  const auto mac = ParseWireMac("02:00:c0:00:02:0a");
  ASSERT_TRUE(mac.ok());
  EXPECT_EQ(WireMacToString(*mac), "02:00:c0:00:02:0a");
  for (const char* text : {"", "02:00:c0:00:02", "02:00:c0:00:02:0a:", "02:00:c0:00:02:0g"}) {
    EXPECT_FALSE(ParseWireMac(text).ok()) << text;
  }
}

TEST(WireMix, SizesComeInTheirShares) {
  const WireMix mix = *WireMix::Named("imix");
  std::map<uint16_t, int> counts;
  for (uint32_t sequence = 0; sequence < 12'000; ++sequence) {
    ++counts[mix.payload(mix.IndexFor(5, sequence))];
  }
  EXPECT_NEAR(counts[14], 7000, 100);
  EXPECT_NEAR(counts[544], 4000, 100);
  EXPECT_NEAR(counts[1468], 1000, 100);
  EXPECT_NEAR(mix.mean_frame(), (7 * 60 + 4 * 590 + 1514) / 12.0, 5);
  EXPECT_EQ(mix.max_payload(), 1468);
  // Legs don't all send their large packets together.
  std::set<size_t> first;
  for (uint32_t leg = 0; leg < 100; ++leg) first.insert(mix.IndexFor(leg, 0));
  EXPECT_EQ(first.size(), 3u);
}

TEST(WireMix, RefusesSizesThatNoPacketCanHave) {
  EXPECT_FALSE(WireMix::Of(13).ok());
  EXPECT_TRUE(WireMix::Of(14).ok());
  EXPECT_TRUE(WireMix::Of(1468).ok());
  EXPECT_FALSE(WireMix::Of(1469).ok());
  EXPECT_FALSE(WireMix::Of(65'536 + 100).ok());
  EXPECT_FALSE(WireMix::Named("jumbo").ok());
  EXPECT_FALSE(WireMix::Of(std::vector<WireMix::Share>{}).ok());
  EXPECT_EQ(WireMix::Named("64")->mean_frame(), 60) << "and 4 bytes of frame check sequence";
}

TEST(PcapWriter, WritesWhatItWasGiven) {
  const std::string path = testing::TempDir() + "/sotto_wire_test.pcap";
  auto writer = PcapWriter::Create(path);
  ASSERT_TRUE(writer.ok());
  const std::vector<uint8_t> frame = {1, 2, 3, 4, 5};
  writer->Write(3'000'007'999, frame);
  ASSERT_TRUE(writer->Close().ok());
  std::ifstream file(path, std::ios::binary);
  const std::vector<uint8_t> bytes((std::istreambuf_iterator<char>(file)), {});
  std::remove(path.c_str());
  const std::vector<uint8_t> expected = {0xd4, 0xc3, 0xb2, 0xa1, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0,
                                         0,    0xff, 0xff, 0,    0, 1, 0, 0, 0, 3, 0, 0, 0, 7, 0,
                                         0,    0,    5,    0,    0, 0, 5, 0, 0, 0, 1, 2, 3, 4, 5};
  EXPECT_EQ(bytes, expected);
  EXPECT_FALSE(PcapWriter::Create("/nonexistent/x.pcap").ok());
}

}  // namespace
}  // namespace sotto::tools
