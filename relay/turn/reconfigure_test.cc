// SPDX-License-Identifier: Apache-2.0
// What an operator changes while the server runs: all of it or nothing, and what runs goes on.
#include <gmock/gmock.h>

#include <functional>
#include <set>

#include "relay/turn/server_fixture.h"

namespace sotto::relay {
namespace {

using enum StunAttributeType;
using testing::ElementsAre;
using testing::UnorderedElementsAre;

constexpr std::string_view kSecret = "a-shared-secret";
const TransportAddress kPeer = At("198.51.100.7:5000");
const TransportAddress kOtherPeer = At("198.51.100.8:5000");
constexpr uint8_t kMedia[] = {1, 2, 3};

class ReconfigureTest : public ServerTest {
 protected:
  ServerOptions Changed() const { return server->options(); }
  uint64_t Refused(Refusal reason) const {
    return server->counters().refusals[static_cast<size_t>(reason)];
  }
  // A time-limited credential for `name`, good for an hour.
  TestClient TimeLimited(std::string_view name, std::string_view secret = kSecret) {
    const std::string username = std::to_string(now.unix_s + 3600) + ":" + std::string(name);
    return Client(username, MintTimeLimitedPassword(secret, username));
  }
};

TEST_F(ReconfigureTest, TakesWhatIsReloadableAndNothingElse) {
  Start();
  const std::function<void(ServerOptions&)> reloadable[] = {
      [](ServerOptions& o) { o.auth.users["carol"] = "carols-password"; },
      [](ServerOptions& o) { o.auth.shared_secrets = {"another-secret"}; },
      [](ServerOptions& o) { o.auth.may_be_empty = true; },
      [](ServerOptions& o) { o.auth.nonce_lifetime_s = 60; },
      [](ServerOptions& o) { o.peers.allow.clear(); },
      [](ServerOptions& o) { o.peers.deny = {*IpPrefix::Parse("203.0.113.0/24")}; },
      [](ServerOptions& o) { o.limits.max_allocations_per_user = 3; },
      [](ServerOptions& o) { o.limits.max_permissions_per_allocation = 3; },
      [](ServerOptions& o) { o.limits.max_channels_per_allocation = 3; },
      [](ServerOptions& o) { o.limits.max_allocations_per_leg = 3; },
      [](ServerOptions& o) { o.limits.allocations_per_prefix = 3; },
      [](ServerOptions& o) { o.limits.requests_per_prefix = 5; },
      [](ServerOptions& o) { o.limits.unauthenticated_excess_rate = 70'000; },
      [](ServerOptions& o) { o.limits.unauthenticated_excess_burst = 70'000; },
      [](ServerOptions& o) { o.limits.rates.packets_per_leg = 100; },
      [](ServerOptions& o) { o.limits.rates.bytes_per_user = 100'000; },
      [](ServerOptions& o) { o.lifetimes.default_s = 700; },
      [](ServerOptions& o) { o.alternates = {At("192.0.2.99:3478")}; },
  };
  for (const auto& change : reloadable) {
    ServerOptions options = Changed();
    change(options);
    ASSERT_NE(options, server->options());
    EXPECT_TRUE(server->Reconfigure(options).ok()) << server->Reconfigure(options);
    EXPECT_EQ(server->options(), options);
  }
  const std::function<void(ServerOptions&)> init_only[] = {
      [](ServerOptions& o) { o.realm = "example.net"; },
      [](ServerOptions& o) { o.listen.pop_back(); },
      [](ServerOptions& o) { o.relay_addresses.pop_back(); },
      [](ServerOptions& o) { o.relay_ports.first = 50000; },
      [](ServerOptions& o) { o.auth.require_sha256 = true; },
      [](ServerOptions& o) { o.peers.kind = PeerPolicyKind::kRelay; },
      [](ServerOptions& o) { o.limits.max_allocations = 5; },
      [](ServerOptions& o) { o.arm_calls_at_once = true; },
  };
  const ServerOptions before = server->options();
  for (const auto& change : init_only) {
    ServerOptions options = before;
    change(options);
    ASSERT_NE(options, before);
    EXPECT_EQ(server->Reconfigure(options).code(), absl::StatusCode::kFailedPrecondition);
    EXPECT_EQ(server->options(), before);
    EXPECT_EQ(before.Reloaded(options), before);
  }
}

TEST_F(ReconfigureTest, ChangesNothingIfAnythingIsWrong) {
  Start();
  ServerOptions options = Changed();
  options.auth.users["carol"] = "carols-password";
  options.auth.users["dave"] = "short";
  const absl::Status status = server->Reconfigure(options);
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_NE(status.message().find("dave"), absl::string_view::npos) << status;
  EXPECT_EQ(Client("carol", "carols-password").Allocate(now).error, 401);
}

TEST_F(ReconfigureTest, ARunningAllocationKeepsItsCredential) {
  Start();
  TestClient changed = Allocated();
  TestClient removed = Allocated("bob", "another-password");
  TestClient by_hash = Client("bob", "another-password");
  by_hash.sha256 = true;
  by_hash.user_hash = true;
  by_hash.Challenge(now);
  ASSERT_TRUE(by_hash.Allocate(now).success());

  ServerOptions options = Changed();
  options.auth.users = {{std::string(kUser), "a-new-password"}};
  ASSERT_TRUE(server->Reconfigure(options).ok());
  // Not even a new nonce is needed.
  for (TestClient* client : {&changed, &removed, &by_hash}) {
    const Reply reply = client->Refresh(now);
    EXPECT_TRUE(reply.success()) << reply.error;
    EXPECT_TRUE(client->Trusts(reply));
    EXPECT_TRUE(client->Permit(now, {kPeer}).success());
  }
  EXPECT_EQ(Client().Allocate(now).error, 401);
  EXPECT_EQ(Client("bob", "another-password").Allocate(now).error, 401);
  EXPECT_TRUE(Client(kUser, "a-new-password").Allocate(now).success());
  // Nobody else gets in by a hash that names nobody.
  TestClient stranger = Client("carol", "another-password");
  stranger.sha256 = stranger.user_hash = true;
  stranger.nonce = by_hash.nonce;
  stranger.algorithms = by_hash.algorithms;
  EXPECT_EQ(stranger.Refresh(now).error, 401);
  // Once it has ended, the credential is worth nothing.
  ASSERT_TRUE(removed.Refresh(now, 0).success());
  EXPECT_EQ(removed.Allocate(now).error, 401);
}

TEST_F(ReconfigureTest, UsersComeGoStayAndChange) {
  ServerOptions options = Options();
  options.auth.users = {{"a", "password-a"}, {"b", "password-b"}, {"c", "password-c"}};
  Start(options);
  options.auth.users = {{"b", "password-b"}, {"bb", "password-bb"}, {"c", "another-c"}};
  ASSERT_TRUE(server->Reconfigure(options).ok());
  const auto error = [&](std::string_view name, std::string_view password, bool by_hash) {
    TestClient client = Client(name, password);
    client.sha256 = client.user_hash = by_hash;
    client.Challenge(now);
    return client.Allocate(now).error;
  };
  for (const bool by_hash : {false, true}) {
    EXPECT_EQ(error("a", "password-a", by_hash), 401);
    EXPECT_EQ(error("b", "password-b", by_hash), 0);
    EXPECT_EQ(error("b", "password-a", by_hash), 401);
    EXPECT_EQ(error("bb", "password-bb", by_hash), 0);
    EXPECT_EQ(error("c", "another-c", by_hash), 0);
    EXPECT_EQ(error("c", "password-c", by_hash), 401);
  }
}

TEST_F(ReconfigureTest, SecretsAreRotated) {
  ServerOptions options = Options();
  options.auth.shared_secrets = {std::string(kSecret)};
  Start(options);
  TestClient old = TimeLimited("x");
  ASSERT_TRUE(old.Allocate(now).success());

  options.auth.shared_secrets = {"a-newer-secret", std::string(kSecret)};
  ASSERT_TRUE(server->Reconfigure(options).ok());
  EXPECT_TRUE(TimeLimited("y").Allocate(now).success());
  EXPECT_TRUE(TimeLimited("z", "a-newer-secret").Allocate(now).success());

  options.auth.shared_secrets = {"a-newer-secret"};
  ASSERT_TRUE(server->Reconfigure(options).ok());
  EXPECT_EQ(TimeLimited("y").Allocate(now).error, 401);
  EXPECT_TRUE(TimeLimited("z", "a-newer-secret").Allocate(now).success());
  EXPECT_TRUE(old.Refresh(now).success());
}

TEST_F(ReconfigureTest, APeerThatIsDeniedNowLosesPermissionsAndChannels) {
  Start();
  TestClient client = Client();
  const Reply allocated = client.Allocate(now);
  ASSERT_TRUE(allocated.success());
  const TransportAddress relayed = allocated.relayed()[0];
  ASSERT_TRUE(client.Bind(now, 0x4001, kPeer).success());
  ASSERT_TRUE(client.Bind(now, 0x4002, kOtherPeer).success());
  const auto& leg = plane.legs.begin()->second;
  ASSERT_EQ(leg.channels.size(), 2u);

  ServerOptions options = Changed();
  options.peers.deny = {*IpPrefix::Parse("198.51.100.7/32")};
  ASSERT_TRUE(server->Reconfigure(options).ok());
  TickAll();
  EXPECT_EQ(leg.channels.size(), 1u);
  EXPECT_TRUE(leg.channels.contains(0x4002));
  EXPECT_EQ(leg.permissions.size(), 1u);
  EXPECT_FALSE(client.SendChannel(now, 0x4001, kMedia).outcome.kind == Outcome::Kind::kToPeer);
  EXPECT_EQ(FromPeer(relayed, kPeer, kMedia).outcome.kind, Outcome::Kind::kNothing);
  EXPECT_EQ(client.SendChannel(now, 0x4002, kMedia).outcome.kind, Outcome::Kind::kToPeer);
  EXPECT_EQ(FromPeer(relayed, kOtherPeer, kMedia).outcome.kind, Outcome::Kind::kToClient);
  EXPECT_EQ(client.Permit(now, {kPeer}).error, 403);
  EXPECT_EQ(Refused(Refusal::kPeer), 1u);

  // So does one that isn't allowed any more.
  options.peers.allow.clear();
  ASSERT_TRUE(server->Reconfigure(options).ok());
  TickAll();
  EXPECT_TRUE(leg.channels.empty());
  EXPECT_TRUE(leg.permissions.empty());
  // And back.
  ASSERT_TRUE(server->Reconfigure(Options()).ok());
  EXPECT_TRUE(client.Bind(now, 0x4001, kPeer).success());
}

TEST_F(ReconfigureTest, ALowerQuotaRefusesNewOnesOnly) {
  Start();
  std::vector<TestClient> held;
  for (int i = 0; i < 3; ++i) held.push_back(Allocated());
  ServerOptions options = Changed();
  options.limits.max_allocations_per_user = 2;
  ASSERT_TRUE(server->Reconfigure(options).ok());
  TickAll();
  EXPECT_EQ(Client().Allocate(now).error, 486);
  EXPECT_EQ(Refused(Refusal::kUserQuota), 1u);
  EXPECT_TRUE(Client("bob", "another-password").Allocate(now).success());
  for (TestClient& client : held) EXPECT_TRUE(client.Refresh(now).success());
  ASSERT_TRUE(held[0].Refresh(now, 0).success());
  EXPECT_EQ(Client().Allocate(now).error, 486);
  ASSERT_TRUE(held[1].Refresh(now, 0).success());
  EXPECT_TRUE(Client().Allocate(now).success());
  EXPECT_EQ(Client().Allocate(now).error, 486);
}

// What a user holds is counted by the name that a credential is for; that changes with the secrets.
TEST_F(ReconfigureTest, TheCountOfAQuotaFollowsItsName) {
  ServerOptions options = Options();
  options.auth.shared_secrets = {std::string(kSecret)};
  options.limits.max_allocations_per_user = 1;
  Start(options);
  TestClient client = TimeLimited("x");
  ASSERT_TRUE(client.Allocate(now).success());
  EXPECT_EQ(TimeLimited("x").Allocate(now).error, 486);
  ServerOptions without = options;
  without.auth.shared_secrets.clear();
  ASSERT_TRUE(server->Reconfigure(without).ok());
  // Without secrets the server has another feature (user names may be hashed), which nonces tell.
  const Reply stale = client.Refresh(now, 0);
  EXPECT_EQ(stale.error, 438);
  client.Learn(stale);
  ASSERT_TRUE(client.Refresh(now, 0).success());
  ASSERT_TRUE(server->Reconfigure(options).ok());
  Pass(1);
  EXPECT_TRUE(TimeLimited("x").Allocate(now).success());
  EXPECT_EQ(TimeLimited("x").Allocate(now).error, 486);
}

TEST_F(ReconfigureTest, NewAllocationsHaveARateForEachSourcePrefix) {
  ServerOptions options = Options();
  options.limits.allocations_per_prefix = 2;
  Start(options);
  std::vector<TestClient> clients;
  for (int i = 0; i < 4; ++i) clients.push_back(Allocated());  // the burst
  TestClient refused = Client();
  EXPECT_EQ(refused.Allocate(now).error, 508);
  EXPECT_EQ(Refused(Refusal::kPrefixRate), 1u);
  TestClient elsewhere(*server, {At("203.0.114.5:40000"), At("192.0.2.10:3478")},
                       std::string(kUser), std::string(kPassword));
  EXPECT_TRUE(elsewhere.Allocate(now).success());
  EXPECT_TRUE(clients[0].Refresh(now).success());
  Pass(1);
  for (int i = 0; i < 2; ++i) EXPECT_TRUE(Client().Allocate(now).success());
  EXPECT_EQ(Client().Allocate(now).error, 508);

  options.limits.allocations_per_prefix = 0;
  ASSERT_TRUE(server->Reconfigure(options).ok());
  for (int i = 0; i < 10; ++i) EXPECT_TRUE(Client().Allocate(now).success());
}

TEST_F(ReconfigureTest, ThePlaneLearnsTheRatesAndWhoseLegsAre) {
  Start();
  EXPECT_EQ(plane.rates, ForwardingRates());
  TestClient early = Allocated();
  const auto users = [&] {
    std::vector<UserNumber> numbers;
    for (const auto& [id, leg] : plane.legs) numbers.push_back(leg.leg.user);
    return numbers;
  };
  ServerOptions options = Options();
  options.limits.rates.packets_per_leg = 100;
  ASSERT_TRUE(server->Reconfigure(options).ok());
  EXPECT_EQ(plane.rates, options.limits.rates);
  EXPECT_THAT(users(), ElementsAre(0));  // who sends doesn't matter to it

  options.limits.rates.bytes_per_user = 100'000;
  ASSERT_TRUE(server->Reconfigure(options).ok());
  EXPECT_EQ(plane.rates, options.limits.rates);
  TickAll();
  EXPECT_THAT(users(), ElementsAre(1));
  TestClient bob = Client("bob", "another-password");
  ASSERT_TRUE(bob.Allocate(now).success());
  Allocated();
  EXPECT_THAT(users(), ElementsAre(1, 2, 1));
  ASSERT_TRUE(bob.Refresh(now, 0).success());
  ASSERT_TRUE(Client("bob", "another-password").Allocate(now).success());
  EXPECT_THAT(users(), UnorderedElementsAre(1, 1, 2));

  // Other changes leave who is who alone.
  options.auth.users["carol"] = "carols-password";
  options.limits.rates.bytes_per_user = 200'000;
  ASSERT_TRUE(server->Reconfigure(options).ok());
  EXPECT_EQ(plane.rates.bytes_per_user, 200'000u);
  EXPECT_THAT(users(), UnorderedElementsAre(1, 1, 2));

  ASSERT_TRUE(server->Reconfigure(Options()).ok());
  EXPECT_EQ(plane.rates, ForwardingRates());
  // The next rate finds all users known.
  Allocated();
  EXPECT_EQ(plane.legs.rbegin()->second.leg.user, 1u);
  ASSERT_TRUE(server->Reconfigure(options).ok());
  EXPECT_THAT(users(), UnorderedElementsAre(1, 1, 1, 2));
}

// The numbers that a plane keeps something for are those of legs that there are.
TEST_F(ReconfigureTest, AUserWhoseAllocationFailsHasNoNumber) {
  ServerOptions options = Options();
  options.limits.rates.bytes_per_user = 100'000;
  Start(options);
  plane.fail_after = 0;
  EXPECT_EQ(Client("bob", "another-password").Allocate(now).error, 508);
  plane.fail_after = -1;
  Allocated();
  EXPECT_EQ(plane.legs.begin()->second.leg.user, 1u);
}

TEST_F(ReconfigureTest, EachRefusalHasACounterANameAndASentence) {
  std::set<std::string_view> names;
  for (size_t i = 0; i < kCountOf<Refusal>; ++i) {
    const auto refusal = static_cast<Refusal>(i);
    EXPECT_TRUE(names.insert(Name(refusal)).second);
    EXPECT_EQ(Sentence(refusal).back(), '.');
  }
  ServerOptions options = Options();
  options.limits.max_allocations = 1;
  options.limits.max_permissions_per_allocation = 1;
  options.limits.max_channels_per_allocation = 1;
  Start(options);
  TestClient client = Allocated();
  EXPECT_EQ(Client().Allocate(now).error, 508);
  EXPECT_EQ(Refused(Refusal::kMaxAllocations), 1u);
  EXPECT_EQ(client.Permit(now, {kPeer, kOtherPeer}).error, 508);
  EXPECT_EQ(Refused(Refusal::kPermissions), 1u);
  ASSERT_TRUE(client.Bind(now, 0x4001, kPeer).success());
  EXPECT_EQ(client.Bind(now, 0x4002, kPeer).error, 400);
  EXPECT_EQ(client.Bind(now, 0x4002, At("198.51.100.7:5001")).error, 508);
  EXPECT_EQ(Refused(Refusal::kChannels), 1u);
  ASSERT_TRUE(client.Refresh(now, 0).success());
  plane.fail_after = 0;
  EXPECT_EQ(Client().Allocate(now).error, 508);
  EXPECT_EQ(Refused(Refusal::kTableFull), 1u);
}

}  // namespace
}  // namespace sotto::relay
