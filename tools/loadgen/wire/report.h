// SPDX-License-Identifier: Apache-2.0
// What `sotto-loadgen wire` found out, as text for people and as one JSON object.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "tools/loadgen/wire/options.h"
#include "tools/media/latency_histogram.h"

namespace sotto::tools {

// Of one trial. A packet is sent when the port has taken it, and received when it came back intact
// to the right leg, for the first time.
struct WireCounts {
  uint64_t sent = 0;
  uint64_t received = 0;
  uint64_t reordered = 0;  // received, but after a later one of its leg
  uint64_t duplicated = 0;
  uint64_t corrupted = 0;     // a byte or the length isn't as it was sent
  uint64_t bad_checksum = 0;  // of IPv4 or UDP
  uint64_t misdelivered = 0;  // intact, but at another leg than it was sent to
  uint64_t no_checksum = 0;   // received, without a UDP checksum
  uint64_t stale = 0;         // of a trial before
  uint64_t foreign = 0;       // not from the server to a leg
  uint64_t missed = 0;        // lost by this port on receipt, as far as its driver says
  uint64_t slipped = 0;       // left out, because the sender was too far behind its schedule

  uint64_t lost() const { return sent > received ? sent - received : 0; }
  double loss() const {
    return sent == 0 ? 0 : static_cast<double>(lost()) / static_cast<double>(sent);
  }
  // What no network does by itself.
  uint64_t wrong() const { return corrupted + bad_checksum + misdelivered; }
};

struct WireTrial {
  double asked_pps = 0;  // 0: as fast as possible
  double seconds = 0;
  WireCounts counts;
  LatencyHistogram latency;  // one way through the server, in TSC ticks

  double offered_pps() const { return static_cast<double>(counts.sent) / seconds; }
  double received_pps() const { return static_cast<double>(counts.received) / seconds; }
};

struct WireReport {
  std::string driver;
  WireMac server_mac = {};
  double ticks_per_us = 1;

  uint32_t legs_allocated = 0;
  uint32_t legs_ready = 0;
  double setup_seconds = 0;
  // Until 99 % of the legs were allocated: the others may be waiting to send again what was lost,
  // half a second at least.
  uint32_t most_allocated = 0;
  double most_allocated_seconds = 0;
  uint64_t setup_datagrams = 0;  // sent, retransmissions too
  std::string algorithm;         // that requests were authenticated with
  uint32_t legs_released = 0;
  uint64_t pcap_packets = 0;

  // The trial that the answer is taken from: the only one, or the best that passed.
  std::optional<WireTrial> trial;
  std::vector<RateTrial> search;  // every trial of --find-rate
  WireCounts totals;              // over all trials
  bool interrupted = false;

  double allocations_per_second() const {
    return most_allocated_seconds > 0 ? most_allocated / most_allocated_seconds : 0;
  }
};

std::string ToText(const WireOptions& options, const WireReport& report);
std::string ToJson(const WireOptions& options, const WireReport& report);

}  // namespace sotto::tools
