// SPDX-License-Identifier: Apache-2.0
// The daemon's life: start in order, serve, end in order.
#pragma once

#include <string>

#include "absl/status/status.h"
#include "dataplane/relayd/config/config.h"

namespace sotto::dataplane {

// Serves until SIGTERM or SIGINT; SIGHUP reads the file at `config_path` again. An error is from
// the start (one sentence, or one for each line) and nothing is left behind then: no port, no
// virtual device, no socket. Once in a process.
absl::Status RunDaemon(const std::string& config_path, const RelaydConfig& config);

// Megabytes that DPDK will need in all for a configuration.
uint32_t MemoryMb(const RelaydConfig& config);

}  // namespace sotto::dataplane
