// SPDX-License-Identifier: Apache-2.0
#include "relay/turn/peer_policy.h"

#include <gtest/gtest.h>

#include <string_view>
#include <vector>

namespace sotto::relay {
namespace {

IpAddress Ip(std::string_view text) { return *IpAddress::Parse(text); }
TransportAddress At(std::string_view text) { return *TransportAddress::Parse(text); }
std::vector<IpPrefix> Prefixes(std::initializer_list<std::string_view> texts) {
  std::vector<IpPrefix> prefixes;
  for (std::string_view text : texts) prefixes.push_back(*IpPrefix::Parse(text));
  return prefixes;
}

PeerPolicy Policy(PeerPolicyOptions options,
                  std::vector<IpAddress> relay_addresses = {Ip("192.0.2.10"), Ip("2001:db8::10")}) {
  ServerOptions server;
  server.peers = std::move(options);
  server.listen = {At("192.0.2.10:3478"), At("[2001:db8::10]:3478"), At("8.8.4.4:3478")};
  server.relay_addresses = std::move(relay_addresses);
  return PeerPolicy(server);
}

struct Case {
  std::string_view ip;
  PeerClass peer_class;
};
constexpr PeerClass kOrdinary = PeerClass::kOrdinary;
constexpr PeerClass kRestricted = PeerClass::kRestricted;
constexpr PeerClass kForbidden = PeerClass::kForbidden;

constexpr Case kClasses[] = {
    // The edges of each range, and what lies just outside.
    {"0.0.0.0", kForbidden},
    {"0.255.255.255", kForbidden},
    {"1.0.0.0", kOrdinary},
    {"9.255.255.255", kOrdinary},
    {"10.0.0.0", kRestricted},
    {"10.255.255.255", kRestricted},
    {"11.0.0.0", kOrdinary},
    {"100.63.255.255", kOrdinary},
    {"100.64.0.0", kRestricted},
    {"100.100.100.199", kRestricted},
    {"100.100.100.200", kForbidden},  // Alibaba Cloud metadata
    {"100.127.255.255", kRestricted},
    {"100.128.0.0", kOrdinary},
    {"126.255.255.255", kOrdinary},
    {"127.0.0.0", kForbidden},
    {"127.255.255.255", kForbidden},
    {"128.0.0.0", kOrdinary},
    {"168.63.129.15", kOrdinary},
    {"168.63.129.16", kForbidden},  // Azure host agent
    {"169.253.255.255", kOrdinary},
    {"169.254.0.0", kForbidden},
    {"169.254.169.254", kForbidden},
    {"169.254.255.255", kForbidden},
    {"169.255.0.0", kOrdinary},
    {"172.15.255.255", kOrdinary},
    {"172.16.0.0", kRestricted},
    {"172.31.255.255", kRestricted},
    {"172.32.0.0", kOrdinary},
    {"191.255.255.255", kOrdinary},
    {"192.0.0.0", kForbidden},
    {"192.0.0.192", kForbidden},  // Oracle Cloud metadata
    {"192.0.1.0", kOrdinary},
    {"192.0.2.0", kRestricted},
    {"192.0.3.0", kOrdinary},
    {"192.88.99.1", kForbidden},
    {"192.168.0.0", kRestricted},
    {"192.168.255.255", kRestricted},
    {"192.169.0.0", kOrdinary},
    {"198.17.255.255", kOrdinary},
    {"198.18.0.0", kRestricted},
    {"198.19.255.255", kRestricted},
    {"198.20.0.0", kOrdinary},
    {"198.51.100.1", kRestricted},
    {"203.0.113.255", kRestricted},
    {"203.0.114.0", kOrdinary},
    {"223.255.255.255", kOrdinary},
    {"224.0.0.0", kForbidden},
    {"239.255.255.255", kForbidden},
    {"240.0.0.0", kForbidden},
    {"255.255.255.255", kForbidden},

    {"::", kForbidden},
    {"::1", kForbidden},
    {"::7f00:1", kForbidden},  // v4-compatible
    {"::8.8.8.8", kForbidden},
    {"::ffff:127.0.0.1", kForbidden},
    {"::ffff:8.8.8.8", kForbidden},  // mapped: always refused, whatever it maps
    {"::ffff:0:8.8.8.8", kForbidden},
    {"64:ff9b::808:808", kOrdinary},
    {"64:ff9b:1::1", kRestricted},
    {"64:ff9b:2::1", kForbidden},
    {"100::1", kForbidden},
    {"1fff:ffff::1", kForbidden},
    {"2000::1", kOrdinary},
    {"2001::1", kOrdinary},  // Teredo: judged by what it embeds
    {"2001:1::1", kForbidden},
    {"2001:2::1", kRestricted},
    {"2001:20::1", kForbidden},  // ORCHIDv2
    {"2001:1ff:ffff::1", kForbidden},
    {"2001:200::1", kOrdinary},
    {"2001:db7:ffff::1", kOrdinary},
    {"2001:db8::1", kRestricted},
    {"2001:db9::1", kOrdinary},
    {"2002:808:808::1", kOrdinary},
    {"2606:4700:4700::1111", kOrdinary},
    {"3fff::1", kRestricted},
    {"3fff:1000::1", kOrdinary},
    {"4000::1", kForbidden},
    {"5f00::1", kForbidden},
    {"fbff::1", kForbidden},
    {"fc00::1", kRestricted},
    {"fd00:ec2::253", kRestricted},
    {"fd00:ec2::254", kForbidden},  // Amazon EC2 metadata
    {"fd20:ce::254", kForbidden},   // Google Cloud metadata
    {"fdff:ffff::1", kRestricted},
    {"fe00::1", kForbidden},
    {"fe80::1", kForbidden},
    {"febf::1", kForbidden},
    {"fec0::1", kForbidden},
    {"ff02::1", kForbidden},
};

TEST(PeerClass, OfEachRange) {
  for (const Case& c : kClasses) EXPECT_EQ(ClassifyPeer(Ip(c.ip)), c.peer_class) << c.ip;
}

TEST(PeerPolicy, PublicAdmitsTheOrdinaryAlone) {
  const PeerPolicy policy = Policy({});
  for (const Case& c : kClasses) {
    if (!EmbeddedV4(Ip(c.ip)).all().empty()) continue;
    EXPECT_EQ(policy.Allows(Ip(c.ip)), c.peer_class == kOrdinary) << c.ip;
  }
}

TEST(PeerPolicy, AllowAdmitsTheRestrictedAndNeverTheForbidden) {
  const PeerPolicy policy = Policy({.allow = Prefixes({"0.0.0.0/0", "::/0"})});
  for (const Case& c : kClasses) {
    if (!EmbeddedV4(Ip(c.ip)).all().empty()) continue;
    EXPECT_EQ(policy.Allows(Ip(c.ip)), c.peer_class != kForbidden) << c.ip;
  }
}

TEST(PeerPolicy, DenyWinsOverAllow) {
  const PeerPolicy policy = Policy({.allow = Prefixes({"198.51.100.0/24"}),
                                    .deny = Prefixes({"198.51.100.128/25", "8.8.8.0/24"})});
  EXPECT_TRUE(policy.Allows(Ip("198.51.100.127")));
  EXPECT_FALSE(policy.Allows(Ip("198.51.100.128")));
  EXPECT_FALSE(policy.Allows(Ip("8.8.8.8")));
  EXPECT_TRUE(policy.Allows(Ip("8.8.9.8")));
}

TEST(PeerPolicy, JudgesAnIpv6AddressByTheIpv4OneInIt) {
  const PeerPolicy policy = Policy(
      {.allow = Prefixes({"64:ff9b:1::/48", "198.51.100.0/24"}), .deny = Prefixes({"9.9.9.0/24"})});
  const std::pair<std::string_view, bool> cases[] = {
      {"2002:0808:0808::1", true},   // 6to4 of 8.8.8.8
      {"2002:7f00:0001::1", false},  // of 127.0.0.1
      {"2002:a9fe:a9fe::1", false},  // of 169.254.169.254
      {"2002:0a00:0001::1", false},  // of 10.0.0.1
      {"2002:c633:6401::1", true},   // of 198.51.100.1, which is allowed
      {"2002:0909:0909::1", false},  // of 9.9.9.9, which is denied
      {"2002:c000:020a::1", false},  // of the relay itself
      {"64:ff9b::8.8.8.8", true},    // NAT64
      {"64:ff9b::127.0.0.1", false},        {"64:ff9b::169.254.169.254", false},
      {"64:ff9b::192.168.1.1", false},      {"64:ff9b::9.9.9.9", false},
      {"64:ff9b::192.0.2.10", false},                                      // the relay itself
      {"64:ff9b::0.0.0.0", false},          {"64:ff9b:1::8.8.8.8", true},  // local-use NAT64, /96
      {"64:ff9b:1::127.0.0.1", false},      {"64:ff9b:1::", false},  // 0.0.0.0 however it is read
      {"64:ff9b:1:7f00:0:100::", false},                             // 127.0.0.1 after a /48
      {"64:ff9b:1:7f:0:1::", false},                                 // 127.0.0.1 after a /56
      {"64:ff9b:1:0:7f:0:100:0", false},                             // 127.0.0.1 after a /64
      {"2001:0:808:808::f7f7:f7f7", true},   // Teredo: server 8.8.8.8, client 8.8.8.8
      {"2001:0:808:808::80ff:fffe", false},  // client 127.0.0.1
      {"2001:0:7f00:1::f7f7:f7f7", false},   // server 127.0.0.1
      {"2606:4700::5efe:8.8.8.8", true},     // ISATAP
      {"2606:4700::5efe:127.0.0.1", false}, {"2606:4700::200:5efe:10.0.0.1", false},
      {"2606:4700::5eff:127.0.0.1", true},  // just an address
  };
  for (const auto& [ip, allowed] : cases) EXPECT_EQ(policy.Allows(Ip(ip)), allowed) << ip;
}

TEST(PeerPolicy, ReachesTheRelayItselfAtRelayedPortsAlone) {
  // Private and even loopback relay addresses: the packets never leave the relay.
  for (std::string_view own : {"192.0.2.10", "10.0.0.1", "127.0.0.1", "2001:db8::10", "::1"}) {
    for (PeerPolicyKind kind :
         {PeerPolicyKind::kPublic, PeerPolicyKind::kRelay, PeerPolicyKind::kCall}) {
      const PeerPolicy policy = Policy({.kind = kind}, {Ip(own)});
      EXPECT_TRUE(policy.Allows(Ip(own))) << own;
      EXPECT_TRUE(policy.Allows(TransportAddress{Ip(own), 49152})) << own;
      EXPECT_TRUE(policy.Allows(TransportAddress{Ip(own), 65535})) << own;
      for (uint16_t port : {0, 22, 3478, 49151}) {
        EXPECT_FALSE(policy.Allows(TransportAddress{Ip(own), port})) << own << " " << port;
      }
    }
  }
}

TEST(PeerPolicy, RefusesListenersThatAreNotRelayAddresses) {
  const PeerPolicy policy = Policy({});
  EXPECT_FALSE(policy.Allows(At("8.8.4.4:3478")));
  EXPECT_TRUE(policy.Allows(At("8.8.4.4:3479")));
  EXPECT_FALSE(policy.Allows(At("8.8.4.5:0")));
}

TEST(PeerPolicy, RelayAdmitsTheFleetAlone) {
  const PeerPolicy policy = Policy({.kind = PeerPolicyKind::kRelay,
                                    .allow = Prefixes({"192.0.2.11/32", "127.0.0.0/9"}),
                                    .deny = {}});
  EXPECT_TRUE(policy.Allows(Ip("192.0.2.10")));
  EXPECT_TRUE(policy.Allows(Ip("192.0.2.11")));
  EXPECT_FALSE(policy.Allows(Ip("192.0.2.12")));
  EXPECT_FALSE(policy.Allows(Ip("8.8.8.8")));
  EXPECT_FALSE(policy.Allows(Ip("127.0.0.1")));
}

TEST(PeerPolicy, CallAdmitsTheRelayItselfAlone) {
  const PeerPolicy policy =
      Policy({.kind = PeerPolicyKind::kCall, .allow = Prefixes({"0.0.0.0/0"}), .deny = {}});
  EXPECT_TRUE(policy.Allows(Ip("192.0.2.10")));
  EXPECT_FALSE(policy.Allows(Ip("8.8.8.8")));
}

TEST(ForbiddenPrefix, IsOneThatAllowingDoesNothingFor) {
  for (std::string_view text : {"127.0.0.0/8", "127.0.0.1/32", "169.254.0.0/16", "224.0.0.0/8",
                                "::1/128", "fe80::/64", "ff00::/8", "::ffff:0:0/96"}) {
    EXPECT_TRUE(IsForbiddenPrefix(*IpPrefix::Parse(text))) << text;
  }
  for (std::string_view text : {"0.0.0.0/0", "10.0.0.0/8", "126.0.0.0/7", "::/0", "fc00::/7"}) {
    EXPECT_FALSE(IsForbiddenPrefix(*IpPrefix::Parse(text))) << text;
  }
}

}  // namespace
}  // namespace sotto::relay
