// SPDX-License-Identifier: Apache-2.0
// Commands that look again and again.
#pragma once

#include <atomic>
#include <chrono>
#include <functional>

namespace CLI {
class App;
}

namespace sotto::tools {

// False: `stop` was set meanwhile, which ends the wait within a twentieth of a second.
bool WaitUnlessStopped(std::chrono::milliseconds duration, const std::atomic<bool>& stop);

// The option --interval, of 100 ms to an hour.
void AddInterval(CLI::App& app, std::function<void(std::chrono::milliseconds)> set);

}  // namespace sotto::tools
