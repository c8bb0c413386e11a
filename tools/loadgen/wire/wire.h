// SPDX-License-Identifier: Apache-2.0
// `sotto-loadgen wire`: ChannelData through a TURN server from a DPDK port, as fast as it goes.
#pragma once

#include <atomic>

#include "absl/status/status.h"
#include "tools/loadgen/wire/options.h"
#include "tools/loadgen/wire/report.h"

namespace sotto::tools {

// Sets up, measures, releases. `report` is filled in any case, as far as things went. DATA_LOSS if
// a packet arrived changed or at the wrong leg, or if more was lost than options.max_loss_percent.
// When `stop` becomes true, it ends in order and early. Once in a process.
absl::Status RunWire(const WireOptions& options, const std::atomic<bool>& stop, WireReport& report);

}  // namespace sotto::tools
