// SPDX-License-Identifier: Apache-2.0
// For tests: sottoctl run within the process, and what it printed.
#pragma once

#include <atomic>
#include <map>
#include <ostream>
#include <sstream>
#include <string>
#include <vector>

#include "tools/sottoctl/sottoctl.h"

namespace sotto::tools {

struct Ran {
  ExitCode code;
  std::string out;
  std::string err;
};

class Runner {
 public:
  std::map<std::string, std::string> environment;
  std::string input;
  size_t terminal_width = 0;  // 0: the output is no terminal
  std::atomic<bool> stop = false;
  std::chrono::system_clock::time_point now{std::chrono::seconds(1'767'225'600)};

  Ran Run(const std::vector<std::string>& arguments) {
    std::ostringstream out, err;
    const ExitCode code = RunInto(arguments, out, err);
    return {code, out.str(), err.str()};
  }
  ExitCode RunInto(const std::vector<std::string>& arguments, std::ostream& out,
                   std::ostream& err) {
    std::istringstream in(input);
    Surroundings around = {
        .in = in,
        .out = out,
        .err = err,
        .out_is_terminal = terminal_width > 0,
        .width = terminal_width,
        .environment = [this](const char* name) { return environment[name]; },
        .now = [this] { return now; },
        .stop = stop,
    };
    return RunSottoctl(arguments, around);
  }
};

}  // namespace sotto::tools
