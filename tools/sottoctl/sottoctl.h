// SPDX-License-Identifier: Apache-2.0
// sottoctl as a function: the whole program but for main().
#pragma once

#include <CLI/App.hpp>
#include <memory>
#include <string>
#include <vector>

#include "tools/sottoctl/command.h"

namespace sotto::tools {

enum ExitCode : int {
  kExitDone = 0,
  kExitFailed = 1,  // refused, or not done
  kExitUsage = 2,
  kExitUnreachable = 3,
  kExitNotFound = 4,
};

constexpr const char* kRelaySocket = "unix:/run/sotto/relayd.sock";
constexpr const char* kSignalingSocket = "unix:/run/sotto/signald.sock";

// `arguments` are those behind the program's name.
ExitCode RunSottoctl(const std::vector<std::string>& arguments, Surroundings& around);

}  // namespace sotto::tools
