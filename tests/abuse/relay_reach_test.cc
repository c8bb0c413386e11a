// SPDX-License-Identifier: Apache-2.0
// The rows of the abuse list that are about who reaches whom. See relay_abuse_test.cc.
#include <random>
#include <set>

#include "tests/abuse/relay_abuse.h"

namespace sotto::relay {
namespace {

TEST_F(RelayAbuse, mapped_loopback) {
  Start(AllowAll());
  TestClient client = Client();
  ASSERT_EQ(client.Allocate(now, Dual).relayed().size(), 2u);
  for (std::string_view ip : {"0.0.0.0",
                              "0.0.0.1",
                              "127.0.0.1",
                              "127.255.255.254",
                              "169.254.169.254",
                              "224.0.0.1",
                              "255.255.255.255",
                              "::",
                              "::1",
                              "::127.0.0.1",
                              "::ffff:127.0.0.1",
                              "::ffff:0.0.0.0",
                              "::ffff:169.254.169.254",
                              "::ffff:0:127.0.0.1",
                              "2002:7f00:1::",
                              "2002:a9fe:a9fe::1",
                              "64:ff9b::127.0.0.1",
                              "64:ff9b::169.254.169.254",
                              "64:ff9b:1::127.0.0.1",
                              "64:ff9b:1:7f00:0:100::",
                              "2001:0:7f00:1::1",
                              "2001:0:808:808::80ff:fffe",
                              "2606:4700::5efe:127.0.0.1",
                              "fe80::1",
                              "ff02::1",
                              "fd00:ec2::254"}) {
    ExpectUnreachable(client, {Ip(ip), 7000});
  }
  // The relay itself in other clothes, and its listeners as they are.
  for (std::string_view peer : {"[64:ff9b::192.0.2.10]:50000", "[2002:c000:20a::]:50000"}) {
    ExpectUnreachable(client, At(peer));
  }
  for (std::string_view peer : {"192.0.2.10:3478", "[2001:db8::10]:3478"}) {
    EXPECT_EQ(client.Bind(now, 0x4000, At(peer)).error, 403);
    EXPECT_EQ(client.Send(now, At(peer), Bytes{1}).outcome.discard, Discard::kPeerRefused);
  }
}

TEST_F(RelayAbuse, range_compare) {
  // Prefixes of every length against the definition: the first bits are the same.
  std::mt19937_64 dice(1);
  const auto random_v6 = [&] {
    std::array<uint8_t, 16> bytes;
    for (uint8_t& byte : bytes) byte = static_cast<uint8_t>(dice());
    return bytes;
  };
  for (int round = 0; round < 20'000; ++round) {
    const std::array<uint8_t, 16> network = random_v6();
    const int length = static_cast<int>(dice() % 129);
    std::array<uint8_t, 16> ip = network;
    const int bit = static_cast<int>(dice() % 128);  // the first bit that differs
    ip[bit / 8] ^= static_cast<uint8_t>(0x80 >> (bit % 8));
    const std::array<uint8_t, 16> rest = random_v6();
    for (int i = bit / 8 + 1; i < 16; ++i) ip[i] = rest[i];
    ASSERT_EQ(IpPrefix(IpAddress::V6(network), length).Contains(IpAddress::V6(ip)), bit >= length);
  }
  // And as a client sees it: within the denied range some bytes are below those of its start.
  ServerOptions options = Options();
  options.peers.deny = {*IpPrefix::Parse("2a00:ff80::/25")};
  Start(options);
  TestClient client = Client();
  client.Allocate(now, Dual);
  ExpectUnreachable(client, At("[2a00:ffff:1:1:1:1:1:1]:7000"));
  ExpectUnreachable(client, At("[2a00:ff80::]:7000"));
  EXPECT_TRUE(client.Permit(now, {At("[2a00:ff7f:ffff::1]:7000")}).success());
  EXPECT_TRUE(client.Permit(now, {At("[2a01:ff80::]:7000")}).success());
}

TEST_F(RelayAbuse, internal_reach) {
  ServerOptions options = Options();
  options.peers.allow.clear();
  Start(options);
  TestClient client = Client();
  client.Allocate(now, Dual);
  for (std::string_view ip :
       {"10.0.0.1", "172.16.0.1", "172.31.255.254", "192.168.1.1", "100.64.0.1", "100.100.100.200",
        "169.254.169.254", "168.63.129.16", "192.0.0.192", "198.18.0.1", "fc00::1", "fd00::1",
        "fd00:ec2::254", "fd20:ce::254", "64:ff9b::10.0.0.1", "2002:a00:1::1"}) {
    ExpectUnreachable(client, {Ip(ip), 80});
  }
  // What the operator allows, and no more.
  options.peers.allow = {*IpPrefix::Parse("10.1.0.0/16")};
  Start(options);
  TestClient allowed = Allocated();
  EXPECT_TRUE(allowed.Bind(now, 0x4000, At("10.1.0.1:7000")).success());
  ExpectUnreachable(allowed, At("10.2.0.1:7000"));
}

TEST_F(RelayAbuse, port_scan) {
  // Hosts: as many as an allocation may have permissions.
  Start(AllowAll());
  TestClient client = Allocated();
  int hosts = 0;
  for (uint8_t i = 0; i < 200; ++i) {
    const TransportAddress peer = {IpAddress::V4(8, 8, 8, i), 80};
    if (client.Permit(now, {peer}).success()) ++hosts;
    if (client.Bind(now, 0x4000 + i, peer).success()) continue;
  }
  EXPECT_EQ(hosts, static_cast<int>(Options().limits.max_permissions_per_allocation));

  // Ports, under `call`: of the 65,535 that one permission would open, the other leg's.
  Start(CallOptions());
  TestClient a = Named("x/a");
  TestClient b = Named("x/b");
  a.Allocate(now);
  const TransportAddress other = b.Allocate(now).relayed().at(0);
  ASSERT_TRUE(a.Permit(now, {other}).success());
  std::set<uint16_t> reached;
  for (uint32_t port = 0; port <= 65535; ++port) {
    const TransportAddress peer = {other.ip, static_cast<uint16_t>(port)};
    if (a.Send(now, peer, Bytes{1}).outcome.kind == Outcome::Kind::kToPeer) {
      reached.insert(peer.port);
    }
  }
  EXPECT_EQ(reached, std::set<uint16_t>{other.port});
}

TEST_F(RelayAbuse, tenant_injection) {
  Start(CallOptions());
  TestClient a = Named("x/a");
  TestClient b = Named("x/b");
  const TransportAddress at_a = a.Allocate(now).relayed().at(0);
  const TransportAddress at_b = b.Allocate(now).relayed().at(0);
  ASSERT_TRUE(a.Bind(now, 0x4000, at_b).success());
  ASSERT_TRUE(b.Bind(now, 0x4000, at_a).success());
  TestClient mallory = Named("y/a");
  TestClient accomplice = Named("y/b");
  const TransportAddress at_mallory = mallory.Allocate(now).relayed().at(0);
  accomplice.Allocate(now);

  int delivered = 0;
  const auto pass_on = [&](const Reply& out) {
    if (out.outcome.kind != Outcome::Kind::kToPeer) return;
    delivered += FromPeer(out.outcome.peer, out.outcome.relayed, out.bytes).answered() ? 1 : 0;
  };
  for (const TransportAddress& victim : {at_a, at_b}) {
    mallory.Permit(now, {victim});
    mallory.Bind(now, 0x4000, victim);
    for (int i = 0; i < 100; ++i) {
      pass_on(mallory.Send(now, victim, Bytes(100)));
      pass_on(mallory.SendChannel(now, 0x4000, Bytes(100)));
      // Even past the client side, as if it had got out some other way.
      delivered += FromPeer(victim, at_mallory, Bytes(100)).answered() ? 1 : 0;
    }
  }
  EXPECT_EQ(delivered, 0);
  pass_on(a.SendChannel(now, 0x4000, Bytes(100)));
  EXPECT_EQ(delivered, 1);  // the call itself is as well as ever
}

}  // namespace
}  // namespace sotto::relay
