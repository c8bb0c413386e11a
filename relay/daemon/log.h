// SPDX-License-Identifier: Apache-2.0
// The daemon's log: one line for each event, to standard error.
//
//   text   2026-01-02T03:04:05.678Z warning The port has no link. port=net_tap0 waited_s=3
//          (under systemd, which adds the time itself: <4>The port has no link. port=...)
//   json   {"time":"2026-01-02T03:04:05.678Z","level":"warning","message":"...","port":"net_tap0"}
//
// A message is a constant sentence; what varies stands in fields. Values may come from the network:
// whatever isn't printable ASCII or valid UTF-8 is escaped, so a line stays a line. Nothing is
// logged that is secret, or that pairs two parties of a call: a client's address or user name
// stands in a line alone, and at debug level only.
#pragma once

#include <chrono>
#include <cstdint>
#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>
#include <variant>

namespace sotto {

enum class LogLevel : uint8_t { kDebug, kInfo, kWarning, kError };
enum class LogFormat : uint8_t { kText, kJson };

struct LogOptions {
  LogLevel level = LogLevel::kInfo;
  LogFormat format = LogFormat::kText;

  bool operator==(const LogOptions&) const = default;
};

struct LogField {
  std::string_view name;  // [a-z_]+
  std::variant<std::string_view, int64_t, uint64_t, double, bool> value;

  LogField(std::string_view n, std::string_view v) : name(n), value(v) {}
  LogField(std::string_view n, const std::string& v) : name(n), value(std::string_view(v)) {}
  LogField(std::string_view n, const char* v) : name(n), value(std::string_view(v)) {}
  LogField(std::string_view n, bool v) : name(n), value(v) {}
  LogField(std::string_view n, double v) : name(n), value(v) {}
  template <typename Integer>
  requires std::is_integral_v<Integer> LogField(std::string_view n, Integer v) : name(n) {
    if constexpr (std::is_signed_v<Integer>) {
      value = static_cast<int64_t>(v);
    } else {
      value = static_cast<uint64_t>(v);
    }
  }
};

// May be called again, at any time, from one thread. Before the first call, text at level info.
void ConfigureLog(const LogOptions& options);

// Any thread, but no worker on its way with packets: it takes a lock and writes.
void Log(LogLevel level, std::string_view message, std::initializer_list<LogField> fields = {});
bool LogEnabled(LogLevel level);

// "debug", "info", "warning", "error"; nothing for any other word.
std::string_view LogLevelName(LogLevel level);
std::optional<LogLevel> ParseLogLevel(std::string_view name);

// `text` with whatever isn't printable as JSON escapes (\\n, \\u001b), fit to stand between double
// quotes.
std::string EscapeText(std::string_view text);

// How a line begins.
enum class LogPrefix : uint8_t {
  kTime,
  kSyslogPriority,  // <N>, for systemd's journal
};
// A line, without its end.
std::string RenderLogLine(LogFormat format, LogPrefix prefix,
                          std::chrono::system_clock::time_point time, LogLevel level,
                          std::string_view message, std::initializer_list<LogField> fields);

}  // namespace sotto
