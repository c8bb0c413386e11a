// SPDX-License-Identifier: Apache-2.0
#include "tools/sottoctl/commands/counter_math.h"

#include <algorithm>
#include <map>

namespace sotto::tools {
namespace {

using relay::v1::Counters;
using relay::v1::LatencyBucket;
using Counts = google::protobuf::RepeatedPtrField<relay::v1::NamedCount>;

// Nothing if one went back.
std::optional<std::vector<NamedRate>> Rates(const Counts& before, const Counts& after,
                                            double seconds) {
  std::map<std::string_view, uint64_t> earlier;
  for (const auto& count : before) earlier[count.name()] = count.count();
  std::vector<NamedRate> rates;
  for (const auto& count : after) {
    const auto found = earlier.find(count.name());
    // One that hadn't occurred before isn't named before.
    const uint64_t was = found == earlier.end() ? 0 : found->second;
    if (count.count() < was) return std::nullopt;
    rates.push_back({count.name(), count.sentence(), count.count(),
                     static_cast<double>(count.count() - was) / seconds});
  }
  return rates;
}

}  // namespace

std::optional<CounterRates> RatesBetween(const Counters& before, const Counters& after) {
  if (after.monotonic_ns() <= before.monotonic_ns() || after.rx_packets() < before.rx_packets() ||
      after.tx_packets() < before.tx_packets() || after.rx_bytes() < before.rx_bytes() ||
      after.tx_bytes() < before.tx_bytes()) {
    return std::nullopt;
  }
  CounterRates rates;
  rates.seconds = static_cast<double>(after.monotonic_ns() - before.monotonic_ns()) / 1e9;
  const auto rate = [&rates](uint64_t was, uint64_t is) {
    return static_cast<double>(is - was) / rates.seconds;
  };
  rates.rx_packets = rate(before.rx_packets(), after.rx_packets());
  rates.rx_bytes = rate(before.rx_bytes(), after.rx_bytes());
  rates.tx_packets = rate(before.tx_packets(), after.tx_packets());
  rates.tx_bytes = rate(before.tx_bytes(), after.tx_bytes());
  const struct {
    const Counts& before;
    const Counts& after;
    std::vector<NamedRate>& out;
  } kNamed[] = {
      {before.paths(), after.paths(), rates.paths},
      {before.drops(), after.drops(), rates.drops},
      {before.discards(), after.discards(), rates.discards},
      {before.turn(), after.turn(), rates.turn},
      {before.refusals(), after.refusals(), rates.refusals},
      {before.error_responses(), after.error_responses(), rates.error_responses},
  };
  for (const auto& named : kNamed) {
    auto found = Rates(named.before, named.after, rates.seconds);
    if (!found) return std::nullopt;
    named.out = *std::move(found);
  }
  for (const NamedRate& drop : rates.drops) rates.dropped += drop.per_second;

  std::map<uint64_t, uint64_t> earlier;
  for (const LatencyBucket& bucket : before.latency()) {
    earlier[bucket.upper_ns()] = bucket.packets();
  }
  for (const LatencyBucket& bucket : after.latency()) {
    LatencyBucket& out = rates.latency.emplace_back(bucket);
    const auto found = earlier.find(bucket.upper_ns());
    if (found == earlier.end()) continue;
    if (found->second > bucket.packets()) return std::nullopt;
    out.set_packets(bucket.packets() - found->second);
  }
  return rates;
}

uint64_t SumOf(const Counts& counts) {
  uint64_t sum = 0;
  for (const auto& count : counts) sum += count.count();
  return sum;
}

std::vector<LatencyBucket> LatencyOf(const Counters& counters) {
  return {counters.latency().begin(), counters.latency().end()};
}

std::optional<Percentile> PercentileOf(const std::vector<LatencyBucket>& latency, double percent) {
  std::vector<LatencyBucket> buckets = latency;
  std::ranges::sort(buckets, {}, &LatencyBucket::upper_ns);
  uint64_t packets = 0;
  for (const LatencyBucket& bucket : buckets) packets += bucket.packets();
  if (packets == 0) return std::nullopt;
  const double wanted = static_cast<double>(packets) * percent / 100;
  uint64_t so_far = 0, below = 0;
  for (const LatencyBucket& bucket : buckets) {
    so_far += bucket.packets();
    const bool endless = bucket.upper_ns() == UINT64_MAX;
    if (bucket.packets() > 0 && static_cast<double>(so_far) >= wanted) {
      return Percentile{endless ? below : bucket.upper_ns(), endless};
    }
    if (!endless) below = bucket.upper_ns();
  }
  return std::nullopt;  // not with percent <= 100
}

}  // namespace sotto::tools
