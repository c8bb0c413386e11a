// SPDX-License-Identifier: Apache-2.0
#include "dataplane/l3/interface.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "dataplane/l3/test_support.h"

namespace sotto::dataplane {
namespace {

using ::testing::HasSubstr;
using testing::Ip;
using testing::Mac;
using testing::Prefix;

Interface Valid() {
  return {.name = "port0",
          .port = 3,
          .vlan = 0,
          .mac = testing::kRelayMac,
          .mtu = 1500,
          .addresses = {{Ip("192.0.2.10"), Prefix("192.0.2.0/24")},
                        {Ip("2001:db8::10"), Prefix("2001:db8::/64")}},
          .gateways = {Ip("192.0.2.1"), Ip("2001:db8::1")}};
}

std::string ErrorOf(std::vector<Interface> interfaces) {
  const absl::StatusOr<InterfaceTable> table = InterfaceTable::Create(std::move(interfaces));
  if (table.ok()) return "OK";
  EXPECT_EQ(table.status().code(), absl::StatusCode::kInvalidArgument);
  return std::string(table.status().message());
}

TEST(MacAddressTest, ParsesWhatItPrints) {
  EXPECT_EQ(Mac("02:00:aB:cd:EF:01").ToString(), "02:00:ab:cd:ef:01");
  EXPECT_EQ(Mac("ff:ff:ff:ff:ff:ff"), MacAddress::Broadcast());
}

TEST(MacAddressTest, RefusesOtherForms) {
  for (const char* text :
       {"", "02:00:00:00:00", "02:00:00:00:00:001", "02-00-00-00-00-01", "02:00:00:00:00:0g",
        "2:0:0:0:0:1", "02:00:00:00:00:01 ", "0200.0000.0001"}) {
    EXPECT_FALSE(MacAddress::Parse(text).ok()) << text;
  }
}

TEST(MacAddressTest, StationsAreNeitherGroupsNorZero) {
  EXPECT_TRUE(Mac("02:00:00:00:00:01").is_station());
  EXPECT_FALSE(Mac("00:00:00:00:00:00").is_station());
  EXPECT_FALSE(Mac("01:00:5e:00:00:01").is_station());
  EXPECT_FALSE(MacAddress::Broadcast().is_station());
}

TEST(InterfaceTableTest, AcceptsAnEmptyTableAndAValidInterface) {
  EXPECT_EQ(ErrorOf({}), "OK");
  EXPECT_EQ(ErrorOf({Valid()}), "OK");
}

TEST(InterfaceTableTest, NamesWhatIsWrong) {
  struct Case {
    void (*spoil)(Interface&);
    const char* says;
  };
  const Case cases[] = {
      {[](Interface& i) { i.vlan = 4095; }, "VLAN 4095"},
      {[](Interface& i) { i.mac = MacAddress::Broadcast(); }, "not a unicast address"},
      {[](Interface& i) { i.mac = {}; }, "not a unicast address"},
      {[](Interface& i) { i.addresses.clear(); }, "no address"},
      {[](Interface& i) { i.mtu = 1279; }, "IPv6 needs at least 1280"},
      {[](Interface& i) { i.mtu = 575, i.addresses.pop_back(), i.gateways.pop_back(); },
       "IPv4 needs at least 576"},
      {[](Interface& i) { i.addresses[0].ip = Ip("203.0.113.1"); }, "outside its subnet"},
      {[](Interface& i) { i.addresses[0].ip = Ip("192.0.2.255"); }, "broadcast address of"},
      {[](Interface& i) { i.addresses[0].ip = Ip("192.0.2.0"); }, "broadcast address of"},
      {[](Interface& i) {
         i.addresses[0] = {Ip("127.0.0.1"), Prefix("127.0.0.0/8")};
       },
       "loopback"},
      {[](Interface& i) {
         i.addresses[0] = {Ip("224.0.0.5"), Prefix("224.0.0.0/8")};
       },
       "multicast"},
      {[](Interface& i) {
         i.addresses[0] = {Ip("240.0.0.5"), Prefix("240.0.0.0/8")};
       },
       "reserved"},
      {[](Interface& i) {
         i.addresses[1] = {Ip("::"), Prefix("::/0")};
       },
       "unspecified"},
      {[](Interface& i) { i.gateways[0] = Ip("203.0.113.1"); }, "in none of its subnets"},
      {[](Interface& i) { i.gateways[0] = Ip("192.0.2.255"); }, "in none of its subnets"},
      {[](Interface& i) { i.gateways[0] = Ip("192.0.2.10"); }, "relay's own address"},
      {[](Interface& i) { i.gateways[0] = Ip("255.255.255.255"); }, "reserved or broadcast"},
      {[](Interface& i) { i.addresses.push_back(i.addresses[0]); }, "occurs twice"},
      {[](Interface& i) { i.addresses.pop_back(), i.gateways[1] = Ip("fe80::1"); },
       "in none of its subnets"},
  };
  for (const Case& c : cases) {
    Interface interface = Valid();
    c.spoil(interface);
    EXPECT_THAT(ErrorOf({interface}), HasSubstr(c.says));
  }
}

TEST(InterfaceTableTest, RefusesTwoInterfacesInOnePlace) {
  Interface other = Valid();
  other.addresses = {{Ip("198.51.100.1"), Prefix("198.51.100.0/24")}};
  other.gateways.clear();
  EXPECT_THAT(ErrorOf({Valid(), other}), HasSubstr("both on VLAN 0"));
  other.vlan = 5;
  EXPECT_EQ(ErrorOf({Valid(), other}), "OK");
  other.addresses = Valid().addresses;
  EXPECT_THAT(ErrorOf({Valid(), other}), HasSubstr("belongs to one interface"));
}

TEST(InterfaceTableTest, RefusesMoreThanThereAreIdsFor) {
  std::vector<Interface> interfaces;
  for (size_t i = 0; i <= kMaxInterfaces; ++i) {
    Interface one = Valid();
    one.port = static_cast<uint16_t>(i);
    one.addresses = {{IpAddress::V4(10, static_cast<uint8_t>(i), 0, 1),
                      IpPrefix(IpAddress::V4(10, static_cast<uint8_t>(i), 0, 0), 24)}};
    one.gateways.clear();
    interfaces.push_back(one);
  }
  EXPECT_THAT(ErrorOf(interfaces), HasSubstr("at most 32"));
  interfaces.pop_back();
  EXPECT_EQ(ErrorOf(interfaces), "OK");
}

TEST(InterfaceTableTest, FindsLocalAddressesAndPorts) {
  const InterfaceTable table = testing::TwoInterfaces();
  EXPECT_EQ(table.FindLocal(Ip("192.0.2.10")), 0);
  EXPECT_EQ(table.FindLocal(Ip("2001:db8:7::1")), 1);
  EXPECT_EQ(table.FindLocal(Ip("192.0.2.11")), std::nullopt);
  EXPECT_EQ(table.FindLocal(Ip("::ffff:192.0.2.10")), std::nullopt);
  EXPECT_EQ(table.FindPort(0, 0), 0);
  EXPECT_EQ(table.FindPort(0, 7), 1);
  EXPECT_EQ(table.FindPort(0, 8), std::nullopt);
  EXPECT_EQ(table.FindPort(1, 0), std::nullopt);
}

void ExpectRoute(const InterfaceTable& table, const char* to, InterfaceId interface,
                 const char* next_hop) {
  const std::optional<Route> route = table.FindRoute(Ip(to));
  ASSERT_TRUE(route) << to;
  EXPECT_EQ(route->interface, interface) << to;
  EXPECT_EQ(route->next_hop, Ip(next_hop)) << to;
}

TEST(InterfaceTableTest, RoutesOnLinkFirstAndElseThroughTheGatewayOfTheFamily) {
  const InterfaceTable table = testing::TwoInterfaces();
  ExpectRoute(table, "192.0.2.77", 0, "192.0.2.77");
  ExpectRoute(table, "198.51.100.5", 1, "198.51.100.5");
  ExpectRoute(table, "198.51.100.200", 0, "192.0.2.1");  // beyond the /25
  ExpectRoute(table, "8.8.8.8", 0, "192.0.2.1");
  ExpectRoute(table, "2001:db8:7::5", 1, "2001:db8:7::5");
  ExpectRoute(table, "2600::1", 0, "fe80::1");
  ExpectRoute(table, "fe80::1", 0, "fe80::1");
}

TEST(InterfaceTableTest, LongestPrefixWinsWhateverTheOrder) {
  Interface wide = Valid();
  wide.addresses = {{Ip("10.0.0.1"), Prefix("10.0.0.0/8")}};
  wide.gateways.clear();
  Interface narrow = wide;
  narrow.vlan = 9;
  narrow.addresses = {{Ip("10.1.2.1"), Prefix("10.1.2.0/24")}};
  const InterfaceTable table = *InterfaceTable::Create({wide, narrow});
  ExpectRoute(table, "10.1.2.9", 1, "10.1.2.9");
  ExpectRoute(table, "10.1.3.9", 0, "10.1.3.9");
  EXPECT_FALSE(table.FindRoute(Ip("11.0.0.1")));  // no gateway
}

TEST(InterfaceTableTest, RoutesNothingToGroupsToItselfOrNowhere) {
  const InterfaceTable table = testing::TwoInterfaces();
  for (const char* to :
       {"192.0.2.10", "2001:db8::10", "192.0.2.255", "192.0.2.0", "255.255.255.255", "224.0.0.1",
        "0.0.0.0", "0.1.2.3", "127.0.0.1", "::", "::1", "ff02::1", "fe80::2", "169.254.1.1",
        "240.0.0.1", "198.51.100.127"}) {
    EXPECT_FALSE(table.FindRoute(Ip(to))) << to;
  }
}

TEST(InterfaceTableTest, PointToPointSubnetsHaveNoBroadcast) {
  Interface interface = Valid();
  interface.addresses = {{Ip("192.0.2.0"), Prefix("192.0.2.0/31")},
                         {Ip("192.0.2.8"), Prefix("192.0.2.8/32")}};
  interface.gateways = {Ip("192.0.2.1")};
  const InterfaceTable table = *InterfaceTable::Create({interface});
  ExpectRoute(table, "192.0.2.1", 0, "192.0.2.1");
  EXPECT_FALSE(table.IsBroadcast(Ip("192.0.2.1")));
}

TEST(InterfaceTableTest, SpeaksFromTheAddressInTheNeighborsSubnet) {
  Interface interface = Valid();
  interface.addresses.push_back({Ip("198.51.100.9"), Prefix("198.51.100.0/24")});
  const InterfaceTable table = *InterfaceTable::Create({interface});
  EXPECT_EQ(table.SourceFor(0, Ip("198.51.100.1")), Ip("198.51.100.9"));
  EXPECT_EQ(table.SourceFor(0, Ip("192.0.2.1")), Ip("192.0.2.10"));
  EXPECT_EQ(table.SourceFor(0, Ip("203.0.113.1")), Ip("192.0.2.10"));
  EXPECT_EQ(table.SourceFor(0, Ip("fe80::1")), Ip("2001:db8::10"));
  interface.addresses.erase(interface.addresses.begin() + 1);
  interface.gateways.pop_back();
  EXPECT_EQ(InterfaceTable::Create({interface})->SourceFor(0, Ip("fe80::1")), std::nullopt);
}

}  // namespace
}  // namespace sotto::dataplane
