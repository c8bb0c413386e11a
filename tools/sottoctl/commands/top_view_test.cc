// SPDX-License-Identifier: Apache-2.0
#include "tools/sottoctl/commands/top_view.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tools/sottoctl/commands/counter_math.h"
#include "tools/sottoctl/units.h"

namespace sotto::tools {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

// A relay of so many workers, drop reasons and seconds.
TopReading Reading(uint64_t seconds, size_t workers = 2, size_t reasons = 40) {
  TopReading reading;
  reading.status.set_state(relay::v1::Status::STATE_SERVING);
  reading.status.set_version("1.2.3");
  reading.status.set_realm("example.org");
  reading.status.set_policy("call");
  reading.status.set_uptime_s(seconds);
  reading.status.set_allocations(1024);
  reading.status.set_max_allocations(100'000);
  auto& counters = reading.counters;
  counters.set_monotonic_ns((100 + seconds) * 1'000'000'000);
  counters.set_rx_packets(seconds * 1'234'567);
  counters.set_rx_bytes(seconds * 1'000'000'000);
  counters.set_tx_packets(seconds * 1'200'000);
  auto* path = counters.add_paths();
  path->set_name("fused");
  path->set_count(seconds * 1'200'000);
  counters.add_paths()->set_name("binding");
  for (size_t i = 0; i < reasons; ++i) {
    auto* drop = counters.add_drops();
    drop->set_name(fmt::format("reason_{}", i));
    drop->set_count(seconds * i);
    drop->set_sentence("What it means, in a sentence that is longer than the screen is wide.");
  }
  for (const auto& [upper, packets] : {std::pair<uint64_t, uint64_t>{1000, 900}, {64'000, 100}}) {
    auto* bucket = counters.add_latency();
    bucket->set_upper_ns(upper);
    bucket->set_packets(seconds * packets);
  }
  for (size_t i = 0; i < workers; ++i) {
    auto* worker = reading.workers.add_workers();
    worker->set_index(static_cast<uint32_t>(i));
    worker->set_lcore(static_cast<uint32_t>(i + 1));
    worker->set_rx_packets(seconds * 500'000);
    worker->set_busy_cycles(seconds * (i % 4 + 1) * 20);
    worker->set_idle_cycles(seconds * (100 - (i % 4 + 1) * 20));
  }
  return reading;
}

std::string Screen(TopState& state, const Terminal::Size& size = {80, 24}) {
  const auto lines = RenderTop(state, size);
  std::string text;
  for (const ScreenLine& line : lines) text += line.text + "\n";
  return text;
}

TEST(TopViewTest, TheOverviewHasItAllIn80By24) {
  TopState state;
  state.before = Reading(1);
  state.now = Reading(3);
  const std::string screen = Screen(state);
  EXPECT_THAT(screen,
              HasSubstr("sotto-relayd 1.2.3  serving  up 3s  policy call  realm example.org"));
  EXPECT_THAT(screen, HasSubstr("Allocations 1,024 of 100,000"));
  EXPECT_THAT(screen, HasSubstr("Received        1.23 M      8.00 G"));
  EXPECT_THAT(screen, HasSubstr("Dropped            780"));
  EXPECT_THAT(screen, HasSubstr("p50 1.00 us      p90   1.00 us"));
  EXPECT_THAT(screen, HasSubstr("p99 64.0 us      p99.9 64.0 us"));
  EXPECT_THAT(screen, HasSubstr("fused                         1.20 M"));
  EXPECT_THAT(screen, Not(HasSubstr("binding"))) << "it counted nothing";
  // The busier worker stands first.
  EXPECT_LT(screen.find("[########            ]   40%"),
            screen.find("[####                ]   20%"));
  EXPECT_LT(screen.find("reason_39"), screen.find("reason_38"));
  EXPECT_EQ(std::count(screen.begin(), screen.end(), '\n'), 24);
}

TEST(TopViewTest, NoScreenIsOverrun) {
  for (const auto& [columns, rows] : {std::pair<size_t, size_t>{80, 24},
                                      {40, 10},
                                      {20, 3},
                                      {1, 1},
                                      {200, 60},
                                      {79, 5},
                                      {13, 24}}) {
    for (const TopPage page :
         {TopPage::kOverview, TopPage::kDrops, TopPage::kWorkers, TopPage::kTurn}) {
      TopState state;
      state.before = Reading(1, 64);
      state.now = Reading(2, 64);
      state.page = page;
      state.scroll = 7;
      state.trouble = "the daemon can't be reached";
      const auto lines = RenderTop(state, {columns, rows});
      EXPECT_EQ(lines.size(), rows);
      for (const ScreenLine& line : lines) EXPECT_LE(DisplayWidth(line.text), columns) << line.text;
    }
  }
}

TEST(TopViewTest, ListsScrollToTheirEndAndNoFurther) {
  TopState state;
  state.before = Reading(1);
  state.now = Reading(2);
  state.page = TopPage::kTurn;
  for (int i = 0; i < 40; ++i) {
    auto* count = state.now->counters.add_turn();
    count->set_name(fmt::format("count_{}", i));
  }
  EXPECT_THAT(Screen(state), HasSubstr("count_0 "));
  EXPECT_THAT(Screen(state), Not(HasSubstr("count_39")));
  state.scroll = SIZE_MAX / 2;
  EXPECT_THAT(Screen(state), HasSubstr("count_39"));
  EXPECT_EQ(state.scroll, 40u - (24 - 5)) << "between head, title and keys there is room for 19";
}

TEST(TopViewTest, WhatWasDroppedIsExplainedInFullAndTheRestIsNot) {
  TopState state;
  state.before = Reading(1, 2, 3);
  state.now = Reading(2, 2, 3);
  state.page = TopPage::kDrops;
  const std::string gap(51, ' ');
  EXPECT_THAT(Screen(state),
              HasSubstr("\nreason_2                          2             4  What it means, in a "
                        "sentence\n" +
                        gap + "that is longer than the\n" + gap + "screen is wide.\nreason_1 "));
  EXPECT_THAT(Screen(state), HasSubstr("\nreason_0                          0             0  "
                                       "What it means, in a sentence\n\n"));
}

TEST(TopViewTest, BeforeTheSecondLookThereAreNoRates) {
  TopState state;
  EXPECT_THAT(Screen(state), HasSubstr("Waiting for sotto-relayd"));
  state.now = Reading(1);
  EXPECT_THAT(Screen(state), HasSubstr("waiting for the second one"));
  state.trouble = "no socket\033[2J";
  EXPECT_THAT(Screen(state), HasSubstr("no socket\\x1b[2J"));
}

TEST(CounterMathTest, ARelayThatBeganAnewHasNoRates) {
  EXPECT_TRUE(RatesBetween(Reading(1).counters, Reading(2).counters));
  EXPECT_FALSE(RatesBetween(Reading(2).counters, Reading(1).counters));
  auto restarted = Reading(1).counters;
  restarted.set_monotonic_ns(Reading(5).counters.monotonic_ns());
  EXPECT_FALSE(RatesBetween(Reading(4).counters, restarted));
  auto dropped_less = Reading(5).counters;
  dropped_less.mutable_drops(7)->set_count(0);
  EXPECT_FALSE(RatesBetween(Reading(4).counters, dropped_less));
}

TEST(CounterMathTest, PercentilesAreUpperBounds) {
  std::vector<relay::v1::LatencyBucket> buckets(3);
  EXPECT_FALSE(PercentileOf(buckets, 50));
  buckets[0].set_upper_ns(100);
  buckets[0].set_packets(1);
  buckets[1].set_upper_ns(UINT64_MAX);
  buckets[2].set_upper_ns(200);
  buckets[2].set_packets(98);
  EXPECT_EQ(PercentileOf(buckets, 1)->ns, 100u);
  EXPECT_EQ(PercentileOf(buckets, 2)->ns, 200u);
  EXPECT_EQ(PercentileOf(buckets, 100)->ns, 200u);
  buckets[1].set_packets(1);
  EXPECT_FALSE(PercentileOf(buckets, 99)->above);
  const auto last = PercentileOf(buckets, 99.9);
  EXPECT_EQ(last->ns, 200u);
  EXPECT_TRUE(last->above);
}

}  // namespace
}  // namespace sotto::tools
