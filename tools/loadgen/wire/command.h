// SPDX-License-Identifier: Apache-2.0
// The command line of `sotto-loadgen wire`.
#pragma once

#include <atomic>
#include <functional>

namespace CLI {
class App;
}

namespace sotto::tools {

// Adds the subcommand; when it is given, `chosen` runs it and returns the exit code.
void AddWireCommand(CLI::App& app, const std::atomic<bool>& stop, std::function<int()>& chosen);

}  // namespace sotto::tools
