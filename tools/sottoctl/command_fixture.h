// SPDX-License-Identifier: Apache-2.0
// For tests: commands run against a daemon that answers as it is told.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "tools/sottoctl/fake_daemon.h"
#include "tools/sottoctl/run_sottoctl.h"

namespace sotto::tools {

// What a command about the relay, or about either daemon, prints.
class CommandTest : public ::testing::Test {
 protected:
  Ran Run(std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), {"--target", fake_.target()});
    return runner_.Run(arguments);
  }
  // The output of a command that succeeds.
  std::string Table(std::vector<std::string> arguments) {
    const Ran ran = Run(std::move(arguments));
    EXPECT_EQ(ran.code, kExitDone) << ran.err;
    EXPECT_THAT(ran.err, ::testing::IsEmpty());
    return ran.out;
  }
  Json InJson(std::vector<std::string> arguments) {
    arguments.insert(arguments.end(), {"-o", "json"});
    return Json::parse(Table(std::move(arguments)));
  }

  FakeDaemon fake_;
  Runner runner_;
};

}  // namespace sotto::tools
