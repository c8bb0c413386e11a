// SPDX-License-Identifier: Apache-2.0
// 100,000 requests at random: whatever clients do, and whenever the plane is full, ports in use are
// ports held, the plane holds what the server holds, and nothing is left when all lifetimes end.
#include <random>
#include <set>

#include "relay/turn/server_fixture.h"

namespace sotto::relay {
namespace {

using enum StunAttributeType;

class RandomWalk : public ServerTest {
 protected:
  static constexpr int kClients = 60;

  uint32_t Roll(uint32_t bound) { return static_cast<uint32_t>(dice_() % bound); }

  TransportAddress SomePeer() {
    switch (Roll(6)) {
      case 0:
        return {IpAddress::V4(198, 51, 100, static_cast<uint8_t>(Roll(12))), 7000};
      case 1:
        return {Ip("2001:db8:1::1"), static_cast<uint16_t>(7000 + Roll(12))};
      case 2:
        return At("127.0.0.1:7000");
      case 3:
        return {Ip("2001:db8::10"), static_cast<uint16_t>(50000 + Roll(64))};
      default:
        return {Ip("192.0.2.10"), static_cast<uint16_t>(50000 + Roll(64))};
    }
  }

  Reply Step(TestClient& client) {
    switch (Roll(16)) {
      case 0:
      case 1:
      case 2:
      case 3:
        return client.Allocate(now, [&](StunBuilder& b) {
          if (Roll(4) == 0) b.AddU32(kLifetime, Roll(4000));
          if (Roll(4) == 0) b.AddU8(kAdditionalAddressFamily, static_cast<uint8_t>(1 + Roll(3)));
          if (Roll(6) == 0) b.AddU8(kRequestedAddressFamily, static_cast<uint8_t>(Roll(4)));
          if (Roll(3) == 0) {
            const uint8_t even[] = {static_cast<uint8_t>(Roll(2) << 7)};
            b.Add(kEvenPort, even);
          }
          if (Roll(5) == 0 && !tokens_.empty()) {
            b.Add(kReservationToken, tokens_[Roll(static_cast<uint32_t>(tokens_.size()))]);
          }
        });
      case 4:
      case 5:
        return client.Refresh(now, Roll(3) == 0 ? 0 : Roll(4000));
      case 6:
        return client.Refresh(now, Roll(2) * 600, Roll(2) == 0 ? IpFamily::kV4 : IpFamily::kV6);
      case 7:
        return client.Permit(now, {SomePeer()});
      case 8:
        return client.Permit(now, {SomePeer(), SomePeer(), SomePeer()});
      case 9:
      case 10:
      case 11:
        return client.Bind(now, static_cast<uint16_t>(0x3fff + Roll(8)), SomePeer());
      case 12:
        return client.Send(now, SomePeer(), Bytes{1, 2, 3});
      case 13:
        return client.SendChannel(now, static_cast<uint16_t>(0x4000 + Roll(8)), Bytes{1});
      case 14:
        return last_request_.empty() ? Reply() : client.SendRaw(last_request_, now);
      default:
        last_request_ = client.Build(StunMethod::kAllocate, client.NewId(), TestClient::AddUdp);
        return client.SendRaw(last_request_, now);
    }
  }

  // What an operator may change, in the midst of everything.
  void Reconfigure() {
    ServerOptions options = server->options();
    options.peers.deny.clear();
    if (Roll(3) == 0) options.peers.deny.push_back(*IpPrefix::Parse("198.51.100.2/31"));
    options.limits.max_allocations_per_user = Roll(3) == 0 ? 0 : 20;
    options.limits.rates.bytes_per_user = Roll(2) == 0 ? 0 : 100'000;
    ASSERT_TRUE(server->Reconfigure(options).ok());
  }

