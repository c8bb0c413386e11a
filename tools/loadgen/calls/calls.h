// SPDX-License-Identifier: Apache-2.0
// `sotto-loadgen calls`: makes calls through a TURN server and measures what becomes of them.
#pragma once

#include <atomic>

#include "absl/status/status.h"
#include "tools/loadgen/calls/options.h"
#include "tools/loadgen/calls/report.h"

namespace sotto::tools {

// Makes all the calls, drives them for the time asked for, ends them. `report` is filled in any
// case, as far as things went. An error if the calls could not be set up or kept, or if more was
// lost than options.max_loss_percent. When `stop` becomes true, it ends in order and early.
absl::Status RunCalls(const CallsOptions& options, std::atomic<bool>& stop, CallsReport& report);

}  // namespace sotto::tools
