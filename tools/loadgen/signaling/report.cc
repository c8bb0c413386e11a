// SPDX-License-Identifier: Apache-2.0
#include "tools/loadgen/signaling/report.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

namespace sotto::tools {
namespace {

using nlohmann::ordered_json;

constexpr size_t kMaxErrors = 16;

double Ms(uint64_t ns) { return static_cast<double>(ns) / 1e6; }

double KibPerDevice(const SignalingReport& report) {
  if (report.connected == 0 || report.server_kib_connected < report.server_kib_before) return 0;
  return static_cast<double>(report.server_kib_connected - report.server_kib_before) /
         report.connected;
}

std::string Line(const char* what, const LatencyHistogram& h) {
  if (h.count() == 0) return "";
  return fmt::format("  {:<20} p50 {:.2f}  p99 {:.2f}  p99.9 {:.2f}  max {:.2f} ms\n", what,
                     Ms(h.Percentile(50)), Ms(h.Percentile(99)), Ms(h.Percentile(99.9)),
                     Ms(h.max()));
}

ordered_json Json(const LatencyHistogram& h) {
  return {{"count", h.count()},
          {"min", Ms(h.min())},
          {"p50", Ms(h.Percentile(50))},
          {"p99", Ms(h.Percentile(99))},
          {"p99_9", Ms(h.Percentile(99.9))},
          {"max", Ms(h.max())}};
}

}  // namespace

void SignalingReport::AddError(std::string error) {
  if (errors.size() < kMaxErrors) errors.push_back(std::move(error));
}

std::string ToText(const SignalingOptions& options, const SignalingReport& report) {
  std::string text = fmt::format(
      "{} devices at {}, {:g} calls/s for {:.1f} s, {}{}\n", report.connected,
      options.server.authority(), options.calls_per_second, report.run_seconds,
      options.answer ? "answered" : "ringing", report.interrupted ? " (interrupted)" : "");
  text +=
      fmt::format("  {:<20} {:.1f} s, {:.0f} a second\n", "connected in", report.connect_seconds,
                  report.connect_seconds > 0 ? report.connected / report.connect_seconds : 0);
  text += Line("a connection", report.connect);
  text += fmt::format("  {:<20} {} placed, {} rang, {} answered, {} refused, {} did not ring\n",
                      "calls", report.placed, report.rang, report.answered, report.refused,
                      report.not_rung);
  text += fmt::format(
      "  {:<20} {} offers, {} tokens, {} frames; {} connections lost; {} calls placed late\n",
      "wrong", report.wrong_offers, report.wrong_tokens, report.unexpected, report.connections_lost,
      report.behind);
  text += Line("place to placed", report.place_to_placed);
  text += Line("place to ring", report.place_to_ring);
  text += Line("place to connected", report.place_to_connected);
  if (report.server_kib_connected > 0) {
    text +=
        fmt::format("  {:<20} {} KiB before, {} connected ({:.1f} a device), {} after the calls\n",
                    "server's memory", report.server_kib_before, report.server_kib_connected,
                    KibPerDevice(report), report.server_kib_after);
  }
  for (const std::string& error : report.errors) text += fmt::format("  error: {}\n", error);
  return text;
}

std::string ToJson(const SignalingOptions& options, const SignalingReport& report) {
  const ordered_json json = {
      {"server", options.server.authority()},
      {"devices", report.connected},
      {"calls_per_second", options.calls_per_second},
      {"seconds", report.run_seconds},
      {"answer", options.answer},
      {"interrupted", report.interrupted},
      {"connect_seconds", report.connect_seconds},
      {"connect_ms", Json(report.connect)},
      {"setup_seconds", report.setup_seconds},
      {"placed", report.placed},
      {"refused", report.refused},
      {"rang", report.rang},
      {"not_rung", report.not_rung},
      {"answered", report.answered},
      {"wrong_offers", report.wrong_offers},
      {"wrong_tokens", report.wrong_tokens},
      {"unexpected", report.unexpected},
      {"connections_lost", report.connections_lost},
      {"placed_late", report.behind},
      {"place_to_placed_ms", Json(report.place_to_placed)},
      {"place_to_ring_ms", Json(report.place_to_ring)},
      {"place_to_connected_ms", Json(report.place_to_connected)},
      {"server_kib",
       {{"before", report.server_kib_before},
        {"connected", report.server_kib_connected},
        {"after", report.server_kib_after},
        {"per_device", KibPerDevice(report)}}},
      {"errors", report.errors},
  };
  return json.dump() + "\n";
}

}  // namespace sotto::tools
