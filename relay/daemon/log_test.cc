// SPDX-License-Identifier: Apache-2.0
#include "relay/daemon/log.h"

#include <gmock/gmock.h>

#include <limits>

namespace sotto {
namespace {

// 2026-01-02T03:04:05.678Z
constexpr std::chrono::system_clock::time_point kTime{std::chrono::milliseconds(1767323045678)};

std::string Text(std::string_view message, std::initializer_list<LogField> fields) {
  return RenderLogLine(LogFormat::kText, LogPrefix::kTime, kTime, LogLevel::kWarning, message,
                       fields);
}
std::string Json(std::string_view message, std::initializer_list<LogField> fields) {
  return RenderLogLine(LogFormat::kJson, LogPrefix::kTime, kTime, LogLevel::kWarning, message,
                       fields);
}

TEST(LogLine, IsTextForPeople) {
  EXPECT_EQ(Text("A port has no link.", {{"port", "net_tap0"}, {"waited_s", 3}, {"up", false}}),
            "2026-01-02T03:04:05.678Z warning A port has no link. port=net_tap0 waited_s=3 "
            "up=false");
}

TEST(LogLine, BeginsWithAPriorityForTheJournal) {
  const auto line = [](LogLevel level) {
    return RenderLogLine(LogFormat::kText, LogPrefix::kSyslogPriority, kTime, level, "Hm.", {});
  };
  EXPECT_EQ(line(LogLevel::kDebug), "<7>Hm.");
  EXPECT_EQ(line(LogLevel::kInfo), "<6>Hm.");
  EXPECT_EQ(line(LogLevel::kWarning), "<4>Hm.");
  EXPECT_EQ(line(LogLevel::kError), "<3>Hm.");
}

TEST(LogLine, IsOneJsonObject) {
  EXPECT_EQ(
      Json("A port has no link.",
           {{"port", "net_tap0"}, {"n", -3}, {"max", UINT64_MAX}, {"f", 0.5}, {"up", true}}),
      R"({"time":"2026-01-02T03:04:05.678Z","level":"warning","message":"A port has no link.",)"
      R"("port":"net_tap0","n":-3,"max":18446744073709551615,"f":0.5,"up":true})");
  EXPECT_THAT(Json("m", {{"f", std::numeric_limits<double>::infinity()}}),
              testing::HasSubstr(R"("f":null)"));
}

TEST(LogLine, KeepsHostileBytesOnOneLine) {
  using std::string_literals::operator""s;
  EXPECT_EQ(EscapeText("a\"b\\c\n\r\x1b[31m\x7f\0z"s), R"(a\"b\\c\n\u000d\u001b[31m\u007f\u0000z)");
  EXPECT_EQ(EscapeText("gr\xC3\xBC\xC3\x9F \xF0\x9F\x93\x9E"),
            "gr\xC3\xBC\xC3\x9F \xF0\x9F\x93\x9E");
  // Stray, truncated, overlong, surrogate and too large sequences.
  EXPECT_EQ(EscapeText("\x80"), R"(\u0080)");
  EXPECT_EQ(EscapeText("\xC3"), R"(\u00c3)");
  EXPECT_EQ(EscapeText("\xC0\xAF"), R"(\u00c0\u00af)");
  EXPECT_EQ(EscapeText("\xE0\x80\xAF"), R"(\u00e0\u0080\u00af)");
  EXPECT_EQ(EscapeText("\xED\xA0\x80"), R"(\u00ed\u00a0\u0080)");
  EXPECT_EQ(EscapeText("\xF0\x80\x80\x80"), R"(\u00f0\u0080\u0080\u0080)");
  EXPECT_EQ(EscapeText("\xF4\x90\x80\x80"), R"(\u00f4\u0090\u0080\u0080)");
  EXPECT_EQ(EscapeText("\xF0\x9F\x93"), R"(\u00f0\u009f\u0093)");
  // What terminals and viewers take for controls.
  EXPECT_EQ(EscapeText("\xC2\x9B\xE2\x80\xA8\xE2\x80\xA9"), R"(\u009b\u2028\u2029)");
}

TEST(LogLine, QuotesValuesThatCouldPassForFields) {
  EXPECT_EQ(Text("m", {{"user", "eve level=error"}}).substr(33), R"(m user="eve level=error")");
  EXPECT_EQ(Text("m", {{"user", ""}}).substr(33), R"(m user="")");
  EXPECT_EQ(Text("m", {{"user", "a=b"}}).substr(33), R"(m user="a=b")");
}

}  // namespace
}  // namespace sotto
