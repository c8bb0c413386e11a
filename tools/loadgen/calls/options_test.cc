// SPDX-License-Identifier: Apache-2.0
#include "tools/loadgen/calls/options.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <limits>

namespace sotto::tools {
namespace {

using ::testing::HasSubstr;

CallsOptions Good() {
  CallsOptions options;
  options.server = TransportAddress::Parse("192.0.2.1:3478").value();
  options.user = "demo";
  options.password = "password";
  options.families = {IpFamily::kV4};
  return options;
}

TEST(CallsOptionsTest, GoodOnesAreGood) {
  EXPECT_TRUE(Good().Validate().ok());
  CallsOptions secret = Good();
  secret.user.clear();
  secret.secret = "shared";
  secret.call_policy = true;
  EXPECT_TRUE(secret.Validate().ok());
}

TEST(CallsOptionsTest, EachMistakeNamesItsFlag) {
  const struct {
    std::function<void(CallsOptions&)> spoil;
    const char* flag;
  } kCases[] = {
      {[](auto& o) { o.server.port = 0; }, "--server"},
      {[](auto& o) { o.user.clear(); }, "--secret"},
      {[](auto& o) { o.secret = "both"; }, "--secret"},
      {[](auto& o) { o.password.clear(); }, "--password"},
      {[](auto& o) { o.call_policy = true; }, "--call-policy"},
      {[](auto& o) { o.local[1] = IpAddress::Parse("::1").value(); }, "--local"},
      {[](auto& o) { o.calls = 0; }, "--calls"},
      {[](auto& o) { o.pps = 0; }, "--pps"},
      {[](auto& o) { o.pps = std::numeric_limits<double>::quiet_NaN(); }, "--pps"},
      {[](auto& o) { o.payload = 31; }, "--payload"},
      {[](auto& o) { o.payload = kMaxPayload + 1; }, "--payload"},
      {[](auto& o) { o.seconds = 0; }, "--seconds"},
      {[](auto& o) { o.warmup = -1; }, "--warmup"},
      {[](auto& o) { o.threads = 0; }, "--threads"},
      {[](auto& o) { o.max_loss_percent = 101; }, "--max-loss"},
  };
  for (const auto& c : kCases) {
    CallsOptions options = Good();
    c.spoil(options);
    const absl::Status status = options.Validate();
    EXPECT_TRUE(absl::IsInvalidArgument(status)) << c.flag;
    EXPECT_THAT(std::string(status.message()), HasSubstr(c.flag));
  }
}

}  // namespace
}  // namespace sotto::tools
