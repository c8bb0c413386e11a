// SPDX-License-Identifier: Apache-2.0
#include "tools/sottoctl/waiting.h"

#include <algorithm>
#include <thread>

#include "tools/sottoctl/options.h"
#include "tools/sottoctl/units.h"

namespace sotto::tools {

bool WaitUnlessStopped(std::chrono::milliseconds duration, const std::atomic<bool>& stop) {
  using Clock = std::chrono::steady_clock;
  const auto end = Clock::now() + duration;
  while (!stop) {
    const auto left = end - Clock::now();
    if (left <= Clock::duration::zero()) return true;
    std::this_thread::sleep_for(std::min<Clock::duration>(left, std::chrono::milliseconds(50)));
  }
  return false;
}

void AddInterval(CLI::App& app, std::function<void(std::chrono::milliseconds)> set) {
  AddText(
      app, "--interval", "DURATION",
      [set = std::move(set)](const std::string& text) {
        const auto interval = ParseDuration(text);
        if (!interval.ok()) {
          RefuseOption("--interval", std::string(interval.status().message()));
        }
        if (*interval < std::chrono::milliseconds(100) || *interval > std::chrono::hours(1)) {
          RefuseOption("--interval", "from 100ms to 1h");
        }
        set(*interval);
      },
      "Time between two updates; default: 1s");
}

}  // namespace sotto::tools
