// SPDX-License-Identifier: Apache-2.0
// Relayed addresses out of a virtual prefix.
#include <set>

#include "relay/turn/calls_fixture.h"

namespace sotto::relay {
namespace {

using enum StunAttributeType;

class VirtualRelayedTest : public CallsTest {
 protected:
  static ServerOptions VirtualOptions(std::string_view prefix = "100.64.0.0/24") {
    ServerOptions options = CallOptions();
    options.relay_addresses.clear();
    options.virtual_prefix.emplace(*IpPrefix::Parse(prefix));
    options.limits.max_allocations = 200;
    return options;
  }
  TestClient Alone(const std::function<void(StunBuilder&)>& extra, int expected) {
    TestClient client = Named("alone" + std::to_string(alone_++) + "/a");
    const Reply reply = client.Allocate(now, extra);
    EXPECT_EQ(reply.error, expected);
    return client;
  }

 private:
  int alone_ = 0;
};

TEST_F(VirtualRelayedTest, EveryAllocationHasAnAddressOfItsOwn) {
  Start(VirtualOptions());
  std::set<IpAddress> seen;
  for (int i = 0; i < 200; ++i) {
    const Party party = Join("call" + std::to_string(i) + "/a");
    EXPECT_TRUE(IpPrefix::Parse("100.64.0.0/24")->Contains(party.relayed.ip));
    EXPECT_GE(party.relayed.port, 49152);
    EXPECT_TRUE(seen.insert(party.relayed.ip).second) << party.relayed.ToString();
  }
  EXPECT_EQ(Named("one-more/a").Allocate(now).error, 508);
  EXPECT_EQ(server->ports_in_use(), server->ports_held());
}

TEST_F(VirtualRelayedTest, PortsCannotBeGuessed) {
  Start(VirtualOptions());
  std::set<uint16_t> ports;
  for (int i = 0; i < 100; ++i) {
    ports.insert(Join("call" + std::to_string(i) + "/a").relayed.port);
  }
  EXPECT_GT(ports.size(), 90u);
}

TEST_F(VirtualRelayedTest, MediaFlowsBetweenTheLegsOfAnArmedCallAlone) {
  Start(VirtualOptions());
  auto [a, b] = Pair("x");
  auto [c, d] = Pair("y");
  EXPECT_FALSE(Flows(a, b));
  ASSERT_TRUE(server->ArmCall("x", now).ok());
  ASSERT_TRUE(server->ArmCall("y", now).ok());
  EXPECT_TRUE(Flows(a, b));
  EXPECT_TRUE(Flows(b, a));
  // A third leg, though it knows the address.
  EXPECT_TRUE(c.client.Permit(now, {a.relayed}).success());
  EXPECT_EQ(c.client.Bind(now, 0x4001, a.relayed).error, 403);
  EXPECT_EQ(c.client.Send(now, a.relayed, Bytes{1}).outcome.discard, Discard::kCallNotArmed);
  // Each leg has an address of its own, so not even the permission lets it in.
  EXPECT_EQ(FromPeer(a.relayed, c.relayed, Bytes{1}).outcome.discard, Discard::kNoPermission);
  EXPECT_TRUE(a.client.Permit(now, {c.relayed}).success());
  EXPECT_EQ(FromPeer(a.relayed, c.relayed, Bytes{1}).outcome.discard, Discard::kCallNotArmed);
}

TEST_F(VirtualRelayedTest, AnAddressIsReachedAtItsOwnPortAlone) {
  Start(VirtualOptions());
  auto [a, b] = Pair("x");
  ASSERT_TRUE(server->ArmCall("x", now).ok());
  const TransportAddress beside = {b.relayed.ip, static_cast<uint16_t>(b.relayed.port ^ 1)};
  EXPECT_EQ(a.client.Bind(now, 0x4001, beside).error, 403);
  EXPECT_EQ(FromPeer(beside, a.relayed, Bytes{1}).outcome.discard, Discard::kNoAllocation);
}

TEST_F(VirtualRelayedTest, NoPeerOutsideCanBePermitted) {
  Start(VirtualOptions());
  Party a = Join("x/a");
  for (const char* outside : {"198.51.100.1:7", "192.0.2.10:3478", "100.65.0.1:7"}) {
    EXPECT_EQ(a.client.Permit(now, {At(outside)}).error, 403) << outside;
  }
}

TEST_F(VirtualRelayedTest, AnAddressGoesToAnotherAllocationWithoutOldChannels) {
  Start(VirtualOptions());
  auto [a, b] = Pair("x");
  ASSERT_TRUE(server->ArmCall("x", now).ok());
  EXPECT_TRUE(b.client.Refresh(now, 0).success());
  Party c = Join("y/b");
  EXPECT_EQ(c.relayed.ip, b.relayed.ip) << "the slot is used again";
  ASSERT_TRUE(server->ArmCall("y", now).ok());
  EXPECT_FALSE(Flows(a, c));
}

TEST_F(VirtualRelayedTest, EvenPortsAreEvenAndCannotReserveTheNext) {
  ServerOptions options = VirtualOptions();
  options.relay_ports = {50001, 50002};
  Start(options);
  for (int i = 0; i < 20; ++i) {
    Alone([](StunBuilder& b) { b.Add(kEvenPort, Bytes{0}); }, 0);
  }
  server->ForEachAllocation(0, UINT32_MAX, false, [](const AllocationInfo& info) {
    EXPECT_EQ(info.relayed_v4->port, 50002);
  });
  Alone([](StunBuilder& b) { b.Add(kEvenPort, Bytes{0x80}); }, 508);
}

TEST_F(VirtualRelayedTest, TheFamilyIsThePrefixs) {
  Start(VirtualOptions());
  Alone([](StunBuilder& b) { b.AddU8(kRequestedAddressFamily, 2); }, 440);
  Start(VirtualOptions("fd00:50::/64"));
  Alone([](StunBuilder& b) { b.AddU8(kRequestedAddressFamily, 1); }, 440);
  TestClient client = Named("six/a");
  const Reply reply =
      client.Allocate(now, [](StunBuilder& b) { b.AddU8(kRequestedAddressFamily, 2); });
  ASSERT_TRUE(reply.success());
  EXPECT_TRUE(IpPrefix::Parse("fd00:50::/64")->Contains(reply.relayed().at(0).ip));
}

TEST_F(VirtualRelayedTest, OptionsThatCannotBeMeantAreRefused) {
  const auto complaint = [](const std::function<void(ServerOptions&)>& spoil) {
    ServerOptions options = VirtualOptions();
    spoil(options);
    const absl::Status status = options.Validate();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
    EXPECT_NE(status.message().find("virtual_prefix"), absl::string_view::npos) << status;
    return std::string(status.message());
  };
  EXPECT_TRUE(VirtualOptions().Validate().ok());
  complaint([](auto& o) { o.peers.kind = PeerPolicyKind::kRelay; });
  complaint([](auto& o) { o.relay_addresses = {Ip("192.0.2.10")}; });
  complaint([](auto& o) { o.limits.max_allocations = 255; });
  complaint([](auto& o) { o.virtual_prefix.emplace(*IpPrefix::Parse("192.0.2.0/24")); });
  complaint([](auto& o) { o.virtual_prefix.emplace(*IpPrefix::Parse("127.0.0.0/8")); });
}

}  // namespace
}  // namespace sotto::relay
