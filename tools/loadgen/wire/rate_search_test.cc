// SPDX-License-Identifier: Apache-2.0
#include "tools/loadgen/wire/rate_search.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <functional>

namespace sotto::tools {
namespace {

// A sender of at most `sender_pps` in front of a device that forwards `capacity_pps`.
struct Bench {
  double sender_pps = 10e6;
  double capacity_pps = 3e6;
  // Share of the packets that is lost in any case.
  std::function<double(size_t trial)> noise = [](size_t) { return 0.0; };
  size_t trials = 0;

  RateTrial Run(double asked_pps) {
    RateTrial trial;
    trial.offered_pps = asked_pps == 0 ? sender_pps : std::min(asked_pps, sender_pps);
    trial.loss = std::max(0.0, 1 - capacity_pps / trial.offered_pps);
    trial.loss = std::min(1.0, trial.loss + noise(trials++));
    trial.received_pps = trial.offered_pps * (1 - trial.loss);
    return trial;
  }

  RateSearch Search(const RateSearchOptions& options) {
    RateSearch search(options);
    while (const auto pps = search.Next()) {
      search.Note(Run(*pps));
      if (trials > 200) {
        ADD_FAILURE() << "the search doesn't end";
        break;
      }
    }
    return search;
  }
};

TEST(RateSearch, FindsTheCapacityOfDevicesOfAnySize) {
  for (double capacity : {2e3, 51'234.0, 700e3, 3e6, 9.99e6}) {
    for (double precision : {0.1, 0.02, 0.005}) {
      Bench bench{.capacity_pps = capacity};
      const RateSearch search = bench.Search({.precision = precision});
      ASSERT_TRUE(search.best());
      EXPECT_LE(search.best()->received_pps, capacity * 1.000001);
      EXPECT_GE(search.best()->received_pps, capacity * (1 - 1.1 * precision));
      EXPECT_LE(bench.trials, 25u);
      EXPECT_EQ(search.best()->loss, 0);
    }
  }
}

TEST(RateSearch, EndsAtOnceIfTheDeviceIsFasterThanTheSender) {
  Bench bench{.sender_pps = 1e6, .capacity_pps = 5e6};
  const RateSearch search = bench.Search({});
  ASSERT_TRUE(search.best());
  EXPECT_EQ(search.best()->received_pps, 1e6);
  EXPECT_EQ(bench.trials, 1u);
}

TEST(RateSearch, FindsDevicesThatCollapseUnderOverload) {
  // Forwards 1 Mpps, but a hundredth of it as soon as it is flooded.
  RateSearch search({.precision = 0.02});
  size_t trials = 0;
  while (const auto pps = search.Next()) {
    const double offered = *pps == 0 ? 10e6 : *pps;
    const double received = offered <= 1e6 ? offered : 1e4;
    search.Note({.offered_pps = offered, .received_pps = received, .loss = 1 - received / offered});
    ASSERT_LT(++trials, 60u);
  }
  ASSERT_TRUE(search.best());
  EXPECT_NEAR(search.best()->received_pps, 1e6, 3e4);
}

TEST(RateSearch, AllowedLossIsAllowed) {
  Bench bench{.noise = [](size_t) { return 0.0005; }};
  EXPECT_FALSE(bench.Search({.max_loss = 0}).best());
  Bench again{.noise = [](size_t) { return 0.0005; }};
  const RateSearch search = again.Search({.max_loss = 0.001});
  ASSERT_TRUE(search.best());
  EXPECT_NEAR(search.best()->received_pps, 3e6, 9e4);
  EXPECT_LE(search.best()->loss, 0.001);
}

TEST(RateSearch, AttemptsForgiveTrialsThatAreDisturbed) {
  // Every other trial is disturbed.
  Bench bench{.noise = [](size_t trial) { return trial % 2 == 0 ? 0.01 : 0.0; }};
  const RateSearch search = bench.Search({.precision = 0.02, .attempts = 2});
  ASSERT_TRUE(search.best());
  EXPECT_NEAR(search.best()->received_pps, 3e6, 1e5);
}

TEST(RateSearch, ARateThatTheSenderDidNotReachHasNotPassed) {
  RateSearch search({});
  search.Note({.offered_pps = 5e6, .received_pps = 2e6, .loss = 0.6});
  const double asked = *search.Next();
  search.Note({.offered_pps = asked * 0.5, .received_pps = asked * 0.5, .loss = 0});
  EXPECT_FALSE(search.best());
}

TEST(RateSearch, EndsWithoutAnAnswerIfNothingArrives) {
  Bench bench{.capacity_pps = 0};
  EXPECT_FALSE(bench.Search({}).best());
  RateSearch silent({});
  silent.Note({.offered_pps = 0, .received_pps = 0, .loss = 0});
  EXPECT_FALSE(silent.Next());
  EXPECT_FALSE(silent.best());
}

}  // namespace
}  // namespace sotto::tools
