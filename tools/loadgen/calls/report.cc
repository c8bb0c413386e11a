// SPDX-License-Identifier: Apache-2.0
#include "tools/loadgen/calls/report.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <nlohmann/json.hpp>

namespace sotto::tools {
namespace {

// Of all shards together.
constexpr size_t kMaxReportedLegs = 8;
constexpr size_t kMaxErrors = 16;

double Us(uint64_t ns) { return static_cast<double>(ns) / 1000; }
double Ms(uint64_t ns) { return static_cast<double>(ns) / 1e6; }

double AchievedPps(const CallsReport& report) {
  return report.media_seconds > 0 ? static_cast<double>(report.sent) / report.media_seconds : 0;
}

std::vector<std::string> Strings(const std::vector<TransportAddress>& addresses) {
  std::vector<std::string> strings;
  for (const auto& address : addresses) strings.push_back(address.ToString());
  return strings;
}

}  // namespace

void CallsReport::Merge(const CallsReport& other) {
  sent += other.sent;
  received += other.received;
  duplicated += other.duplicated;
  reordered += other.reordered;
  corrupted += other.corrupted;
  misdelivered += other.misdelivered;
  foreign += other.foreign;
  send_errors += other.send_errors;
  warmup_sent += other.warmup_sent;
  warmup_received += other.warmup_received;
  latency.Merge(other.latency);
  lateness.Merge(other.lateness);
  call_setup.Merge(other.call_setup);
  negative_latencies += other.negative_latencies;
  setup_seconds = std::max(setup_seconds, other.setup_seconds);
  media_seconds = std::max(media_seconds, other.media_seconds);
  slipped_seconds = std::max(slipped_seconds, other.slipped_seconds);
  calls_ready += other.calls_ready;
  legs_released += other.legs_released;
  if (algorithm.empty()) algorithm = other.algorithm;
  for (const LegReport& leg : other.legs) {
    if (legs.size() < kMaxReportedLegs) legs.push_back(leg);
  }
  for (const std::string& error : other.errors) {
    if (errors.size() < kMaxErrors) errors.push_back(error);
  }
}

std::string ToText(const CallsOptions& options, const CallsReport& report) {
  std::string text = fmt::format(
      "{} call{} through {} over {}, {} bytes, {:g} packets/s in total, {:.1f} s{}\n",
      options.calls, options.calls == 1 ? "" : "s", options.server.ToString(),
      options.send_indications ? "Send and Data indications" : "channels", options.payload,
      options.pps, report.media_seconds, report.interrupted ? " (interrupted)" : "");
  for (const LegReport& leg : report.legs) {
    text += fmt::format("  call {} leg {}  {}  relayed as {}\n", leg.call, leg.leg,
                        leg.mapped.value_or(leg.client).ToString(),
                        fmt::join(Strings(leg.relayed), " and "));
  }
  if (options.calls * 2 > report.legs.size() && !report.legs.empty()) {
    text += fmt::format("  ... and {} legs more\n", options.calls * 2 - report.legs.size());
  }
  text += fmt::format("  set up      {} calls in {:.2f} s; a call: p50 {:.1f} ms, max {:.1f} ms\n",
                      report.calls_ready, report.setup_seconds,
                      Ms(report.call_setup.Percentile(50)), Ms(report.call_setup.max()));
  if (report.warmup_sent > 0) {
    text += fmt::format("  warm-up     sent {}, received {} (not counted below)\n",
                        report.warmup_sent, report.warmup_received);
  }
  text += fmt::format("  packets     sent {}, received {}, lost {} ({:.4f} %)\n", report.sent,
                      report.received, report.lost(), report.loss_percent());
  text += fmt::format(
      "              duplicated {}, reordered {}, corrupted {}, misdelivered {}, foreign {}\n",
      report.duplicated, report.reordered, report.corrupted, report.misdelivered, report.foreign);
  text += fmt::format(
      "  latency     one way, us: min {:.1f}  p50 {:.1f}  p99 {:.1f}  p99.9 {:.1f}  max {:.1f}\n",
      Us(report.latency.min()), Us(report.latency.Percentile(50)),
      Us(report.latency.Percentile(99)), Us(report.latency.Percentile(99.9)),
      Us(report.latency.max()));
  text += fmt::format(
      "  sender      {:.1f} packets/s; late, us: p50 {:.1f}  p99 {:.1f}  max {:.1f}{}\n",
      AchievedPps(report), Us(report.lateness.Percentile(50)), Us(report.lateness.Percentile(99)),
      Us(report.lateness.max()),
      report.slipped_seconds > 0
          ? fmt::format("; could not keep the pace: {:.3f} s left out", report.slipped_seconds)
          : "");
  for (const std::string& error : report.errors) text += fmt::format("  error       {}\n", error);
  return text;
}

std::string ToJson(const CallsOptions& options, const CallsReport& report) {
  nlohmann::ordered_json json;
  json["server"] = options.server.ToString();
  json["mode"] = options.send_indications ? "indications" : "channels";
  std::vector<int> families;
  for (const IpFamily family : options.families) {
    families.push_back(family == IpFamily::kV4 ? 4 : 6);
  }
  json["families"] = families;
  json["authentication"] = report.algorithm;
  json["calls"] = options.calls;
  json["calls_ready"] = report.calls_ready;
  json["payload_bytes"] = options.payload;
  json["target_pps"] = options.pps;
  json["seconds"] = report.media_seconds;
  json["interrupted"] = report.interrupted;
  json["sent"] = report.sent;
  json["received"] = report.received;
  json["lost"] = report.lost();
  json["loss_percent"] = report.loss_percent();
  json["duplicated"] = report.duplicated;
  json["reordered"] = report.reordered;
  json["corrupted"] = report.corrupted;
  json["misdelivered"] = report.misdelivered;
  json["foreign"] = report.foreign;
  json["send_errors"] = report.send_errors;
  json["warmup"] = {{"sent", report.warmup_sent}, {"received", report.warmup_received}};
  json["latency_us"] = {
      {"min", Us(report.latency.min())},          {"p50", Us(report.latency.Percentile(50))},
      {"p99", Us(report.latency.Percentile(99))}, {"p99_9", Us(report.latency.Percentile(99.9))},
      {"max", Us(report.latency.max())},          {"samples", report.latency.count()},
      {"negative", report.negative_latencies}};
  json["setup"] = {{"seconds", report.setup_seconds},
                   {"call_ms_p50", Ms(report.call_setup.Percentile(50))},
                   {"call_ms_max", Ms(report.call_setup.max())}};
  json["sender"] = {{"achieved_pps", AchievedPps(report)},
                    {"late_us_p50", Us(report.lateness.Percentile(50))},
                    {"late_us_p99", Us(report.lateness.Percentile(99))},
                    {"late_us_max", Us(report.lateness.max())},
                    {"slipped_seconds", report.slipped_seconds}};
  json["legs"] = nlohmann::ordered_json::array();
  for (const LegReport& leg : report.legs) {
    json["legs"].push_back(
        {{"call", leg.call},
         {"leg", std::string(1, leg.leg)},
         {"client", leg.client.ToString()},
         {"mapped", leg.mapped ? nlohmann::ordered_json(leg.mapped->ToString()) : nullptr},
         {"relayed", Strings(leg.relayed)}});
  }
  json["legs_released"] = report.legs_released;
  json["errors"] = report.errors;
  return json.dump(2) + "\n";
}

}  // namespace sotto::tools
