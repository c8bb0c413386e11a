// SPDX-License-Identifier: Apache-2.0
// What `sotto-loadgen wire` is told to do.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "relay/base/ip_address.h"
#include "tools/loadgen/wire/mix.h"
#include "tools/loadgen/wire/plan.h"
#include "tools/loadgen/wire/rate_search.h"

namespace sotto::tools {

struct WireOptions {
  std::string eal;   // arguments for DPDK's EAL, with blanks between them
  std::string port;  // ethdev name or PCI address
  uint16_t queues = 1;
  uint16_t descriptors = 1024;  // of each queue, as far as the device allows

  TransportAddress server;
  std::optional<WireMac> server_mac;  // none: asked for by ARP
  IpPrefix clients;                   // addresses to play
  uint32_t legs = 2;
  uint16_t first_port = 1024;

  // Either a user with a password, or a secret to make time-limited credentials with. Not used in
  // the mirror mode.
  std::string user;
  std::string password;
  std::string secret;
  bool call_policy = false;
  bool mirror = false;
  uint32_t window = 128;
  bool allocate_only = false;
  bool release = true;

  WireMix mix = *WireMix::Of(160);
  double rate = 0;  // packets a second in all; 0: as fast as possible
  double seconds = 10;
  double warmup = 1;
  bool random_order = true;
  bool find_rate = false;
  RateSearchOptions search;
  bool latency = true;
  double max_loss_percent = -1;  // more is an error; negative: none is

  std::string pcap;  // file; empty: none
  uint32_t pcap_per_leg = 1;
  bool pcap_only = false;
  bool json = false;
  // Trials are read from standard input, and rate, seconds and search are not used.
  bool control = false;

  // INVALID_ARGUMENT with a sentence that names the flag and what would be right.
  absl::Status Validate() const;
  // Addresses and ports of all legs; for options that Validate() accepts.
  WirePlan MakePlan() const;
};

// "02:00:00:00:00:01"
absl::StatusOr<WireMac> ParseWireMac(const std::string& text);
std::string WireMacToString(const WireMac& mac);

}  // namespace sotto::tools
