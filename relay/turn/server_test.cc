// SPDX-License-Identifier: Apache-2.0
// Requests from the outside in: classes and methods, authentication, answers.
#include <algorithm>

#include "relay/turn/server_fixture.h"

namespace sotto::relay {
namespace {

using enum StunAttributeType;

TEST_F(ServerTest, BindingTellsTheClientItsAddress) {
  Start();
  TestClient client = Client();
  client.integrity = false;
  for (bool fingerprint : {false, true}) {
    client.fingerprint = fingerprint;
    const Reply reply = client.Request(StunMethod::kBinding, now);
    ASSERT_TRUE(reply.success());
    EXPECT_EQ(reply.message()->FindXorAddress(kXorMappedAddress), client.path().client);
    EXPECT_EQ(reply.message()->Has(kFingerprint), fingerprint);
    EXPECT_EQ(reply.outcome.path, client.path());
    EXPECT_EQ(VerifyFingerprint(*reply.message()), fingerprint);
  }
}

TEST_F(ServerTest, ABindingIndicationIsTakenInSilence) {
  Start();
  TestClient client = Client();
  const Reply reply = client.SendRaw(
      client.Build(StunMethod::kBinding, client.NewId(), {}, StunClass::kIndication), now);
  EXPECT_EQ(reply.outcome.kind, Outcome::Kind::kNothing);
  EXPECT_EQ(reply.outcome.discard, Discard::kNone);
}

TEST_F(ServerTest, WhatNoServerTakesIsDiscarded) {
  Start();
  TestClient client = Client();
  const auto discard = [&](StunMethod method, StunClass message_class) {
    return client.SendRaw(client.Build(method, client.NewId(), {}, message_class), now)
        .outcome.discard;
  };
  EXPECT_EQ(discard(StunMethod::kBinding, StunClass::kSuccess), Discard::kUnexpectedClass);
  EXPECT_EQ(discard(StunMethod::kAllocate, StunClass::kError), Discard::kUnexpectedClass);
  EXPECT_EQ(discard(StunMethod::kAllocate, StunClass::kIndication), Discard::kUnexpectedClass);
  EXPECT_EQ(discard(StunMethod::kData, StunClass::kIndication), Discard::kUnexpectedClass);
  EXPECT_EQ(discard(StunMethod::kSend, StunClass::kRequest), Discard::kUnexpectedClass);
  EXPECT_EQ(discard(static_cast<StunMethod>(0x00a), StunClass::kRequest),
            Discard::kUnexpectedClass);
  EXPECT_EQ(Discarded(Discard::kUnexpectedClass), 6u);
}

TEST_F(ServerTest, BytesThatAreNothingAreDiscarded) {
  Start();
  TestClient client = Client();
  const Bytes good = client.Build(StunMethod::kBinding, client.NewId());
  Bytes truncated(good.begin(), good.end() - 1);
  Bytes cookieless = good;
  cookieless[4] ^= 1;
  for (const Bytes& bytes : {Bytes{}, Bytes{0}, Bytes{0x40, 0, 0}, Bytes{0x50, 0, 0, 0},
                             Bytes{0xff, 0xff, 0, 0}, truncated, cookieless}) {
    EXPECT_EQ(client.SendRaw(bytes, now).outcome.discard, Discard::kMalformed);
  }
}

TEST_F(ServerTest, AWrongFingerprintIsDiscardedInRequestsAndIndications) {
  Start();
  TestClient client = Allocated();
  client.fingerprint = true;
  Bytes request = client.Build(StunMethod::kRefresh, client.NewId());
  EXPECT_TRUE(client.SendRaw(request, now).success());
  request.back() ^= 1;
  EXPECT_EQ(client.SendRaw(request, now).outcome.discard, Discard::kBadFingerprint);
  Bytes indication = client.Build(StunMethod::kSend, client.NewId(), {}, StunClass::kIndication);
  indication.back() ^= 1;
  EXPECT_EQ(client.SendRaw(indication, now).outcome.discard, Discard::kBadFingerprint);
}

TEST_F(ServerTest, AChallengeCarriesRealmNonceAndAlgorithmsAndNothingSecret) {
  Start();
  TestClient client = Client();
  const Reply reply = client.Challenge(now);
  ASSERT_EQ(reply.error, 401);
  const StunMessage message = *reply.message();
  EXPECT_EQ(message.FindText(kRealm), "example.org");
  EXPECT_TRUE(message.Has(kNonce));
  EXPECT_TRUE(message.Has(kPasswordAlgorithms));
  EXPECT_FALSE(message.Has(kMessageIntegrity));
  EXPECT_FALSE(message.Has(kMessageIntegritySha256));
  EXPECT_FALSE(message.Has(kSoftware));
  EXPECT_EQ(server->counters().auth_failures, 0u);  // nobody has failed yet
}

TEST_F(ServerTest, EveryAnswerToAnAuthenticRequestCarriesIntegrityOfItsKind) {
  Start();
  for (bool sha256 : {false, true}) {
    for (bool user_hash : {false, true}) {
      TestClient client = Client();
      client.sha256 = sha256;
      client.user_hash = user_hash;
      client.fingerprint = true;
      const Reply success = client.Allocate(now);
      ASSERT_TRUE(success.success()) << success.error;
      EXPECT_TRUE(client.Trusts(success));
      EXPECT_TRUE(VerifyFingerprint(*success.message()));
      EXPECT_NE(success.message()->Has(kMessageIntegrity), sha256);
      for (const Reply& error :
           {client.Allocate(now), client.Permit(now, {}), client.Bind(now, 1, At("8.8.8.8:1")),
            client.Permit(now, {At("127.0.0.1:1")})}) {
        EXPECT_GT(error.error, 0);
        EXPECT_TRUE(client.Trusts(error)) << error.error;
      }
      client.fingerprint = false;
      EXPECT_FALSE(client.Refresh(now).message()->Has(kFingerprint));
    }
  }
}

TEST_F(ServerTest, AStaleNonceIsReplacedAndTheAnswerIsSigned) {
  Start();
  TestClient client = Allocated();
  client.Refresh(now, 3600);
  Pass(3599);
  EXPECT_TRUE(client.Refresh(now, 3600).success());
  Pass(1);
  const Reply stale = client.Refresh(now, 3600);
  ASSERT_EQ(stale.error, 438);
  EXPECT_TRUE(client.Trusts(stale));
  EXPECT_TRUE(stale.message()->Has(kPasswordAlgorithms));
  EXPECT_TRUE(stale.message()->Has(kRealm));
  client.Learn(stale);
  EXPECT_TRUE(client.Refresh(now, 3600).success());
  EXPECT_EQ(server->counters().stale_nonces, 1u);
  EXPECT_EQ(server->counters().error_responses[438], 1u);
}

TEST_F(ServerTest, WrongCredentialsAreCounted) {
  Start();
  TestClient client = Client(kUser, "not-the-password");
  EXPECT_EQ(client.Allocate(now).error, 401);
  EXPECT_EQ(server->counters().auth_failures, 1u);
  EXPECT_EQ(server->allocation_count(), 0u);
}

TEST_F(ServerTest, MissingCredentialAttributesAreABadRequestWithoutChallenge) {
  Start();
  TestClient client = Client();
  client.integrity = false;
  const Reply reply = client.Request(StunMethod::kAllocate, now, [](StunBuilder& b) {
    b.AddText(kUsername, kUser);
    b.AddIntegrity(Bytes(16));
  });
  ASSERT_EQ(reply.error, 400);
  EXPECT_FALSE(reply.message()->Has(kRealm));
  EXPECT_FALSE(reply.message()->Has(kNonce));
}

TEST_F(ServerTest, UnknownAttributesAreListedOnceAuthenticated) {
  Start();
  const auto extra = [](StunBuilder& b) {
    TestClient::AddUdp(b);
    b.AddU32(static_cast<StunAttributeType>(0x7abc), 1);
    b.AddU32(static_cast<StunAttributeType>(0xfabc), 1);  // optional
    b.AddU32(static_cast<StunAttributeType>(0x0030), 1);
  };
  TestClient client = Client();
  client.integrity = false;
  EXPECT_EQ(client.Request(StunMethod::kAllocate, now, extra).error, 401);
  const Reply binding = client.Request(StunMethod::kBinding, now, extra);
  EXPECT_EQ(binding.error, 420);

  client.integrity = true;
  client.Challenge(now);
  const Reply reply = client.Request(StunMethod::kAllocate, now, extra);
  ASSERT_EQ(reply.error, 420);
  EXPECT_TRUE(client.Trusts(reply));
  const auto listed = reply.message()->Find(kUnknownAttributes);
  ASSERT_TRUE(listed);
  EXPECT_EQ(Bytes(listed->value.begin(), listed->value.end()), (Bytes{0x7a, 0xbc, 0x00, 0x30}));
  EXPECT_EQ(server->allocation_count(), 0u);
}

TEST_F(ServerTest, AHundredUnknownAttributesGetABoundedAnswer) {
  Start();
  TestClient client = Client();
  client.Challenge(now);
  const Reply reply = client.Request(StunMethod::kAllocate, now, [](StunBuilder& b) {
    for (uint16_t i = 0; i < 100; ++i) b.AddEmpty(static_cast<StunAttributeType>(0x7000 + i));
  });
  ASSERT_EQ(reply.error, 420);
  EXPECT_EQ(reply.message()->Find(kUnknownAttributes)->value.size(), 64u);
}

TEST_F(ServerTest, RequestsWithoutAnAllocationAreAMismatch) {
  Start();
  TestClient client = Client();
  client.Challenge(now);
  for (const Reply& reply : {client.Refresh(now), client.Permit(now, {At("198.51.100.1:1")}),
                             client.Bind(now, 0x4000, At("198.51.100.1:1"))}) {
    EXPECT_EQ(reply.error, 437);
    EXPECT_TRUE(client.Trusts(reply));
  }
}

TEST_F(ServerTest, AnotherUserOnTheSame5TupleHasWrongCredentials) {
  Start();
  TestClient client = Allocated();
  client.set_credentials("bob", "another-password");
  for (const Reply& reply :
       {client.Refresh(now), client.Refresh(now, 0), client.Permit(now, {At("198.51.100.1:1")}),
        client.Bind(now, 0x4000, At("198.51.100.1:1"))}) {
    EXPECT_EQ(reply.error, 441);
    EXPECT_TRUE(client.Trusts(reply));
  }
  EXPECT_EQ(server->allocation_count(), 1u);
}

TEST_F(ServerTest, TimeLimitedCredentialsOpenAllocationsUntilTheyExpireAndKeepThem) {
  ServerOptions options = Options();
  options.auth.shared_secrets = {"the-current-secret", "the-previous-secret"};
  Start(options);
  const std::string username = std::to_string(now.unix_s + 100) + ":carol";
  const std::string password = MintTimeLimitedPassword("the-previous-secret", username);
  TestClient client = Client(username, password);
  Pass(100);
  EXPECT_TRUE(client.Allocate(now).success());
  Pass(1);
  EXPECT_TRUE(client.Refresh(now).success());
  EXPECT_TRUE(client.Permit(now, {At("198.51.100.1:1")}).success());
  TestClient late = Client(username, password);
  const Reply refused = late.Allocate(now);
  EXPECT_EQ(refused.error, 401);
  EXPECT_TRUE(refused.message()->Has(kNonce));
  EXPECT_EQ(server->allocation_count(), 1u);
}

TEST_F(ServerTest, UnauthenticatedAnswersNeverExceedTheBudget) {
  ServerOptions options = Options();
  options.limits.unauthenticated_excess_rate = 100;
  options.limits.unauthenticated_excess_burst = 1000;
  Start(options);
  TestClient client = Client();
  client.integrity = false;
  size_t sent = 0;
  size_t received = 0;
  for (int i = 0; i < 100; ++i) {
    const Bytes request = client.Build(StunMethod::kAllocate, client.NewId());
    sent += request.size();
    received += client.SendRaw(request, now).bytes.size();
  }
  EXPECT_LE(received, sent + 1000);
  EXPECT_GT(Discarded(Discard::kAnswerBudget), 80u);
  // A request that is as large as its answer costs nothing.
  const Reply padded = client.Request(StunMethod::kAllocate, now, [](StunBuilder& b) {
    b.AddText(kSoftware, std::string(200, 'x'));
  });
  EXPECT_EQ(padded.error, 401);
  Pass(10);
  EXPECT_EQ(client.Request(StunMethod::kAllocate, now).error, 401);
}

TEST_F(ServerTest, AReplayedRequestFromElsewhereIsAnsweredWithinTheBudgetAlone) {
  ServerOptions options = Options();
  options.limits.unauthenticated_excess_burst = 1;
  Start(options);
  TestClient client = Client();
  client.integrity = false;
  client.Learn(client.Request(StunMethod::kAllocate, now,
                              [](StunBuilder& b) { b.AddText(kSoftware, std::string(200, 'x')); }));
  client.integrity = true;
  const Bytes request = client.Build(StunMethod::kRefresh, client.NewId());
  EXPECT_EQ(Reply(client.SendRaw(request, now)).error, 437);

  TestClient victim = Client();  // the same bytes, from another port
  const Reply replayed = victim.SendRaw(request, now);
  EXPECT_TRUE(!replayed.answered() || replayed.bytes.size() <= request.size());
}

TEST_F(ServerTest, CountsEachRequestOnce) {
  Start();
  TestClient client = Allocated();  // a challenge and an allocation
  client.Refresh(now);
  client.Permit(now, {At("198.51.100.1:1"), At("198.51.100.2:1")});
  client.Bind(now, 0x4000, At("198.51.100.1:1"));
  client.Bind(now, 0x4000, At("198.51.100.1:1"));
  client.Refresh(now, 0);
  const ServerCounters& counters = server->counters();
  EXPECT_EQ(counters.requests, 7u);
  EXPECT_EQ(counters.allocations_created, 1u);
  EXPECT_EQ(counters.allocations_ended, 1u);
  EXPECT_EQ(counters.allocations_expired, 0u);
  EXPECT_EQ(counters.permissions_created, 2u);
  EXPECT_EQ(counters.channels_created, 1u);
}

TEST_F(ServerTest, TheOperatorSeesAllocationsAndEndsThem) {
  Start();
  TestClient alice = Allocated();
  TestClient bob = Client("bob", "another-password");
  const Reply reply =
      bob.Allocate(now, [](StunBuilder& b) { b.AddU8(kAdditionalAddressFamily, 2); });
  bob.Permit(now, {At("198.51.100.1:1")});
  std::vector<AllocationInfo> seen;
  const auto see = [&](const AllocationInfo& info) { seen.push_back(info); };
  EXPECT_EQ(server->ForEachAllocation(0, 100, true, see), 0u);
  ASSERT_EQ(seen.size(), 2u);
  EXPECT_EQ(seen[0].username, "alice");
  EXPECT_EQ(seen[1].username, "bob");
  EXPECT_EQ(seen[1].path, bob.path());
  EXPECT_EQ(seen[1].relayed_v4, reply.relayed()[0]);
  EXPECT_EQ(seen[1].relayed_v6, reply.relayed()[1]);
  EXPECT_EQ(seen[1].permissions, 1u);
  EXPECT_EQ(seen[1].channels, 0u);
  EXPECT_EQ(seen[1].expires_at, now.monotonic_ms + 600'000);
  ASSERT_EQ(seen[1].permission_list.size(), 1u);
  EXPECT_EQ(seen[1].permission_list[0].peer, At("198.51.100.1:1").ip);

  // In steps of one id, each allocation is seen once.
  std::vector<LegId> ids;
  LegId next = 0;
  do {
    next = server->ForEachAllocation(next, 1, false,
                                     [&](const AllocationInfo& info) { ids.push_back(info.id); });
  } while (next != 0);
  EXPECT_EQ(ids, (std::vector<LegId>{seen[0].id, seen[1].id}));
  EXPECT_TRUE(server->EndAllocation(seen[0].id, now).ok());
  EXPECT_EQ(server->EndAllocation(seen[0].id, now).code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(alice.Refresh(now).error, 437);
  EXPECT_EQ(plane.legs.size(), 1u);
  EXPECT_TRUE(bob.Refresh(now).success());
}

TEST_F(ServerTest, TickLooksAtABoundedNumberAndReachesAll) {
  Start();
  for (int i = 0; i < 100; ++i) Allocated();
  Pass(600);
  server->Tick(now, 10);
  EXPECT_EQ(server->allocation_count(), 90u);
  for (int i = 0; i < 9; ++i) server->Tick(now, 10);
  EXPECT_EQ(server->allocation_count(), 0u);
  EXPECT_EQ(server->counters().allocations_expired, 100u);
  EXPECT_EQ(server->ports_in_use(), 0u);
  EXPECT_TRUE(plane.legs.empty());
}

}  // namespace
}  // namespace sotto::relay
