// SPDX-License-Identifier: Apache-2.0
// What `sotto-loadgen signaling` is told to do.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "tools/signaling_client/endpoint.h"

namespace sotto::tools {

struct SignalingOptions {
  Endpoint server;
  TlsOptions tls;
  // A P-256 private key in PEM to mint identities with; empty: the server issues them.
  std::string identity_key;
  std::string issuer;
  std::string audience;
  std::string name = "load";  // accounts are "<name>-0", "<name>-1"...

  uint32_t devices = 100;        // each of an account of its own; half of them call the others
  uint32_t connecting = 32;      // at a time, at most
  double calls_per_second = 10;  // 0: none; devices stay idle
  double seconds = 10;           // of calls, or idle
  bool answer = false;  // recipients accept at once; else it rings, and the caller gives up
  double ring_seconds = 1;
  double talk_seconds = 1;
  bool plain = false;          // no tokens, and nobody silences unknown callers
  pid_t server_pid = 0;        // whose memory is looked at
  double max_ring_p99_ms = 0;  // more is an error; 0: none is
  bool json = false;

  // INVALID_ARGUMENT with a sentence that names the flag and what would be right.
  absl::Status Validate() const;
};

}  // namespace sotto::tools
