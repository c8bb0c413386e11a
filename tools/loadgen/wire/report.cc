// SPDX-License-Identifier: Apache-2.0
#include "tools/loadgen/wire/report.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

namespace sotto::tools {
namespace {

double Us(const WireReport& report, uint64_t ticks) {
  return static_cast<double>(ticks) / report.ticks_per_us;
}

double Gbps(const WireOptions& options, double pps) {
  // As on a wire: with preamble, frame check sequence and the gap between frames.
  return pps * (options.mix.mean_frame() + 24) * 8 / 1e9;
}

std::string Payloads(const WireOptions& options) {
  std::string text;
  for (size_t i = 0; i < options.mix.size_count(); ++i) {
    text += fmt::format("{}{}", i == 0 ? "" : "/", options.mix.payload(i));
  }
  return text;
}

nlohmann::ordered_json CountsJson(const WireCounts& c) {
  return {{"sent", c.sent},
          {"received", c.received},
          {"lost", c.lost()},
          {"loss", c.loss()},
          {"reordered", c.reordered},
          {"duplicated", c.duplicated},
          {"corrupted", c.corrupted},
          {"bad_checksum", c.bad_checksum},
          {"misdelivered", c.misdelivered},
          {"no_udp_checksum", c.no_checksum},
          {"stale", c.stale},
          {"foreign", c.foreign},
          {"missed_by_generator", c.missed},
          {"slipped", c.slipped}};
}

}  // namespace

std::string ToText(const WireOptions& options, const WireReport& report) {
  std::string text =
      fmt::format("{} legs through {} ({}) on {} ({}), payload {} bytes, {}\n", options.legs,
                  options.server.ToString(), WireMacToString(report.server_mac), options.port,
                  report.driver, Payloads(options), options.mirror ? "mirrored" : "channels");
  if (!options.mirror) {
    text += fmt::format(
        "  set up      {} allocated, {} ready in {:.2f} s ({:.0f} allocations/s), {} requests, "
        "{}\n",
        report.legs_allocated, report.legs_ready, report.setup_seconds,
        report.allocations_per_second(), report.setup_datagrams, report.algorithm);
  }
  if (report.pcap_packets > 0) {
    text += fmt::format("  capture     {} packets in {}\n", report.pcap_packets, options.pcap);
  }
  for (const RateTrial& t : report.search) {
    text += fmt::format(
        "  trial       {:>12} packets/s: offered {:.0f}, received {:.0f}, loss {:.4f} %{}\n",
        t.asked_pps == 0 ? "max" : fmt::format("{:.0f}", t.asked_pps), t.offered_pps,
        t.received_pps, 100 * t.loss, t.passed ? "  passed" : "");
  }
  if (!report.trial) {
    if (!report.search.empty()) text += "  no rate passed\n";
    return text;
  }
  const WireTrial& trial = *report.trial;
  const WireCounts& c = trial.counts;
  text +=
      fmt::format("  rate        offered {:.0f} packets/s, received {:.0f} ({:.3f} Gbit/s)\n",
                  trial.offered_pps(), trial.received_pps(), Gbps(options, trial.received_pps()));
  text += fmt::format("  packets     sent {}, received {}, lost {} ({:.4f} %)\n", c.sent,
                      c.received, c.lost(), 100 * c.loss());
  text += fmt::format(
      "              reordered {}, duplicated {}, corrupted {}, bad checksum {}, misdelivered {}, "
      "foreign {}, missed {}\n",
      c.reordered, c.duplicated, c.corrupted, c.bad_checksum, c.misdelivered, c.foreign, c.missed);
  if (trial.latency.count() > 0) {
    text += fmt::format(
        "  latency     us: min {:.1f}  p50 {:.1f}  p99 {:.1f}  p99.9 {:.1f}  max {:.1f}\n",
        Us(report, trial.latency.min()), Us(report, trial.latency.Percentile(50)),
        Us(report, trial.latency.Percentile(99)), Us(report, trial.latency.Percentile(99.9)),
        Us(report, trial.latency.max()));
  }
  return text;
}

std::string ToJson(const WireOptions& options, const WireReport& report) {
  nlohmann::ordered_json json;
  json["server"] = options.server.ToString();
  json["server_mac"] = WireMacToString(report.server_mac);
  json["mode"] = options.mirror ? "mirror" : "relay";
  json["port"] = options.port;
  json["driver"] = report.driver;
  json["queues"] = options.queues;
  json["legs"] = options.legs;
  json["payload_bytes"] = nlohmann::ordered_json::array();
  for (size_t i = 0; i < options.mix.size_count(); ++i) {
    json["payload_bytes"].push_back(options.mix.payload(i));
  }
  json["mean_frame_bytes"] = options.mix.mean_frame();
  json["order"] = options.random_order ? "random" : "round-robin";
  json["setup"] = {{"seconds", report.setup_seconds},
                   {"legs_allocated", report.legs_allocated},
                   {"legs_ready", report.legs_ready},
                   {"seconds_to_99_percent", report.most_allocated_seconds},
                   {"allocations_per_second", report.allocations_per_second()},
                   {"datagrams_sent", report.setup_datagrams},
                   {"authentication", report.algorithm},
                   {"legs_released", report.legs_released}};
  if (report.pcap_packets > 0) {
    json["pcap"] = {{"file", options.pcap}, {"packets", report.pcap_packets}};
  }
  if (!report.search.empty()) {
    nlohmann::ordered_json trials = nlohmann::ordered_json::array();
    for (const RateTrial& t : report.search) {
      trials.push_back({{"asked_pps", t.asked_pps},
                        {"offered_pps", t.offered_pps},
                        {"received_pps", t.received_pps},
                        {"loss", t.loss},
                        {"passed", t.passed}});
    }
    json["search"] = {{"max_loss", options.search.max_loss},
                      {"precision", options.search.precision},
                      {"attempts", options.search.attempts},
                      {"trials", trials}};
  }
  if (report.trial) {
    const WireTrial& trial = *report.trial;
    json["target_pps"] = trial.asked_pps;
    json["seconds"] = trial.seconds;
    json["offered_pps"] = trial.offered_pps();
    json["received_pps"] = trial.received_pps();
    json["received_gbps"] = Gbps(options, trial.received_pps());
    json["packets"] = CountsJson(trial.counts);
    if (trial.latency.count() > 0) {
      json["latency_us"] = {{"min", Us(report, trial.latency.min())},
                            {"p50", Us(report, trial.latency.Percentile(50))},
                            {"p99", Us(report, trial.latency.Percentile(99))},
                            {"p99_9", Us(report, trial.latency.Percentile(99.9))},
                            {"max", Us(report, trial.latency.max())},
                            {"samples", trial.latency.count()}};
    }
  }
  json["totals"] = CountsJson(report.totals);
  json["interrupted"] = report.interrupted;
  return json.dump(options.control ? -1 : 2) + "\n";
}

}  // namespace sotto::tools
