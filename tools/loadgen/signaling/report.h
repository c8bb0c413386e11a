// SPDX-License-Identifier: Apache-2.0
// What `sotto-loadgen signaling` found out, as text for people and as one JSON object.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "tools/loadgen/signaling/options.h"
#include "tools/media/latency_histogram.h"

namespace sotto::tools {

struct SignalingReport {
  uint32_t connected = 0;
  double connect_seconds = 0;  // until all devices stood
  LatencyHistogram connect;    // TCP, TLS, WebSocket, Hello to Welcome; ns
  double setup_seconds = 0;    // settings and keys of all recipients

  uint64_t placed = 0;  // PlaceCall was sent
  uint64_t refused = 0;
  uint64_t rang = 0;          // IncomingCall came as it had to
  uint64_t not_rung = 0;      // within 10 s
  uint64_t answered = 0;      // CallConnected came to the caller
  uint64_t wrong_offers = 0;  // not what the caller sent, byte for byte; answers too
  uint64_t wrong_tokens = 0;  // not the serial that was presented
  uint64_t unexpected = 0;    // frames that belong to no call of this run
  uint64_t behind = 0;        // calls that were placed more than 10 ms late
  // From before PlaceCall is handed to the connection, in this process's time; ns.
  LatencyHistogram place_to_placed;
  LatencyHistogram place_to_ring;       // at the recipient's device
  LatencyHistogram place_to_connected;  // at the caller's

  uint64_t connections_lost = 0;
  bool interrupted = false;
  double run_seconds = 0;
  // Of the server (RssAnon), KiB; 0: not looked at.
  uint64_t server_kib_before = 0;
  uint64_t server_kib_connected = 0;  // all devices connected and set up
  uint64_t server_kib_after = 0;      // after the calls
  std::vector<std::string> errors;    // the first few

  void AddError(std::string error);
};

std::string ToText(const SignalingOptions& options, const SignalingReport& report);
std::string ToJson(const SignalingOptions& options, const SignalingReport& report);

}  // namespace sotto::tools
