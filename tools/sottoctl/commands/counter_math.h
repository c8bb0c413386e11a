// SPDX-License-Identifier: Apache-2.0
// What two readings of a relay's counters say: rates, and percentiles of the time that packets
// spent in the relay. Plain arithmetic; any thread.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "relay/api/admin.pb.h"

namespace sotto::tools {

struct NamedRate {
  std::string name;
  std::string sentence;
  uint64_t total = 0;
  double per_second = 0;
};

struct CounterRates {
  double seconds = 0;     // between the readings
  double rx_packets = 0;  // all of these a second
  double rx_bytes = 0;
  double tx_packets = 0;
  double tx_bytes = 0;
  double dropped = 0;
  std::vector<NamedRate> paths;
  std::vector<NamedRate> drops;
  std::vector<NamedRate> discards;
  std::vector<NamedRate> turn;
  std::vector<NamedRate> refusals;
  std::vector<NamedRate> error_responses;
  std::vector<relay::v1::LatencyBucket> latency;  // of the packets between the readings
};

// Nothing if no time passed between the two, or the relay began anew: a count went back.
std::optional<CounterRates> RatesBetween(const relay::v1::Counters& before,
                                         const relay::v1::Counters& after);

uint64_t SumOf(const google::protobuf::RepeatedPtrField<relay::v1::NamedCount>& counts);

// At or below `ns` spent that share of the packets: the upper bound of the bucket that has it.
struct Percentile {
  uint64_t ns = 0;
  bool above = false;  // in the last bucket, which has no end: more than `ns`
};
// `percent` is above 0 and at most 100. Nothing without packets.
std::optional<Percentile> PercentileOf(const std::vector<relay::v1::LatencyBucket>& latency,
                                       double percent);
std::vector<relay::v1::LatencyBucket> LatencyOf(const relay::v1::Counters& counters);

}  // namespace sotto::tools
