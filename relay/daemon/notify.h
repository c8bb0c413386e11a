// SPDX-License-Identifier: Apache-2.0
// What the daemon tells systemd (sd_notify(3)); nothing happens if it wasn't started by it.
#pragma once

#include <chrono>
#include <string_view>

namespace sotto {

class Notifier {
 public:
  Notifier();

  void Ready(std::string_view status);
  void Reloading();  // Ready() follows
  void Stopping();
  // Instead, while the end takes its time: call it every second. The service manager waits on, for
  // however long its unit would.
  void Draining(std::string_view status);
  // Call it often while all is well: feeds the watchdog, if the unit asks for one.
  void Alive(std::chrono::steady_clock::time_point now);

 private:
  std::chrono::microseconds watchdog_ = {};  // zero: none
  std::chrono::steady_clock::time_point fed_ = {};
};

}  // namespace sotto
