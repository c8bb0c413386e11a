// SPDX-License-Identifier: Apache-2.0
// What a change of the options means for allocations that stand: a step at a time, while others
// come and go.
#include <gmock/gmock.h>

#include <map>
#include <random>

#include "relay/turn/server_fixture.h"

namespace sotto::relay {
namespace {

using testing::Each;
using testing::Gt;

const TransportAddress kPeer = At("198.51.100.7:5000");
const TransportAddress kOtherPeer = At("198.51.100.8:5000");
constexpr uint32_t kSteps = 4;  // allocations that a tick sweeps
constexpr uint32_t kBudget = 4 * kSteps;

class SweepTest : public ServerTest {
 protected:
  // With a channel to each of the two peers.
  TestClient Bound() {
    TestClient client = Allocated();
    EXPECT_TRUE(client.Bind(now, 0x4001, kPeer).success());
    EXPECT_TRUE(client.Bind(now, 0x4002, kOtherPeer).success());
    return client;
  }
  void Deny(const std::vector<std::string>& prefixes) {
    ServerOptions options = server->options();
    options.peers.deny.clear();
    for (const std::string& prefix : prefixes) {
      options.peers.deny.push_back(*IpPrefix::Parse(prefix));
    }
    ASSERT_TRUE(server->Reconfigure(options).ok());
  }
  uint32_t LegsWith(uint16_t channel, const TransportAddress& peer) const {
    uint32_t count = 0;
    for (const auto& [id, leg] : plane.legs) {
      EXPECT_EQ(leg.channels.contains(channel), leg.permissions.contains(peer.ip));
      count += leg.channels.contains(channel);
    }
    return count;
  }
  void SetQuota(uint32_t limit) {
    ServerOptions options = server->options();
    options.limits.max_allocations_per_user = limit;
    ASSERT_TRUE(server->Reconfigure(options).ok());
  }
  void SetUserRate(uint64_t rate) {
    ServerOptions options = server->options();
    options.limits.rates.bytes_per_user = rate;
    ASSERT_TRUE(server->Reconfigure(options).ok());
  }
};

TEST_F(SweepTest, RefusedPeersAreRefusedAtOnceAndTakenFromALimitedNumberAtATime) {
  Start();
  std::vector<TestClient> clients;
  for (int i = 0; i < 40; ++i) clients.push_back(Bound());
  Deny({"198.51.100.7/32"});
  EXPECT_EQ(LegsWith(0x4001, kPeer), 40u);
  for (TestClient& client : clients) {
    EXPECT_EQ(client.Bind(now, 0x4001, kPeer).error, 403);  // nor is it refreshed
    EXPECT_EQ(client.Permit(now, {kPeer}).error, 403);
  }
  for (uint32_t left = 40; left > 0; left -= kSteps) {
    EXPECT_EQ(LegsWith(0x4001, kPeer), left);
    server->Tick(now, kBudget);
  }
  EXPECT_EQ(LegsWith(0x4001, kPeer), 0u);
  EXPECT_EQ(LegsWith(0x4002, kOtherPeer), 40u);
}

TEST_F(SweepTest, AnotherChangeMeanwhileBeginsAnewWithWhatIsInForceThen) {
  Start();
  for (int i = 0; i < 40; ++i) Bound();
  Deny({"198.51.100.7/32"});
  for (int i = 0; i < 5; ++i) server->Tick(now, kBudget);
  EXPECT_EQ(LegsWith(0x4001, kPeer), 20u);
  Deny({"198.51.100.8/32"});  // the first one is allowed again
  for (int i = 0; i < 10; ++i) server->Tick(now, kBudget);
  EXPECT_EQ(LegsWith(0x4001, kPeer), 20u);
  EXPECT_EQ(LegsWith(0x4002, kOtherPeer), 0u);
  // One that changes nothing for them leaves the sweep as it is.
  Deny({"198.51.100.7/32"});
  for (int i = 0; i < 5; ++i) {
    server->Tick(now, kBudget);
    ServerOptions options = server->options();
    options.auth.users[std::to_string(i)] = "a-password";
    ASSERT_TRUE(server->Reconfigure(options).ok());
  }
  for (int i = 0; i < 5; ++i) server->Tick(now, kBudget);
  EXPECT_EQ(LegsWith(0x4001, kPeer), 0u);
}

// Whatever comes and goes: who holds less than the quota is never refused; and once the sweep is
// over, who holds as much always is.
TEST_F(SweepTest, TheFirstQuotaIsNeverTooStrictAndSoonExact) {
  constexpr uint32_t kQuota = 12;
  constexpr int kAllocations = 60;
  for (uint32_t seed = 0; seed < 20; ++seed) {
    std::mt19937 dice(seed);
    plane.legs.clear();
    Start();
    const std::string users[] = {std::string(kUser), "bob"};
    std::map<std::string, std::vector<TestClient>> held;
    const auto allocate = [&](const std::string& user) {
      TestClient client = Client(user, user == kUser ? kPassword : "another-password");
      const int error = client.Allocate(now).error;
      if (error == 0) held[user].push_back(client);
      return error;
    };
    const auto release = [&](const std::string& user) {
      std::vector<TestClient>& clients = held[user];
      if (clients.empty()) return;
      std::swap(clients[dice() % clients.size()], clients.back());
      ASSERT_TRUE(clients.back().Refresh(now, 0).success());
      clients.pop_back();
    };
    for (int i = 0; i < kAllocations; ++i) ASSERT_EQ(allocate(users[dice() % 2]), 0);
    SetQuota(kQuota);
    const int sweep = kAllocations / static_cast<int>(kSteps);
    for (int tick = 0; tick < 3 * sweep; ++tick) {
      const bool over = tick > 2 * sweep;
      for (int i = 0; i < 4; ++i) {
        const std::string& user = users[dice() % 2];
        if (dice() % 3 != 0) {
          release(user);
          continue;
        }
        const size_t before = held[user].size();
        const int error = allocate(user);
        if (before < kQuota || over) {
          EXPECT_EQ(error, before < kQuota ? 0 : 486) << "seed " << seed << ", tick " << tick;
        }
      }
      server->Tick(now, kBudget);
    }
    // Without a quota for a while, and with another one: at once, as all are counted.
    SetQuota(0);
    while (held["bob"].size() < kQuota + 3) ASSERT_EQ(allocate("bob"), 0);
    SetQuota(kQuota);
    EXPECT_EQ(allocate("bob"), 486);
    while (held["bob"].size() >= kQuota) release("bob");
    EXPECT_EQ(allocate("bob"), 0);
    EXPECT_EQ(allocate("bob"), 486);
  }
}

TEST_F(SweepTest, AnAllocationStaysWhoseItWasWhenItWasMade) {
  constexpr std::string_view kSecret = "a-shared-secret";
  ServerOptions options = Options();
  options.auth.shared_secrets = {std::string(kSecret)};
  options.limits.max_allocations_per_user = 1;
  Start(options);
  const auto allocate = [&](int64_t seconds, std::vector<TestClient>* kept = nullptr) {
    const std::string username = std::to_string(now.unix_s + seconds) + ":carol";
    TestClient client = Client(username, MintTimeLimitedPassword(kSecret, username));
    const int error = client.Allocate(now).error;
    if (kept != nullptr) kept->push_back(client);
    return error;
  };
  std::vector<TestClient> kept;
  // Far beyond what fits into 32 bits.
  ASSERT_EQ(allocate(9'000'000'000, &kept), 0);
  // By now that would be the name of a user.
  options.auth.users[std::to_string(now.unix_s + 9'000'000'000) + ":carol"] = "a-password";
  ASSERT_TRUE(server->Reconfigure(options).ok());
  TickAll();
  EXPECT_EQ(allocate(60), 486);
  server->ForEachAllocation(0, 10, false,
                            [](const AllocationInfo& info) { EXPECT_EQ(info.user, "carol"); });
  ASSERT_TRUE(kept[0].Refresh(now, 0).success());
  EXPECT_EQ(allocate(60), 0);
}

TEST_F(SweepTest, LegsGetTheirUsersWhileOthersComeAndGo) {
  Start();
  std::map<std::string, std::vector<TestClient>> held;
  const auto allocate = [&](const std::string& user) {
    held[user].push_back(Client(user, user == kUser ? kPassword : "another-password"));
    ASSERT_TRUE(held[user].back().Allocate(now).success());
  };
  for (int i = 0; i < 20; ++i) {
    allocate(std::string(kUser));
    allocate("bob");
  }
  SetUserRate(100'000);
  EXPECT_EQ(plane.rates.bytes_per_user, 100'000u);
  for (int tick = 0; tick < 10; ++tick) {
    // A slot that was swept is used again, and one that wasn't is given up.
    ASSERT_TRUE(held["bob"][tick].Refresh(now, 0).success());
    allocate(std::string(kUser));
    if (tick == 4) SetUserRate(0);
    if (tick == 5) SetUserRate(200'000);
    server->Tick(now, kBudget);
  }
  std::map<std::string, std::vector<UserNumber>> numbers;
  server->ForEachAllocation(0, 1000, false, [&](const AllocationInfo& info) {
    numbers[info.user].push_back(plane.legs.at(info.id).leg.user);
  });
  ASSERT_EQ(numbers["bob"].size(), 10u);
  EXPECT_THAT(numbers["bob"], Each(numbers["bob"][0]));
  EXPECT_THAT(numbers[std::string(kUser)], Each(numbers[std::string(kUser)][0]));
  EXPECT_NE(numbers["bob"][0], numbers[std::string(kUser)][0]);
  EXPECT_THAT(numbers["bob"], Each(Gt(0u)));
  EXPECT_THAT(numbers[std::string(kUser)], Each(Gt(0u)));
}

}  // namespace
}  // namespace sotto::relay
