// SPDX-License-Identifier: Apache-2.0
// What an operator sees of allocations and calls.
#include <gmock/gmock.h>

#include "relay/turn/server_fixture.h"

namespace sotto::relay {
namespace {

using testing::ElementsAre;

class OperatorTest : public ServerTest {
 protected:
  static constexpr std::string_view kSecret = "the-current-secret";

  TestClient Named(std::string_view name) {
    const std::string username = std::to_string(now.unix_s + 1000) + ":" + std::string(name);
    TestClient client = Client(username, MintTimeLimitedPassword(kSecret, username));
    EXPECT_TRUE(client.Allocate(now).success()) << name;
    return client;
  }
  void StartWithCalls() {
    ServerOptions options = Options();
    options.auth.users.clear();
    options.auth.shared_secrets = {std::string(kSecret)};
    options.peers = {.kind = PeerPolicyKind::kCall};
    Start(options);
  }
};

TEST_F(OperatorTest, PiecesOfARoundVisitEachAllocationOnceWhateverComesAndGoes) {
  Start();
  std::vector<TestClient> clients;
  for (int i = 0; i < 20; ++i) clients.push_back(Allocated());
  std::vector<LegId> seen;
  LegId next = 0;
  for (int piece = 0;; ++piece) {
    uint32_t visited = 0;
    next = server->ForEachAllocation(next, 3, false, [&](const AllocationInfo& info) {
      ++visited;
      seen.push_back(info.id);
    });
    EXPECT_LE(visited, 3u);
    if (next == 0) break;
    // One that was visited ends, and one comes in its place.
    if (piece == 2) {
      EXPECT_TRUE(clients[0].Refresh(now, 0).success());
      Allocated();
    }
  }
  ASSERT_EQ(seen.size(), 20u);
  for (LegId id = 0; id < 20; ++id) EXPECT_EQ(seen[id], id);
}

TEST_F(OperatorTest, TellsWhomACredentialNamesAndWhatIsBoundIfAsked) {
  ServerOptions options = Options();
  options.auth.shared_secrets = {std::string(kSecret)};
  Start(options);
  TestClient client = Named("carol");
  EXPECT_TRUE(client.Permit(now, {At("198.51.100.7:0")}).success());
  EXPECT_TRUE(client.Bind(now, 0x4001, At("198.51.100.9:1000")).success());
  for (const bool bindings : {false, true}) {
    int visited = 0;
    server->ForEachAllocation(0, 10, bindings, [&](const AllocationInfo& info) {
      ++visited;
      EXPECT_EQ(info.user, "carol");
      EXPECT_TRUE(info.username.ends_with(":carol"));
      EXPECT_EQ(info.permissions, 2u);
      EXPECT_EQ(info.channels, 1u);
      EXPECT_EQ(info.permission_list.size(), bindings ? 2u : 0u);
      ASSERT_EQ(info.channel_list.size(), bindings ? 1u : 0u);
      if (!bindings) return;
      EXPECT_EQ(info.permission_list[0].peer, Ip("198.51.100.7"));
      EXPECT_EQ(info.channel_list[0].number, 0x4001);
      EXPECT_EQ(info.channel_list[0].peer, At("198.51.100.9:1000"));
      EXPECT_EQ(info.channel_list[0].expires_at, now.monotonic_ms + 600'000);
    });
    EXPECT_EQ(visited, 1);
  }
}

TEST_F(OperatorTest, CountsCallsAndThoseThatAreArmed) {
  StartWithCalls();
  const auto counts = [&] { return std::pair(server->call_count(), server->armed_call_count()); };
  EXPECT_EQ(counts(), std::pair(0u, 0u));
  TestClient a = Named("one/a");
  TestClient b = Named("one/b");
  TestClient other = Named("two/a");
  EXPECT_EQ(counts(), std::pair(2u, 0u));
  ASSERT_TRUE(server->ArmCall("one", now).ok());
  ASSERT_TRUE(server->ArmCall("one", now).ok());
  EXPECT_EQ(counts(), std::pair(2u, 1u));
  ASSERT_TRUE(server->ArmCall("early", now).ok());
  EXPECT_EQ(counts(), std::pair(3u, 2u));
  ASSERT_TRUE(server->DisarmCall("one", now).ok());
  ASSERT_TRUE(server->DisarmCall("one", now).ok());
  EXPECT_EQ(counts(), std::pair(3u, 1u));
  ASSERT_TRUE(server->ArmCall("two", now).ok());
  ASSERT_TRUE(server->EndCall("two", now).ok());
  EXPECT_EQ(counts(), std::pair(2u, 1u));
  // An armed call outlives its legs, but not for ever.
  ASSERT_TRUE(server->ArmCall("one", now).ok());
  EXPECT_TRUE(a.Refresh(now, 0).success());
  EXPECT_TRUE(b.Refresh(now, 0).success());
  EXPECT_EQ(counts(), std::pair(2u, 2u));
  Pass(3600);
  TickAll();
  EXPECT_EQ(counts(), std::pair(0u, 0u));
}

TEST_F(OperatorTest, CountsWhatBecomesOfCredentials) {
  Start();
  const auto counts = [&] {
    const ServerCounters& counters = server->counters();
    return std::vector<uint64_t>{counters.authenticated, counters.auth_failures,
                                 counters.stale_nonces};
  };
  TestClient client = Allocated();
  EXPECT_THAT(counts(), ElementsAre(1, 0, 0));
  EXPECT_TRUE(client.Refresh(now).success());
  EXPECT_THAT(counts(), ElementsAre(2, 0, 0));
  TestClient guess = Client(kUser, "a-wrong-password");
  EXPECT_EQ(guess.Allocate(now).error, 401);
  EXPECT_THAT(counts(), ElementsAre(2, 1, 0));
}

}  // namespace
}  // namespace sotto::relay