  void Look(const Reply& reply, TestClient& client) {
    if (reply.error == 438 || reply.error == 401) client.Learn(reply);
    const auto message = reply.message();
    if (!message) return;
    errors_.insert(reply.error);
    if (const auto token = message->Find(kReservationToken)) {
      tokens_.emplace_back(token->value.begin(), token->value.end());
      if (tokens_.size() > 20) tokens_.erase(tokens_.begin());
    }
  }

  void CheckInvariants() {
    ASSERT_EQ(server->ports_in_use(), server->ports_held());
    ASSERT_EQ(plane.legs.size(), server->allocation_count());
    std::set<TransportAddress> relayed;
    size_t legs = 0;
    server->ForEachAllocation(0, UINT32_MAX, false, [&](const AllocationInfo& info) {
      ++legs;
      const RecordingPlane::Leg& leg = plane.legs.at(info.id);
      EXPECT_EQ(leg.leg.path, info.path);
      EXPECT_EQ(leg.leg.relayed_v4, info.relayed_v4);
      EXPECT_EQ(leg.leg.relayed_v6, info.relayed_v6);
      EXPECT_EQ(leg.leg.expires_at, info.expires_at);
      EXPECT_EQ(leg.permissions.size(), info.permissions);
      EXPECT_EQ(leg.channels.size(), info.channels);
      EXPECT_TRUE(info.relayed_v4 || info.relayed_v6);
      for (const auto& address : {info.relayed_v4, info.relayed_v6}) {
        EXPECT_TRUE(!address || relayed.insert(*address).second);
      }
    });
    ASSERT_EQ(legs, server->allocation_count());
  }

  std::mt19937_64 dice_{20261122};
  std::vector<Bytes> tokens_;
  Bytes last_request_;
  std::set<int> errors_;
};

TEST_F(RandomWalk, LeaksNoPortAndLeavesNothing) {
  ServerOptions options = Options();
  options.relay_ports = {50000, 50063};  // scarce
  options.limits.max_allocations = 50;
  options.limits.max_allocations_per_user = 20;
  options.limits.max_permissions_per_allocation = 6;
  options.limits.max_channels_per_allocation = 5;
  options.limits.unauthenticated_excess_rate = 1'000'000;
  Start(options);
  std::vector<TestClient> clients;
  for (int i = 0; i < kClients; ++i) {
    clients.push_back(i % 3 == 0 ? Client("bob", "another-password") : Client());
    clients.back().sha256 = i % 2 == 0;
  }
  for (int step = 0; step < 100'000; ++step) {
    TestClient& client = clients[Roll(kClients)];
    plane.fail_after = Roll(50) == 0 ? static_cast<int>(Roll(3)) : -1;
    if (Roll(300) == 0) {
      const bool bob = Roll(2) == 0;
      client.set_credentials(bob ? "bob" : std::string(kUser),
                             bob ? "another-password" : std::string(kPassword));
    }
    Look(Step(client), client);
    plane.fail_after = -1;
    if (Roll(500) == 0) Reconfigure();
    if (Roll(20) == 0) Pass(Roll(20));
    if (Roll(3) == 0) server->Tick(now, 4);
    if (step % 100 == 0) {
      CheckInvariants();
      if (HasFatalFailure()) FAIL() << "at step " << step;
    }
  }
  // The walk has been everywhere.
  for (int error : {0, 400, 403, 437, 438, 440, 441, 443, 486, 508}) {
    EXPECT_TRUE(errors_.contains(error)) << error;
  }
  EXPECT_GT(server->counters().allocations_created, 1000u);
  EXPECT_GT(server->counters().channels_created, 1000u);
  EXPECT_GT(server->counters().allocations_expired, 10u);

  Pass(3600);
  for (int i = 0; i < 100; ++i) server->Tick(now, 16);
  EXPECT_EQ(server->allocation_count(), 0u);
  EXPECT_EQ(server->ports_in_use(), 0u);
  EXPECT_EQ(server->ports_held(), 0u);
  EXPECT_TRUE(plane.legs.empty());
  EXPECT_EQ(server->counters().allocations_created, server->counters().allocations_ended);
}

}  // namespace
}  // namespace sotto::relay
