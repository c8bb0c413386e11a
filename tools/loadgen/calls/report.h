// SPDX-License-Identifier: Apache-2.0
// What `sotto-loadgen calls` found out, as text for people and as one JSON object.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "relay/base/ip_address.h"
#include "tools/loadgen/calls/options.h"
#include "tools/media/latency_histogram.h"

namespace sotto::tools {

// Addresses of one leg, as its client, the server and the other leg see it.
struct LegReport {
  uint32_t call = 0;
  char leg = 'a';
  TransportAddress client;
  std::optional<TransportAddress> mapped;
  std::vector<TransportAddress> relayed;
};

// Sums over the packets that count. An intact packet that arrives in time is received; it may be
// reordered too. lost = sent - received, so a corrupted packet is lost as well.
struct CallsReport {
  uint64_t sent = 0;
  uint64_t received = 0;
  uint64_t duplicated = 0;
  uint64_t reordered = 0;
  uint64_t corrupted = 0;  // a byte or the length isn't as sent
  uint64_t misdelivered =
      0;                     // intact, but at another leg than it was sent to, or from another peer
  uint64_t foreign = 0;      // from a source other than the relay
  uint64_t send_errors = 0;  // the kernel refused; not sent
  uint64_t warmup_sent = 0;
  uint64_t warmup_received = 0;

  LatencyHistogram latency;         // one way, ns (see call_shard.h)
  LatencyHistogram lateness;        // of each send behind its schedule, ns
  LatencyHistogram call_setup;      // ns, from the first Allocate to both legs ready
  uint64_t negative_latencies = 0;  // the clock was set back
  double setup_seconds = 0;
  double media_seconds = 0;
  double slipped_seconds = 0;  // of the schedule that were given up because the sender was too late

  uint32_t calls_ready = 0;
  uint32_t legs_released = 0;
  bool interrupted = false;
  std::string algorithm;        // that requests were authenticated with: "SHA-256", "MD5" or ""
  std::vector<LegReport> legs;  // of the first calls
  std::vector<std::string> errors;

  uint64_t lost() const { return sent > received ? sent - received : 0; }
  double loss_percent() const {
    return sent == 0 ? 0 : 100.0 * static_cast<double>(lost()) / static_cast<double>(sent);
  }
  void Merge(const CallsReport& other);  // sums, histograms, legs and errors
};

std::string ToText(const CallsOptions& options, const CallsReport& report);
std::string ToJson(const CallsOptions& options, const CallsReport& report);

}  // namespace sotto::tools
