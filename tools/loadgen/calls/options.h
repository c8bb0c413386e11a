// SPDX-License-Identifier: Apache-2.0
// What `sotto-loadgen calls` is told to do.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "relay/base/ip_address.h"

namespace sotto::tools {

struct CallsOptions {
  TransportAddress server;
  // Either a user with a password, or a secret to make time-limited credentials with.
  std::string user;
  std::string password;
  std::string secret;
  std::string name = "loadgen";  // in time-limited user names; the start of call ids
  // User names are "expiry:<name>-<call>/a" and ".../b", as a relay with the policy "call" wants.
  bool call_policy = false;

  // Of leg A and leg B: where their sockets are bound, and in which network namespace.
  IpAddress local[2];
  std::string netns[2];

  std::vector<IpFamily> families;  // of the relayed addresses: one, or both
  bool send_indications = false;   // Send and Data instead of channels

  uint32_t calls = 1;
  double pps = 100;  // packets a second, over all calls and both directions
  uint32_t payload = 160;
  double seconds = 10;
  double warmup = 0;  // seconds before, at the same rate, that don't count
  uint32_t threads = 1;
  double max_loss_percent = -1;  // more is an error; negative: none is
  bool json = false;

  // INVALID_ARGUMENT with a sentence that names the flag and what would be right.
  absl::Status Validate() const;
};

// The largest payload: with the headers of a Send indication it still fits a UDP datagram.
constexpr uint32_t kMaxPayload = 65'000;

}  // namespace sotto::tools
