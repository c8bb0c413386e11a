// SPDX-License-Identifier: Apache-2.0
// `sotto-loadgen signaling`: many devices connected to a sotto-signald, and calls between them.
#pragma once

#include <atomic>

#include "absl/status/status.h"
#include "tools/loadgen/signaling/options.h"
#include "tools/loadgen/signaling/report.h"

namespace sotto::tools {

// Connects all devices, makes the calls, ends in order. `report` is filled in any case, as far as
// things went. An error if a device could not connect or lost its connection, if a call was
// refused, did not ring or brought other bytes than were sent, or if the ring was slower than asked
// for. When `stop` becomes true, it ends in order and early.
absl::Status RunSignaling(const SignalingOptions& options, const std::atomic<bool>& stop,
                          SignalingReport& report);

}  // namespace sotto::tools
