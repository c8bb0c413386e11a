// The daemon: everything that is open while sotto-signald runs.
#pragma once

#include <string>

#include "absl/status/status.h"
#include "signaling/signald/config.h"

namespace sotto::signaling {

// Whether the files that a configuration names can be used: certificate, keys, web client. What a
// start and a reload check too.
absl::Status CheckFiles(const SignaldConfig& config);

// Starts, serves until SIGTERM or SIGINT, and ends in order. An error's message is the one sentence
// that an operator needs to see; nothing is left behind then. SIGHUP reads `config_path` again.
absl::Status RunDaemon(const std::string& config_path, const SignaldConfig& config);

}  // namespace sotto::signaling
