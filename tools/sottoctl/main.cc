// SPDX-License-Identifier: Apache-2.0
// sottoctl: how operators look at the daemons, and change them.
#include <sys/ioctl.h>
#include <unistd.h>

#include <atomic>
#include <csignal>
#include <cstdlib>
#include <iostream>

#include "tools/sottoctl/sottoctl.h"

namespace {

std::atomic<bool> stop_requested = false;

void HandleSignals() {
  struct sigaction action = {};
  action.sa_handler = [](int) { stop_requested = true; };
  action.sa_flags = SA_RESETHAND;  // a second signal ends the process at once
  sigaction(SIGINT, &action, nullptr);
  sigaction(SIGTERM, &action, nullptr);
}

size_t TerminalWidth() {
  winsize size = {};
  return ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 ? size.ws_col : 0;
}

}  // namespace

int main(int argc, char** argv) {
  // gRPC's own complaints repeat what the commands say in words.
  setenv("GRPC_VERBOSITY", "NONE", 0);
  HandleSignals();
  std::ios::sync_with_stdio(false);
  sotto::tools::Surroundings around = {
      .in = std::cin,
      .out = std::cout,
      .err = std::cerr,
      .out_is_terminal = isatty(STDOUT_FILENO) != 0,
      .width = TerminalWidth(),
      .environment =
          [](const char* name) {
            const char* value = std::getenv(name);
            return std::string(value == nullptr ? "" : value);
          },
      .now = [] { return std::chrono::system_clock::now(); },
      .stop = stop_requested,
  };
  return sotto::tools::RunSottoctl({argv + 1, argv + argc}, around);
}
