// SPDX-License-Identifier: Apache-2.0
#include "tools/loadgen/signaling/options.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <functional>

#include "tools/loadgen/signaling/report.h"

namespace sotto::tools {
namespace {

using ::testing::HasSubstr;

TEST(SignalingOptionsTest, WrongOnesNameTheirFlag) {
  EXPECT_TRUE(SignalingOptions().Validate().ok());
  const std::pair<const char*, std::function<void(SignalingOptions&)>> kWrong[] = {
      {"--devices", [](auto& o) { o.devices = 1; }},
      {"--connecting", [](auto& o) { o.connecting = 0; }},
      {"--name", [](auto& o) { o.name = "a b"; }},
      {"--name", [](auto& o) { o.name = ""; }},
      {"--name", [](auto& o) { o.name = std::string(49, 'x'); }},
      {"--calls-per-second", [](auto& o) { o.calls_per_second = -1; }},
      {"--calls-per-second", [](auto& o) { o.calls_per_second = NAN; }},
      {"--seconds", [](auto& o) { o.seconds = 1e9; }},
  };
  for (const auto& [flag, change] : kWrong) {
    SignalingOptions options;
    change(options);
    EXPECT_THAT(std::string(options.Validate().message()), HasSubstr(flag));
  }
}

TEST(SignalingReportTest, CountsMemoryByDevice) {
  SignalingOptions options;
  SignalingReport report;
  report.connected = 100;
  report.server_kib_before = 1000;
  report.server_kib_connected = 3500;
  EXPECT_THAT(ToText(options, report), HasSubstr("25.0 a device"));
  EXPECT_THAT(ToJson(options, report), HasSubstr("\"per_device\":25.0"));
}

TEST(SignalingReportTest, ErrorsAreBounded) {
  SignalingReport report;
  for (int i = 0; i < 1000; ++i) report.AddError("again");
  EXPECT_EQ(report.errors.size(), 16u);
}

}  // namespace
}  // namespace sotto::tools
