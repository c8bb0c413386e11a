// SPDX-License-Identifier: Apache-2.0
// Allocate (RFC 8656, section 7.2): every check in its order, and what comes of it.
#include <set>

#include "relay/turn/server_fixture.h"

namespace sotto::relay {
namespace {

using enum StunAttributeType;

class AllocateTest : public ServerTest {
 protected:
  static void Family(StunBuilder& b, uint8_t family) { b.AddU8(kRequestedAddressFamily, family); }
  static void Dual(StunBuilder& b) { b.AddU8(kAdditionalAddressFamily, 2); }
  static void Even(StunBuilder& b, bool reserve) {
    const uint8_t value[] = {static_cast<uint8_t>(reserve ? 0x80 : 0)};
    b.Add(kEvenPort, value);
  }
  static Bytes TokenOf(const Reply& reply) {
    const auto message = reply.message();
    const auto token = message ? message->Find(kReservationToken) : std::nullopt;
    return token ? Bytes(token->value.begin(), token->value.end()) : Bytes();
  }
  Reply Try(const TestClient::Extra& extra, std::string_view user = kUser,
            std::string_view password = kPassword) {
    return Client(user, password).Allocate(now, extra);
  }
};

TEST_F(AllocateTest, GivesARelayedAddressALifetimeAndTheClientsAddress) {
  Start();
  TestClient client = Client();
  const Reply reply = client.Allocate(now);
  ASSERT_TRUE(reply.success());
  ASSERT_EQ(reply.relayed().size(), 1u);
  const TransportAddress relayed = reply.relayed()[0];
  EXPECT_EQ(relayed.ip, Ip("192.0.2.10"));
  EXPECT_GE(relayed.port, 49152);
  EXPECT_EQ(reply.lifetime(), 600u);
  EXPECT_EQ(reply.message()->FindXorAddress(kXorMappedAddress), client.path().client);
  EXPECT_FALSE(reply.message()->Has(kReservationToken));

  ASSERT_EQ(plane.legs.size(), 1u);
  const ForwardingLeg& leg = plane.legs.begin()->second.leg;
  EXPECT_EQ(leg.path, client.path());
  EXPECT_EQ(leg.relayed_v4, relayed);
  EXPECT_FALSE(leg.relayed_v6);
  EXPECT_EQ(leg.expires_at, now.monotonic_ms + 600'000);
  EXPECT_EQ(server->ports_in_use(), 1u);
  EXPECT_EQ(server->ports_held(), 1u);
}

TEST_F(AllocateTest, ClampsTheLifetime) {
  Start();
  const std::pair<uint32_t, uint32_t> cases[] = {
      {0, 600}, {1, 600}, {600, 600}, {601, 601}, {3600, 3600}, {3601, 3600}, {UINT32_MAX, 3600}};
  for (const auto& [asked, granted] : cases) {
    const Reply reply = Try([&](StunBuilder& b) { b.AddU32(kLifetime, asked); });
    EXPECT_EQ(reply.lifetime(), granted) << asked;
  }
  EXPECT_EQ(Try([](StunBuilder& b) { b.Add(kLifetime, Bytes(3)); }).error, 400);
}

TEST_F(AllocateTest, WantsUdpAndNothingElse) {
  Start();
  const auto with = [&](const Bytes& transport) {
    TestClient client = Client();
    client.Challenge(now);
    return client
        .Request(StunMethod::kAllocate, now,
                 [&](StunBuilder& b) {
                   if (!transport.empty()) b.Add(kRequestedTransport, transport);
                 })
        .error;
  };
  EXPECT_EQ(with({}), 400);
  EXPECT_EQ(with({17}), 400);
  EXPECT_EQ(with({6, 0, 0, 0}), 442);
  EXPECT_EQ(with({0, 0, 0, 0}), 442);
  EXPECT_EQ(with({17, 9, 9, 9}), 0);  // the rest is reserved, and ignored
}

TEST_F(AllocateTest, RefusesEveryCombinationThatTheRfcRefuses) {
  Start();
  const auto token = [](StunBuilder& b) { b.Add(kReservationToken, Bytes(8, 1)); };
  EXPECT_EQ(Try([&](auto& b) { token(b), Even(b, false); }).error, 400);
  EXPECT_EQ(Try([&](auto& b) { token(b), Family(b, 1); }).error, 400);
  EXPECT_EQ(Try([&](auto& b) { token(b), Dual(b); }).error, 400);
  EXPECT_EQ(Try([&](auto& b) { b.Add(kReservationToken, Bytes(7)); }).error, 400);
  EXPECT_EQ(Try([&](auto& b) { Family(b, 1), Dual(b); }).error, 400);
  EXPECT_EQ(Try([&](auto& b) { Family(b, 2), Dual(b); }).error, 400);
  EXPECT_EQ(Try([&](auto& b) { Dual(b), Even(b, true); }).error, 400);
  EXPECT_EQ(Try([&](auto& b) { b.AddU8(kAdditionalAddressFamily, 1); }).error, 400);
  EXPECT_EQ(Try([&](auto& b) { b.Add(kAdditionalAddressFamily, Bytes{2}); }).error, 400);
  EXPECT_EQ(Try([&](auto& b) { b.Add(kRequestedAddressFamily, Bytes{1}); }).error, 400);
  EXPECT_EQ(Try([&](auto& b) { b.Add(kEvenPort, Bytes(4)); }).error, 400);
  EXPECT_EQ(Try([&](auto& b) { token(b); }).error, 508);  // well-formed, but nobody's
  EXPECT_EQ(server->allocation_count(), 0u);
  EXPECT_EQ(server->ports_in_use(), 0u);
}

TEST_F(AllocateTest, GivesTheRequestedFamily) {
  Start();
  EXPECT_EQ(Try([](auto& b) { Family(b, 1); }).relayed()[0].ip, Ip("192.0.2.10"));
  EXPECT_EQ(Try([](auto& b) { Family(b, 2); }).relayed()[0].ip, Ip("2001:db8::10"));
  EXPECT_EQ(Try([](auto& b) { Family(b, 0); }).error, 440);
  EXPECT_EQ(Try([](auto& b) { Family(b, 3); }).error, 440);
}

TEST_F(AllocateTest, AFamilyThatIsNotRelayedIsNotSupported) {
  ServerOptions options = Options();
  options.relay_addresses = {Ip("192.0.2.10")};
  Start(options);
  EXPECT_EQ(Try([](auto& b) { Family(b, 2); }).error, 440);
  options.relay_addresses = {Ip("2001:db8::10")};
  Start(options);
  EXPECT_EQ(Try({}).error, 440);
  EXPECT_EQ(Try([](auto& b) { Family(b, 1); }).error, 440);
  EXPECT_TRUE(Try([](auto& b) { Family(b, 2); }).success());
}

TEST_F(AllocateTest, ADualAllocationHasOneAddressOfEachFamily) {
  Start();
  const Reply reply = Try(Dual);
  ASSERT_EQ(reply.relayed().size(), 2u);
  EXPECT_EQ(reply.relayed()[0].ip, Ip("192.0.2.10"));
  EXPECT_EQ(reply.relayed()[1].ip, Ip("2001:db8::10"));
  EXPECT_FALSE(reply.message()->Has(kAddressErrorCode));
  EXPECT_EQ(server->ports_held(), 2u);
  const Reply even = Try([](auto& b) { Dual(b), Even(b, false); });
  ASSERT_EQ(even.relayed().size(), 2u);
  EXPECT_EQ(even.relayed()[0].port % 2, 0);
  EXPECT_EQ(even.relayed()[1].port % 2, 0);
}

TEST_F(AllocateTest, HalfADualAllocationSaysWhyTheOtherHalfIsMissing) {
  ServerOptions options = Options();
  options.relay_addresses = {Ip("192.0.2.10")};
  Start(options);
  const Reply v4 = Try(Dual);
  ASSERT_EQ(v4.relayed().size(), 1u);
  auto code = v4.message()->Find(kAddressErrorCode);
  ASSERT_TRUE(code);
  EXPECT_EQ(Bytes(code->value.begin(), code->value.begin() + 4), (Bytes{2, 0, 4, 40}));

  options.relay_addresses = {Ip("2001:db8::10")};
  Start(options);
  const Reply v6 = Try(Dual);
  ASSERT_EQ(v6.relayed().size(), 1u);
  code = v6.message()->Find(kAddressErrorCode);
  ASSERT_TRUE(code);
  EXPECT_EQ(Bytes(code->value.begin(), code->value.begin() + 4), (Bytes{1, 0, 4, 40}));

  options = Options();
  options.relay_ports = {50000, 50000};
  Start(options);
  ASSERT_TRUE(Try([](auto& b) { Family(b, 2); }).success());
  const Reply full = Try(Dual);
  ASSERT_EQ(full.relayed().size(), 1u);
  code = full.message()->Find(kAddressErrorCode);
  ASSERT_TRUE(code);
  EXPECT_EQ(Bytes(code->value.begin(), code->value.begin() + 4), (Bytes{2, 0, 5, 8}));
  EXPECT_EQ(Try(Dual).error, 508);
}

TEST_F(AllocateTest, EvenPortIsEven) {
  Start();
  for (int i = 0; i < 20; ++i) {
    EXPECT_EQ(Try([](auto& b) { Even(b, false); }).relayed()[0].port % 2, 0);
  }
  EXPECT_EQ(server->ports_in_use(), 20u);
}

TEST_F(AllocateTest, AReservedPortIsTheNextOneAndGoesToWhoeverHasTheToken) {
  Start();
  const Reply first = Try([](auto& b) { Even(b, true); });
  ASSERT_TRUE(first.success());
  EXPECT_EQ(first.relayed()[0].port % 2, 0);
  const Bytes token = TokenOf(first);
  ASSERT_EQ(token.size(), 8u);
  EXPECT_EQ(server->ports_in_use(), 2u);
  EXPECT_EQ(server->ports_held(), 2u);

  const auto with_token = [&](StunBuilder& b) { b.Add(kReservationToken, token); };
  const Reply second = Try(with_token, "bob", "another-password");
  ASSERT_TRUE(second.success());
  EXPECT_EQ(second.relayed()[0].port, first.relayed()[0].port + 1);
  EXPECT_EQ(second.relayed()[0].ip, first.relayed()[0].ip);
  EXPECT_EQ(server->ports_in_use(), 2u);
  EXPECT_EQ(server->ports_held(), 2u);
  EXPECT_EQ(Try(with_token).error, 508);  // once
}

TEST_F(AllocateTest, AReservationLasts30SecondsAndOutlivesItsAllocation) {
  Start();
  TestClient client = Client();
  const Bytes token = TokenOf(client.Allocate(now, [](auto& b) { Even(b, true); }));
  client.Refresh(now, 0);
  EXPECT_EQ(server->ports_in_use(), 1u);
  Pass(29);
  TickAll();
  EXPECT_EQ(server->ports_in_use(), 1u);
  Pass(1);
  EXPECT_EQ(Try([&](auto& b) { b.Add(kReservationToken, token); }).error, 508);
  // Not for want of ports.
  EXPECT_EQ(server->counters().refusals[static_cast<size_t>(Refusal::kReservationGone)], 1u);
  EXPECT_EQ(server->counters().refusals[static_cast<size_t>(Refusal::kNoPort)], 0u);
  TickAll();
  EXPECT_EQ(server->ports_in_use(), 0u);
  EXPECT_EQ(server->ports_held(), 0u);
}

TEST_F(AllocateTest, TheSameTransactionAgainIsTheSameSuccess) {
  Start();
  TestClient client = Client();
  client.Challenge(now);
  const Bytes request = client.Build(StunMethod::kAllocate, client.NewId(), [](StunBuilder& b) {
    TestClient::AddUdp(b);
    Even(b, true);
  });
  const Reply first = client.SendRaw(request, now);
  ASSERT_TRUE(first.success());
  const Reply again = client.SendRaw(request, now);
  EXPECT_EQ(again.bytes, first.bytes);
  Pass(5);
  const Reply later = client.SendRaw(request, now);
  EXPECT_EQ(later.relayed(), first.relayed());
  EXPECT_EQ(later.lifetime(), 595u);
  EXPECT_EQ(server->allocation_count(), 1u);
  EXPECT_EQ(server->ports_in_use(), 2u);
}

TEST_F(AllocateTest, AnotherTransactionOnAUsed5TupleIsAMismatch) {
  Start();
  TestClient client = Allocated();
  const Reply reply = client.Allocate(now);
  EXPECT_EQ(reply.error, 437);
  EXPECT_EQ(server->allocation_count(), 1u);
  Pass(600);
  EXPECT_TRUE(client.Allocate(now).success());  // it has ended, ticked or not
}

TEST_F(AllocateTest, AnErrorIsRepeatedFor40SecondsToTheSameTransaction) {
  ServerOptions options = Options();
  options.limits.max_allocations_per_user = 1;
  Start(options);
  TestClient holder = Allocated();
  TestClient client = Client();
  client.Challenge(now);
  const Bytes request = client.Build(StunMethod::kAllocate, client.NewId(), TestClient::AddUdp);
  EXPECT_EQ(client.SendRaw(request, now).error, 486);
  holder.Refresh(now, 0);
  Pass(39);
  // The client may have taken the first answer: an allocation now would be nobody's.
  const Reply again = client.SendRaw(request, now);
  EXPECT_EQ(again.error, 486);
  EXPECT_TRUE(client.Trusts(again));
  EXPECT_EQ(server->allocation_count(), 0u);
  EXPECT_TRUE(client.Allocate(now).success());
}

TEST_F(AllocateTest, QuotaIsThatOfTheCredentialName) {
  ServerOptions options = Options();
  options.limits.max_allocations_per_user = 2;
  options.auth.shared_secrets = {"the-current-secret"};
  Start(options);
  TestClient first = Allocated();
  Allocated();
  EXPECT_EQ(Client().Allocate(now).error, 486);
  EXPECT_TRUE(Client("bob", "another-password").Allocate(now).success());
  first.Refresh(now, 0);
  EXPECT_TRUE(Client().Allocate(now).success());

  // A new expiry doesn't make a new user.
  for (int i = 0; i < 3; ++i) {
    const std::string username = std::to_string(now.unix_s + 100 + i) + ":carol";
    const Reply reply =
        Client(username, MintTimeLimitedPassword("the-current-secret", username)).Allocate(now);
    EXPECT_EQ(reply.error, i < 2 ? 0 : 486);
  }
}

TEST_F(AllocateTest, ReservationsCountAgainstTheQuotaUntilTheyEnd) {
  ServerOptions options = Options();
  options.limits.max_allocations_per_user = 2;
  Start(options);
  TestClient client = Client();
  const Bytes token = TokenOf(client.Allocate(now, [](auto& b) { Even(b, true); }));
  EXPECT_EQ(Client().Allocate(now).error, 486);
  client.Refresh(now, 0);
  EXPECT_TRUE(Client().Allocate(now).success());
  EXPECT_EQ(Client().Allocate(now).error, 486);
  Pass(30);
  TickAll();
  EXPECT_TRUE(Client().Allocate(now).success());
  EXPECT_EQ(Client().Allocate(now).error, 486);
}

TEST_F(AllocateTest, AUsedReservationCountsOnceAndForItsUser) {
  ServerOptions options = Options();
  options.limits.max_allocations_per_user = 2;
  Start(options);
  const auto redeem = [](const Bytes& token) {
    return [token](StunBuilder& b) { b.Add(kReservationToken, token); };
  };
  TestClient first = Client();
  const Bytes own = TokenOf(first.Allocate(now, [](auto& b) { Even(b, true); }));
  EXPECT_TRUE(Client().Allocate(now, redeem(own)).success());  // within the quota of two
  EXPECT_EQ(Client().Allocate(now).error, 486);

  first.Refresh(now, 0);
  const Bytes given = TokenOf(Try([](auto& b) { Even(b, true); }));
  EXPECT_EQ(Client().Allocate(now).error, 486);
  EXPECT_TRUE(Try(redeem(given), "bob", "another-password").success());  // counts for Bob now
  EXPECT_EQ(Client().Allocate(now).error, 486);
  EXPECT_TRUE(Client("bob", "another-password").Allocate(now).success());
  EXPECT_EQ(Client("bob", "another-password").Allocate(now).error, 486);
  Pass(600);
  TickAll();
  for (std::string_view user : {"alice", "bob"}) {
    const std::string_view password = user == kUser ? kPassword : "another-password";
    EXPECT_TRUE(Client(user, password).Allocate(now).success());
    EXPECT_TRUE(Client(user, password).Allocate(now).success());
    EXPECT_EQ(Client(user, password).Allocate(now).error, 486);
  }
}

TEST_F(AllocateTest, RunsOutOfPortsWithInsufficientCapacity) {
  ServerOptions options = Options();
  options.relay_ports = {50000, 50003};
  Start(options);
  std::set<uint16_t> ports;
  for (int i = 0; i < 4; ++i) ports.insert(Try({}).relayed().at(0).port);
  EXPECT_EQ(ports.size(), 4u);
  EXPECT_EQ(Try({}).error, 508);
  EXPECT_EQ(Try([](auto& b) { Even(b, false); }).error, 508);
  EXPECT_TRUE(Try([](auto& b) { Family(b, 2); }).success());  // a pool of its own
}

TEST_F(AllocateTest, UsesEveryRelayAddressOfTheFamily) {
  ServerOptions options = Options();
  options.relay_addresses = {Ip("192.0.2.10"), Ip("192.0.2.11"), Ip("2001:db8::10")};
  options.relay_ports = {50000, 50003};
  Start(options);
  std::set<TransportAddress> all;
  for (int i = 0; i < 8; ++i) all.insert(Try({}).relayed().at(0));
  EXPECT_EQ(all.size(), 8u);
  EXPECT_EQ(Try({}).error, 508);
}

TEST_F(AllocateTest, HoldsNoMoreAllocationsThanItsBound) {
  ServerOptions options = Options();
  options.limits.max_allocations = 3;
  Start(options);
  for (int i = 0; i < 3; ++i) EXPECT_TRUE(Try({}).success());
  EXPECT_EQ(Try({}).error, 508);
}

TEST_F(AllocateTest, AFullPlaneLeavesNothingBehind) {
  Start();
  const Bytes token = TokenOf(Try([](auto& b) { Even(b, true); }));
  plane.fail_after = 0;
  EXPECT_EQ(Try(Dual).error, 508);
  EXPECT_EQ(Try([](auto& b) { Even(b, true); }).error, 508);
  EXPECT_EQ(Try([&](auto& b) { b.Add(kReservationToken, token); }).error, 508);
  EXPECT_EQ(server->allocation_count(), 1u);
  EXPECT_EQ(server->ports_in_use(), 2u);
  EXPECT_EQ(server->ports_held(), 2u);
  plane.fail_after = -1;
  EXPECT_TRUE(Try([&](auto& b) { b.Add(kReservationToken, token); }).success());
  EXPECT_EQ(server->ports_in_use(), 2u);
}

TEST_F(AllocateTest, SupportsDontFragment) {
  Start();
  EXPECT_TRUE(Try([](auto& b) { b.AddEmpty(kDontFragment); }).success());
}

}  // namespace
}  // namespace sotto::relay
