// SPDX-License-Identifier: Apache-2.0
#include "relay/daemon/notify.h"

#include <fmt/format.h>
#include <systemd/sd-daemon.h>
#include <time.h>

namespace sotto {

Notifier::Notifier() {
  uint64_t interval = 0;
  if (sd_watchdog_enabled(0, &interval) > 0) watchdog_ = std::chrono::microseconds(interval);
}

void Notifier::Ready(std::string_view status) {
  sd_notify(0, fmt::format("READY=1\nSTATUS={}", status).c_str());
}

void Notifier::Reloading() {
  // systemd orders this against its own signal by the clock that both read.
  timespec now = {};
  clock_gettime(CLOCK_MONOTONIC, &now);
  sd_notify(0, fmt::format("RELOADING=1\nMONOTONIC_USEC={}",
                           uint64_t{1'000'000} * static_cast<uint64_t>(now.tv_sec) +
                               static_cast<uint64_t>(now.tv_nsec) / 1000)
                   .c_str());
}

void Notifier::Stopping() { sd_notify(0, "STOPPING=1"); }

void Notifier::Draining(std::string_view status) {
  constexpr std::chrono::microseconds kUntilTheNext = std::chrono::seconds(15);
  sd_notify(
      0, fmt::format("STOPPING=1\nSTATUS={}\nEXTEND_TIMEOUT_USEC={}", status, kUntilTheNext.count())
             .c_str());
}

void Notifier::Alive(std::chrono::steady_clock::time_point now) {
  if (watchdog_.count() == 0 || now - fed_ < watchdog_ / 3) return;
  fed_ = now;
  sd_notify(0, "WATCHDOG=1");
}

}  // namespace sotto
