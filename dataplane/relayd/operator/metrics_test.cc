// SPDX-License-Identifier: Apache-2.0
#include "dataplane/relayd/operator/metrics.h"

#include <fmt/format.h>
#include <gmock/gmock.h>

#include <atomic>
#include <cmath>
#include <map>
#include <set>
#include <thread>

#include "dataplane/observe/fake_relay_view.h"

namespace sotto::dataplane {
namespace {

using testing::Contains;
using testing::Key;
using testing::Not;
using namespace std::chrono_literals;

relay::ServerOptions Options() {
  relay::ServerOptions options;
  options.realm = "example.org";
  options.listen = {*TransportAddress::Parse("192.0.2.10:3478")};
  options.relay_addresses = {*IpAddress::Parse("192.0.2.10")};
  options.auth.users = {{"demo", "a-long-secret"}};
  return options;
}

class RelayMetricsTest : public testing::Test {
 protected:
  using Values = std::map<std::string, double>;

  // While control runs its tasks.
  std::vector<prometheus::MetricFamily> Scrape() {
    std::atomic<bool> done = false;
    std::thread control([&] {
      while (!done) {
        tasks_.Run(server_, now_, 64);
        std::this_thread::sleep_for(100us);
      }
    });
    auto families = ScrapeAlone(10s);
    done = true;
    control.join();
    return families;
  }
  std::vector<prometheus::MetricFamily> ScrapeAlone(std::chrono::milliseconds patience) {
    MetricFamilies families;
    RelayMetrics("1.2.3", relay_, running_, tasks_, patience).Collect(families);
    return std::move(families).Take();
  }
  // "name{label=value,...}" to the value; of a histogram, its buckets by `le`, count and sum.
  static Values ValuesOf(const std::vector<prometheus::MetricFamily>& families) {
    Values values;
    for (const auto& family : families) {
      for (const auto& metric : family.metric) {
        std::string labels;
        for (const auto& label : metric.label) {
          labels += fmt::format("{}{}={}", labels.empty() ? "" : ",", label.name, label.value);
        }
        const std::string name =
            labels.empty() ? family.name : fmt::format("{}{{{}}}", family.name, labels);
        switch (family.type) {
          case prometheus::MetricType::Counter:
            values[name] = metric.counter.value;
            break;
          case prometheus::MetricType::Gauge:
            values[name] = metric.gauge.value;
            break;
          default:
            values[name + " count"] = static_cast<double>(metric.histogram.sample_count);
            values[name + " sum"] = metric.histogram.sample_sum;
            for (const auto& bucket : metric.histogram.bucket) {
              values[fmt::format("{} le={}", name, bucket.upper_bound)] =
                  static_cast<double>(bucket.cumulative_count);
            }
        }
      }
    }
    return values;
  }

  static RelaydConfig Config() {
    RelaydConfig config;
    config.server = Options();
    return config;
  }

