// SPDX-License-Identifier: Apache-2.0
#include "dataplane/table/meters.h"

#include <gtest/gtest.h>

#include <thread>
#include <vector>

namespace sotto::dataplane {
namespace {

using enum Meters::Side;

constexpr uint64_t kStart = 1'000'000;  // ms

class MetersTest : public testing::Test {
 protected:
  bool Passes(RecordNumber leg, uint32_t bytes, uint64_t now_ms, Meters::Side side = kClient) {
    return !meters_.Pass(leg, side, bytes, now_ms, true).has_value();
  }
  // How many of `count` packets, sent evenly over `ms`, pass.
  uint32_t PassOf(RecordNumber leg, uint32_t count, uint32_t bytes, uint64_t from, uint64_t ms,
                  Meters::Side side = kClient) {
    uint32_t passed = 0;
    for (uint32_t i = 0; i < count; ++i) {
      passed += Passes(leg, bytes, from + i * ms / count, side) ? 1 : 0;
    }
    return passed;
  }

  Meters meters_{4};
};

TEST_F(MetersTest, WithoutARateNothingIsBounded) {
  EXPECT_FALSE(meters_.on());
  meters_.SetRates({.packets_per_leg = 1});
  EXPECT_TRUE(meters_.on());
  meters_.SetRates({});
  EXPECT_FALSE(meters_.on());
  EXPECT_EQ(PassOf(1, 10'000, 1500, kStart, 10), 10'000u);
}

TEST_F(MetersTest, ALegGetsItsPacketsAndASecondsWorthAtOnce) {
  meters_.SetRates({.packets_per_leg = 100});
  meters_.Start(1, 0);
  EXPECT_EQ(PassOf(1, 1000, 1500, kStart, 1), 101u);
  // From then on what the rate says, however much more is sent.
  EXPECT_EQ(PassOf(1, 100'000, 1500, kStart + 1, 10'000), 1000u);
  // Below the rate nothing is lost.
  EXPECT_EQ(PassOf(1, 900, 1500, kStart + 20'000, 10'000), 900u);
  EXPECT_EQ(meters_.Pass(1, kClient, 1, kStart + 30'000, true), std::nullopt);
}

TEST_F(MetersTest, SaysWhichRateItIs) {
  meters_.SetRates({.packets_per_leg = 10, .bytes_per_user = 10'000});
  meters_.Start(1, 1);
  meters_.Start(2, 1);
  PassOf(1, 100, 20, kStart, 1);
  EXPECT_EQ(meters_.Pass(1, kClient, 20, kStart, true), DropReason::kAllocationRate);
  EXPECT_EQ(meters_.Pass(2, kClient, 60'000, kStart, true), std::nullopt);
  EXPECT_EQ(meters_.Pass(2, kClient, 20, kStart, true), DropReason::kUserRate);
}

TEST_F(MetersTest, LegsSpendApartAndAUsersLegsTogether) {
  meters_.SetRates({.packets_per_leg = 100, .bytes_per_user = 100'000});
  meters_.Start(1, 1);
  meters_.Start(2, 1);
  meters_.Start(3, 2);
  EXPECT_EQ(PassOf(1, 1000, 10, kStart, 1), 101u);
  EXPECT_EQ(PassOf(2, 1000, 10, kStart, 1), 101u);
  const uint64_t later = kStart + 10'000;
  EXPECT_EQ(PassOf(1, 60, 1000, later, 1), 60u);
  EXPECT_EQ(PassOf(2, 60, 1000, later, 1), 41u);
  EXPECT_EQ(PassOf(3, 60, 1000, later, 1), 60u);
}

TEST_F(MetersTest, AFloodFromPeersLeavesTheClientItsShare) {
  meters_.SetRates({.packets_per_leg = 100, .bytes_per_user = 100'000});
  meters_.Start(1, 1);
  PassOf(1, 10'000, 1500, kStart, 1000, kPeer);
  EXPECT_FALSE(Passes(1, 1500, kStart + 999, kPeer));
  EXPECT_TRUE(Passes(1, 1500, kStart + 999, kClient));
}

TEST_F(MetersTest, ALegThatCameWhileThereWasNoRateIsItsOwnUsersAlone) {
  meters_.SetRates({.bytes_per_user = 1000});
  meters_.Start(1, 1);
  meters_.Start(2, 2);
  PassOf(1, 10, 1500, kStart, 1);
  EXPECT_FALSE(Passes(1, 1500, kStart));
  meters_.SetRates({});
  meters_.Start(1, 2);  // another leg, with the first one's number
  meters_.SetRates({.bytes_per_user = 1000});
  EXPECT_TRUE(Passes(1, 1500, kStart));
  EXPECT_FALSE(Passes(2, 1500, kStart));
}

TEST_F(MetersTest, APacketThatIsLargerThanASecondsWorthPassesAndIsPaidFor) {
  meters_.SetRates({.bytes_per_user = 1000});
  meters_.Start(1, 1);
  EXPECT_TRUE(Passes(1, 65'535, kStart));
  EXPECT_FALSE(Passes(1, 20, kStart + 64'000));
  EXPECT_TRUE(Passes(1, 20, kStart + 65'000));
}

TEST_F(MetersTest, IsExactToLineRateAndDownToTheLowest) {
  for (const uint64_t rate : {uint64_t{1000}, uint64_t{2'500'000}, uint64_t{12'500'000'000}}) {
    Meters meters(1);
    meters.SetRates({.bytes_per_user = rate});
    meters.Start(1, 1);
    const auto size = static_cast<uint32_t>(std::min<uint64_t>(rate / 100, 60'000));
    uint64_t bytes = 0;
    // Twice what is allowed, for ten seconds.
    for (uint64_t sent = 0; sent < 20 * rate; sent += size) {
      const uint64_t now = kStart + sent * 1000 / (2 * rate);
      if (!meters.Pass(1, kClient, size, now, true)) bytes += size;
    }
    EXPECT_NEAR(static_cast<double>(bytes) / static_cast<double>(11 * rate), 1, 0.01) << rate;
  }
}

TEST_F(MetersTest, ANewLegDoesNotPayForWhoWasThereBefore) {
  meters_.SetRates({.packets_per_leg = 10});
  meters_.Start(1, 0);
  PassOf(1, 100, 20, kStart, 1);
  EXPECT_FALSE(Passes(1, 20, kStart));
  meters_.Start(1, 0);
  EXPECT_TRUE(Passes(1, 20, kStart));
}

TEST_F(MetersTest, ALowerRateHoldsAtOnceAndIsNoPunishment) {
  meters_.SetRates({.packets_per_leg = 1'000'000});
  meters_.Start(1, 0);
  PassOf(1, 2'000'000, 20, kStart, 1);
  meters_.SetRates({.packets_per_leg = 10});
  EXPECT_EQ(PassOf(1, 1000, 20, kStart + 1, 10'000), 100u);
}

TEST_F(MetersTest, LookingTakesNothing) {
  meters_.SetRates({.packets_per_leg = 10});
  meters_.Start(1, 0);
  for (int i = 0; i < 100; ++i) {
    EXPECT_EQ(meters_.Pass(1, kClient, 20, kStart, false), std::nullopt);
  }
  EXPECT_EQ(PassOf(1, 100, 20, kStart, 1), 11u);
  EXPECT_EQ(meters_.Pass(1, kClient, 20, kStart, false), DropReason::kAllocationRate);
}

TEST_F(MetersTest, WorkersThatSpendAtOnceSpendNoMoreThanThereIs) {
  meters_.SetRates({.packets_per_leg = 50'000});
  meters_.Start(1, 0);
  std::atomic<uint32_t> passed = 0;
  std::vector<std::thread> workers;
  for (int i = 0; i < 4; ++i) {
    workers.emplace_back([&] { passed += PassOf(1, 40'000, 20, kStart, 1); });
  }
  for (std::thread& worker : workers) worker.join();
  EXPECT_EQ(passed, 50'001u);
}

}  // namespace
}  // namespace sotto::dataplane
