// SPDX-License-Identifier: Apache-2.0
// The daemon: everything that is open while sotto-signald runs.
#pragma once

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "signaling/signald/config/config.h"

namespace sotto::signaling {

// Whether the files that a configuration names can be used: certificates, keys, web client. What a
// start and a reload check too. Returns what is to be warned of, a sentence each.
absl::StatusOr<std::vector<std::string>> CheckFiles(const SignaldConfig& config);

// Starts, serves until SIGTERM or SIGINT, and ends in order. An error's message is the one sentence
// that an operator needs to see; nothing is left behind then. SIGHUP reads `config_path` again.
absl::Status RunDaemon(const std::string& config_path, const SignaldConfig& config);

}  // namespace sotto::signaling
