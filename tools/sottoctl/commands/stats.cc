// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <nlohmann/json.hpp>
#include <ostream>
#include <thread>

#include "relay/api/admin.pb.h"
#include "tools/sottoctl/command.h"
#include "tools/sottoctl/commands/counter_math.h"
#include "tools/sottoctl/units.h"
#include "tools/sottoctl/waiting.h"

namespace sotto::tools {
namespace {

using relay::v1::Counters;

struct StatsOptions {
  bool watch = false;
  std::chrono::milliseconds interval{1000};
  uint64_t count = 0;  // 0: until interrupted
};

// JSON's null without packets.
Json PercentilesJson(const std::vector<relay::v1::LatencyBucket>& latency) {
  Json out = Json::object();
  for (const auto& [name, percent] :
       {std::pair{"p50_ns", 50.0}, {"p90_ns", 90.0}, {"p99_ns", 99.0}, {"p999_ns", 99.9}}) {
    const auto found = PercentileOf(latency, percent);
    out[name] = found ? Json(found->ns) : Json();
  }
  return out;
}

void PrintSection(Output& out, std::string_view title,
                  const google::protobuf::RepeatedPtrField<relay::v1::NamedCount>& counts) {
  out.Line("");
  Output::List list(out, {{title, "name"}, {"COUNT", "count", Unit::kCount}});
  for (const auto& count : counts) list.Add(count);
}

absl::Status Sums(CommandContext& context) {
  const auto counters =
      context.daemon->Call<Counters>("Admin.GetCounters", relay::v1::GetCountersRequest());
  if (!counters.ok()) return counters.status();
  Json record = ToJson(*counters);
  record["percentiles"] = PercentilesJson(LatencyOf(*counters));
  record["dropped_packets"] = SumOf(counters->drops());
  constexpr Column kColumns[] = {
      {"Allocations", "allocations", Unit::kCount},
      {"Calls", "calls", Unit::kCount},
      {"Received", "rx_packets", Unit::kCount},
      {"", "rx_bytes", Unit::kBytes},
      {"Sent", "tx_packets", Unit::kCount},
      {"", "tx_bytes", Unit::kBytes},
      {"Dropped", "dropped_packets", Unit::kCount},
      {"Latency p50", "percentiles.p50_ns", Unit::kNanoseconds},
      {"Latency p90", "percentiles.p90_ns", Unit::kNanoseconds},
      {"Latency p99", "percentiles.p99_ns", Unit::kNanoseconds},
      {"Latency p99.9", "percentiles.p999_ns", Unit::kNanoseconds},
  };
  context.out.Record(record, kColumns);
  if (!context.out.is_table()) return absl::OkStatus();
  PrintSection(context.out, "PATH", counters->paths());
  PrintSection(context.out, "TURN", counters->turn());
  PrintSection(context.out, "DISCARDED", counters->discards());
  PrintSection(context.out, "REFUSED", counters->refusals());
  PrintSection(context.out, "ERROR RESPONSE", counters->error_responses());
  return absl::OkStatus();
}

absl::Status Watch(CommandContext& context, const StatsOptions& options) {
  Output::List list(context.out, {{"SECONDS", "seconds", Unit::kRate},
                                  {"RX PPS", "rx_packets_per_second", Unit::kRate},
                                  {"RX BPS", "rx_bits_per_second", Unit::kRate},
                                  {"TX PPS", "tx_packets_per_second", Unit::kRate},
                                  {"TX BPS", "tx_bits_per_second", Unit::kRate},
                                  {"DROPS/S", "dropped_packets_per_second", Unit::kRate},
                                  {"ALLOCS", "allocations", Unit::kCount},
                                  {"CALLS", "calls", Unit::kCount},
                                  {"P50", "percentiles.p50_ns", Unit::kNanoseconds},
                                  {"P99", "percentiles.p99_ns", Unit::kNanoseconds}});
  Counters before;
  bool first = true;
  while (options.count == 0 || list.size() < options.count) {
    if (!first && !WaitUnlessStopped(options.interval, context.around.stop)) break;
    auto now = context.daemon->Call<Counters>("Admin.GetCounters", relay::v1::GetCountersRequest());
    if (absl::IsCancelled(now.status())) break;
    if (!now.ok()) return now.status();
    const auto rates = first ? std::nullopt : RatesBetween(before, *now);
    if (rates) {
      Json line = {{"seconds", rates->seconds},
                   {"rx_packets_per_second", rates->rx_packets},
                   {"rx_bits_per_second", 8 * rates->rx_bytes},
                   {"tx_packets_per_second", rates->tx_packets},
                   {"tx_bits_per_second", 8 * rates->tx_bytes},
                   {"dropped_packets_per_second", rates->dropped},
                   {"allocations", now->allocations()},
                   {"calls", now->calls()},
                   {"percentiles", PercentilesJson(rates->latency)}};
      list.Add(line);
      list.Flush();
      if (!context.around.out.good()) break;  // whoever read it has gone
    }
    first = false;
    before = *std::move(now);
  }
  return absl::OkStatus();
}

}  // namespace

void AddStats(Commands& commands) {
  const auto options = std::make_shared<StatsOptions>();
  CLI::App& stats =
      commands.Add("stats", "Shows counts of packets, requests and errors since the relay started",
                   kRelayHeading, DaemonKind::kRelay, [options](CommandContext& context) {
                     return options->watch ? Watch(context, *options) : Sums(context);
                   });
  AddFlag(stats, "-w,--watch", options->watch,
          "Prints a line of rates each second, until interrupted");
  AddInterval(stats, [options](std::chrono::milliseconds i) { options->interval = i; });
  AddNumber(
      stats, "--count", "N", 1, UINT32_MAX, [options](uint64_t n) { options->count = n; },
      "With --watch: ends after this many lines");
  Needs(stats, "--interval", "--watch");
  Needs(stats, "--count", "--watch");
  SetFooter(
      stats,
      "Latency is the time that packets spend in the relay, from samples; percentiles are at most "
      "25 % too high.");
}

}  // namespace sotto::tools