  FakeRelayView relay_;
  RunningConfig running_ = *RunningConfig::Load("/nonexistent/relayd.toml", Config());
  relay::NullForwardingPlane plane_;
  relay::Server server_{Options(), plane_};
  relay::ServerTasks tasks_{64, [] {}};
  const Now now_{.monotonic_ms = 90'500, .unix_s = 1'800'000'000};
};

TEST_F(RelayMetricsTest, ShowWhatIsCounted) {
  relay_.workers[0].rx_packets.Add(33);
  relay_.workers[1].rx_packets.Add(2);
  relay_.workers[0].paths[static_cast<size_t>(PacketPath::kFused)].Add(30);
  relay_.workers[1].paths[static_cast<size_t>(PacketPath::kFused)].Add(1);
  relay_.workers[0].drops[static_cast<size_t>(DropReason::kTxFull)].Add(5);
  relay_.control.drops[static_cast<size_t>(DropReason::kTxFull)].Add(2);
  relay_.workers[0].busy_cycles.Add(1'500'000'000);
  relay_.workers[0].idle_cycles.Add(500'000'000);
  relay_.workers[0].bursts[BurstFillOf(32)].Add(1);
  relay_.workers[0].bursts[BurstFillOf(1)].Add(1);
  relay_.workers[0].latency.Record(1000, 32);
  relay_.workers[1].latency.Record(70, 1);
  PortStatistics& port = relay_.ports[0].statistics;
  port.link_up = true;
  port.link_mbps = 10'000;
  port.rx_missed = 7;
  relay_.of_control.retired_records = 12;
  const Values values = ValuesOf(Scrape());
  const std::pair<std::string_view, double> expected[] = {
      {"sotto_relay_build_info{version=1.2.3}", 1},
      {"sotto_relay_control_answered", 1},
      {"sotto_relay_uptime_seconds", 90.5},
      {"sotto_relay_received_packets_total{worker=0}", 33},
      {"sotto_relay_received_packets_total{worker=1}", 2},
      {"sotto_relay_path_packets_total{path=fused}", 31},
      {"sotto_relay_dropped_packets_total{reason=tx_full}", 7},
      {"sotto_relay_worker_seconds_total{worker=0,state=busy}", 1.5},
      {"sotto_relay_worker_seconds_total{worker=0,state=idle}", 0.5},
      {"sotto_relay_burst_packets{worker=0} le=1", 1},
      {"sotto_relay_burst_packets{worker=0} le=16", 1},
      {"sotto_relay_burst_packets{worker=0} le=32", 2},
      {"sotto_relay_burst_packets{worker=0} le=inf", 2},
      {"sotto_relay_burst_packets{worker=0} sum", 33},
      {"sotto_relay_latency_seconds le=6.4e-08", 0},
      {"sotto_relay_latency_seconds le=1.28e-07", 1},
      {"sotto_relay_latency_seconds le=5.12e-07", 1},
      {"sotto_relay_latency_seconds le=1.024e-06", 33},
      {"sotto_relay_latency_seconds le=inf", 33},
      {"sotto_relay_latency_seconds count", 33},
      {"sotto_relay_port_link_up{port=port0}", 1},
      {"sotto_relay_port_speed_bytes{port=port0}", 1.25e9},
      {"sotto_relay_port_missed_packets_total{port=port0}", 7},
      {"sotto_relay_packet_buffers_in_use", 100},
      {"sotto_relay_control_ring_packets{worker=1,ring=others}", 4},
      {"sotto_relay_retired_records", 12},
      {"sotto_relay_allocations", 0},
      {"sotto_relay_allocations_limit", 100'000},
      {"sotto_relay_draining", 0},
      {"sotto_relay_relayed_ports_in_use", 0},
      {"sotto_relay_relayed_ports_limit", 16'384},
      {"sotto_relay_error_responses_total{code=508}", 0},
      {"sotto_relay_refusals_total{reason=user_quota}", 0},
  };
  for (const auto& [name, value] : expected) {
    const auto found = values.find(std::string(name));
    ASSERT_NE(found, values.end()) << name;
    EXPECT_DOUBLE_EQ(found->second, value) << name;
  }
  EXPECT_NEAR(values.at("sotto_relay_latency_seconds sum"), 32.07e-6, 1e-12);
}

TEST_F(RelayMetricsTest, TellThatTheRelayDrains) {
  server_.Drain(std::nullopt);
  EXPECT_EQ(ValuesOf(Scrape()).at("sotto_relay_draining"), 1);
}

TEST_F(RelayMetricsTest, TellThatAReloadWasRefused) {
  EXPECT_EQ(ValuesOf(Scrape()).at("sotto_relay_config_last_reload_successful"), 1);
  ASSERT_FALSE(running_.Reload(server_).ok());
  EXPECT_EQ(ValuesOf(Scrape()).at("sotto_relay_config_last_reload_successful"), 0);
}

TEST_F(RelayMetricsTest, AnswerWithoutControlIfItIsBusy) {
  relay_.workers[0].rx_packets.Add(33);
  const auto start = std::chrono::steady_clock::now();
  const Values values = ValuesOf(ScrapeAlone(50ms));
  EXPECT_LT(std::chrono::steady_clock::now() - start, 5s);
  EXPECT_EQ(values.at("sotto_relay_control_answered"), 0);
  EXPECT_EQ(values.at("sotto_relay_received_packets_total{worker=0}"), 33);
  EXPECT_THAT(values, Not(Contains(Key("sotto_relay_allocations"))));
  // What control does about it later hurts nobody.
  EXPECT_EQ(tasks_.Run(server_, now_, 64), 1u);
  EXPECT_EQ(ValuesOf(Scrape()).at("sotto_relay_control_answered"), 1);
}

TEST_F(RelayMetricsTest, AnswerWithoutControlOnceItHasEnded) {
  tasks_.Close(server_, now_);
  EXPECT_EQ(ValuesOf(ScrapeAlone(10s)).at("sotto_relay_control_answered"), 0);
}

TEST_F(RelayMetricsTest, FollowPrometheusConventions) {
  const std::set<std::string> labels = {"version", "worker", "state", "ring",  "path",  "reason",
                                        "port",    "code",   "how",   "event", "result"};
  std::set<std::string> seen;
  for (const auto& family : Scrape()) {
    SCOPED_TRACE(family.name);
    EXPECT_TRUE(family.name.starts_with("sotto_relay_") || family.name.starts_with("process_"));
    EXPECT_EQ(family.name.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789_"),
              std::string::npos);
    EXPECT_EQ(family.type == prometheus::MetricType::Counter, family.name.ends_with("_total"));
    EXPECT_TRUE(family.help.ends_with('.')) << family.help;
    EXPECT_TRUE(seen.insert(family.name).second);
    std::set<std::vector<std::pair<std::string, std::string>>> series;
    for (const auto& metric : family.metric) {
      std::vector<std::pair<std::string, std::string>> key;
      for (const auto& label : metric.label) {
        EXPECT_TRUE(labels.contains(label.name)) << label.name;
        EXPECT_NE(label.value, "");
        key.emplace_back(label.name, label.value);
      }
      EXPECT_TRUE(series.insert(key).second) << "two series with the same labels";
    }
  }
}

}  // namespace
}  // namespace sotto::dataplane
