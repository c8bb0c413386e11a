// SPDX-License-Identifier: Apache-2.0
// What an operator ends by a filter, against a real TURN server: a step at a time.
#include "dataplane/relayd/operator/allocation_sweep.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "dataplane/relayd/operator/allocation_id.h"
#include "dataplane/relayd/operator/allocation_query.h"
#include "relay/turn/test_client.h"

namespace sotto::dataplane {
namespace {

namespace api = relay::v1;

constexpr uint32_t kStep = AllocationSweep::kPlacesAtOnce;
constexpr Now kNow = {.monotonic_ms = 5'000'000, .unix_s = 1'800'000'000};

relay::ServerOptions Options() {
  relay::ServerOptions options;
  options.realm = "example.org";
  options.listen = {*TransportAddress::Parse("192.0.2.10:3478")};
  options.relay_addresses = {*IpAddress::Parse("192.0.2.10")};
  options.auth.users = {{"alice", "alices-password"}, {"mallory", "mallorys-password"}};
  options.peers.allow = {*IpPrefix::Parse("198.51.100.0/24")};
  // Time stands still here, so that nothing flows back.
  options.limits.unauthenticated_excess_burst = UINT32_MAX;
  return options;
}

class AllocationSweepTest : public testing::Test {
 protected:
  relay::TestClient Allocate(const std::string& user) {
    relay::TestClient client(server_,
                             {{IpAddress::V4(203, 0, 113, user == "alice" ? 1 : 2), port_++},
                              *TransportAddress::Parse("192.0.2.10:3478")},
                             user, Options().auth.users.at(user));
    EXPECT_TRUE(client.Allocate(kNow).success());
    return client;
  }
  void Allocate(const std::string& user, uint32_t count) {
    for (uint32_t i = 0; i < count; ++i) Allocate(user);
  }
  std::map<std::string, uint32_t> Standing() const {
    std::map<std::string, uint32_t> standing;
    server_.ForEachAllocation(0, UINT32_MAX, false,
                              [&](const relay::AllocationInfo& info) { ++standing[info.user]; });
    return standing;
  }

  AllocationSweep Sweep(const api::AllocationFilter& filter, bool dry_run = false) {
    const absl::StatusOr<AllocationQuery> query = AllocationQuery::Parse(filter);
    EXPECT_TRUE(query.ok()) << query.status();
    EXPECT_FALSE(query->all());
    return {{.first = query->first(),
             .single = query->single(),
             .bindings = query->bindings(),
             .limit = query->limit(),
             .dry_run = dry_run},
            [query = *query](const relay::AllocationInfo& info, MonotonicMs now) {
              return query.Matches(info, now);
            }};
  }
  // How many it says, and after how many steps.
  std::pair<uint32_t, uint32_t> Run(AllocationSweep sweep) {
    for (uint32_t steps = 1;; ++steps) {
      if (const auto ended = sweep.Step(server_, kNow)) return {*ended, steps};
    }
  }
  static api::AllocationFilter Of(const std::string& user) {
    api::AllocationFilter filter;
    filter.set_user(user);
    return filter;
  }

  relay::NullForwardingPlane plane_;
  relay::Server server_{Options(), plane_};
  uint16_t port_ = 1024;
};

using Counts = std::map<std::string, uint32_t>;
using SaidAndSteps = std::pair<uint32_t, uint32_t>;

TEST_F(AllocationSweepTest, EndsAllThatMatchAndNoOther) {
  for (uint32_t i = 0; i < kStep; ++i) {
    Allocate("alice");
    Allocate("mallory");
  }
  EXPECT_EQ(Run(Sweep(Of("mallory"))), SaidAndSteps(kStep, 2));
  EXPECT_EQ(Standing(), (Counts{{"alice", kStep}}));
  EXPECT_EQ(Run(Sweep(Of("mallory"))).first, 0u);
}

TEST_F(AllocationSweepTest, AStepIsBoundedHoweverManyThereAre) {
  Allocate("mallory", 3 * kStep + 1);
  AllocationSweep sweep = Sweep(Of("mallory"));
  for (uint32_t step = 1; step <= 3; ++step) {
    EXPECT_FALSE(sweep.Step(server_, kNow).has_value());
    EXPECT_EQ(server_.allocation_count(), (3 - step) * kStep + 1);
  }
  EXPECT_EQ(sweep.Step(server_, kNow), 3 * kStep + 1);
  EXPECT_EQ(server_.allocation_count(), 0u);
}

TEST_F(AllocationSweepTest, WhatIsAllocatedMeanwhileIsNoEndlessChase) {
  Allocate("mallory", 2 * kStep);
  AllocationSweep sweep = Sweep(Of("mallory"));
  EXPECT_FALSE(sweep.Step(server_, kNow).has_value());
  Allocate("mallory");  // the first places are free again
  EXPECT_EQ(sweep.Step(server_, kNow), 2 * kStep);
  EXPECT_EQ(Standing(), (Counts{{"mallory", 1}}));
}

TEST_F(AllocationSweepTest, ADryRunCountsTheSameAndEndsNone) {
  Allocate("mallory", kStep + 10);
  Allocate("alice", 5);
  EXPECT_EQ(Run(Sweep(Of("mallory"), /*dry_run=*/true)), SaidAndSteps(kStep + 10, 2));
  EXPECT_EQ(Standing(), (Counts{{"alice", 5}, {"mallory", kStep + 10}}));
}

TEST_F(AllocationSweepTest, ALimitIsOfThoseThatMatch) {
  Allocate("alice", 20);
  Allocate("mallory", kStep);
  api::AllocationFilter filter = Of("mallory");
  for (const uint32_t limit : {7u, kStep - 1}) {
    for (const bool dry_run : {true, false}) {
      const uint32_t before = Standing()["mallory"];
      const uint32_t expected = std::min(limit, before);
      filter.set_limit(limit);
      EXPECT_EQ(Run(Sweep(filter, dry_run)).first, expected);
      EXPECT_EQ(Standing()["mallory"], dry_run ? before : before - expected);
    }
  }
  EXPECT_EQ(Standing(), (Counts{{"alice", 20}}));
}

TEST_F(AllocationSweepTest, OneByItsIdAlone) {
  Allocate("mallory", 3);
  std::vector<uint64_t> ids;
  server_.ForEachAllocation(0, UINT32_MAX, false, [&](const relay::AllocationInfo& info) {
    ids.push_back(OperatorId(info));
  });
  api::AllocationFilter filter;
  filter.set_id(ids[1]);
  EXPECT_EQ(Run(Sweep(filter)), SaidAndSteps(1, 1));
  EXPECT_EQ(Run(Sweep(filter)), SaidAndSteps(0, 1));
  EXPECT_EQ(server_.allocation_count(), 2u);
  // No other is even looked at.
  uint32_t looked = 0;
  Run({{.first = 0, .single = true}, [&](const relay::AllocationInfo&, MonotonicMs) {
         ++looked;
         return false;
       }});
  EXPECT_EQ(looked, 1u);
}

TEST_F(AllocationSweepTest, ByClientAndPeer) {
  const auto peer = *TransportAddress::Parse("198.51.100.7:5000");
  Allocate("alice").Permit(kNow, {peer});
  Allocate("alice").Bind(kNow, 0x4001, peer);
  Allocate("mallory").Permit(kNow, {peer});
  Allocate("alice", 4);
  api::AllocationFilter filter;
  filter.set_peer("198.51.100.0/24");
  EXPECT_EQ(Run(Sweep(filter, true)).first, 3u);
  filter.set_client("203.0.113.1");
  EXPECT_EQ(Run(Sweep(filter)).first, 2u);
  EXPECT_EQ(Standing(), (Counts{{"alice", 4}, {"mallory", 1}}));
}

TEST(AllocationQueryTest, AFilterThatAsksForNothingIsKnown) {
  api::AllocationFilter filter;
  filter.set_limit(3);
  filter.set_details(true);
  EXPECT_TRUE(AllocationQuery::Parse(filter)->all());
  const auto asks = [](auto set) {
    api::AllocationFilter one;
    set(one);
    return !AllocationQuery::Parse(one)->all();
  };
  EXPECT_TRUE(asks([](auto& f) { f.set_id(1); }));
  EXPECT_TRUE(asks([](auto& f) { f.set_user("x"); }));
  EXPECT_TRUE(asks([](auto& f) { f.set_client("0.0.0.0/0"); }));
  EXPECT_TRUE(asks([](auto& f) { f.set_relayed("192.0.2.1"); }));
  EXPECT_TRUE(asks([](auto& f) { f.set_peer("192.0.2.1"); }));
  EXPECT_TRUE(asks([](auto& f) { f.set_min_age_s(1); }));
  EXPECT_TRUE(asks([](auto& f) { f.set_max_age_s(1); }));
}

}  // namespace
}  // namespace sotto::dataplane
