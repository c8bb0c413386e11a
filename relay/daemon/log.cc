// SPDX-License-Identifier: Apache-2.0
#include "relay/daemon/log.h"

#include <fmt/chrono.h>
#include <fmt/format.h>
#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstdlib>
#include <memory>

#include "relay/base/text.h"

namespace sotto {
namespace {

int SyslogPriority(LogLevel level) {
  switch (level) {
    case LogLevel::kDebug:
      return 7;
    case LogLevel::kInfo:
      return 6;
    case LogLevel::kWarning:
      return 4;
    case LogLevel::kError:
      return 3;
  }
  return 3;
}

// Appends `text` so that it may stand between double quotes, in JSON and for people alike. A byte
// that belongs to no UTF-8 becomes the escape of the character of its value.
void AppendEscaped(std::string& out, std::string_view text) {
  while (!text.empty()) {
    const Utf8Character first = FirstOf(text);
    const std::string_view bytes = text.substr(0, std::max<size_t>(first.size, 1));
    text.remove_prefix(bytes.size());
    if (first.size == 0) {
      out += fmt::format("\\u{:04x}", static_cast<uint8_t>(bytes[0]));
    } else if (bytes == "\"" || bytes == "\\") {
      out += '\\';
      out += bytes;
    } else if (bytes == "\n") {
      out += "\\n";
    } else if (IsControl(first.value)) {
      out += fmt::format("\\u{:04x}", static_cast<uint32_t>(first.value));
    } else {
      out += bytes;
    }
  }
}

bool NeedsQuotes(std::string_view text) {
  if (text.empty()) return true;
  for (const char c : text) {
    if (c <= ' ' || c == '"' || c == '=' || c == '\\' || c == 0x7F) return true;
  }
  return false;  // bytes above 0x7F are negative chars, and are quoted
}

void AppendQuoted(std::string& out, std::string_view text) {
  out += '"';
  AppendEscaped(out, text);
  out += '"';
}

void AppendValue(std::string& out, LogFormat format, const LogField& field) {
  if (const auto* text = std::get_if<std::string_view>(&field.value)) {
    if (format == LogFormat::kJson || NeedsQuotes(*text)) {
      AppendQuoted(out, *text);
    } else {
      out += *text;
    }
  } else if (const auto* real = std::get_if<double>(&field.value)) {
    // JSON knows no infinity.
    out += std::isfinite(*real) ? fmt::format("{}", *real) : "null";
  } else if (const auto* integer = std::get_if<int64_t>(&field.value)) {
    out += fmt::format("{}", *integer);
  } else if (const auto* natural = std::get_if<uint64_t>(&field.value)) {
    out += fmt::format("{}", *natural);
  } else {
    out += std::get<bool>(field.value) ? "true" : "false";
  }
}

std::string Timestamp(std::chrono::system_clock::time_point time) {
  const auto seconds = std::chrono::floor<std::chrono::seconds>(time);
  const auto ms = std::chrono::duration_cast<std::chrono::milliseconds>(time - seconds).count();
  return fmt::format("{:%Y-%m-%dT%H:%M:%S}.{:03}Z",
                     fmt::gmtime(std::chrono::system_clock::to_time_t(seconds)), ms);
}

// systemd.exec(5): JOURNAL_STREAM names the device and inode of the journal's end of stderr.
bool StderrIsJournal() {
  const char* stream = std::getenv("JOURNAL_STREAM");
  struct stat st;
  return stream != nullptr && fstat(STDERR_FILENO, &st) == 0 &&
         fmt::format("{}:{}", st.st_dev, st.st_ino) == stream;
}

struct Sink {
  std::shared_ptr<spdlog::logger> logger = [] {
    auto made = std::make_shared<spdlog::logger>("relayd",
                                                 std::make_shared<spdlog::sinks::stderr_sink_mt>());
    made->set_pattern("%v");
    made->set_level(spdlog::level::info);
    return made;
  }();
  std::atomic<LogFormat> format = LogFormat::kText;  // ConfigureLog writes, all threads read
  const LogPrefix prefix = StderrIsJournal() ? LogPrefix::kSyslogPriority : LogPrefix::kTime;
};

Sink& TheSink() {
  static Sink* const sink = new Sink;  // outlives all threads
  return *sink;
}

spdlog::level::level_enum SpdlogLevel(LogLevel level) {
  switch (level) {
    case LogLevel::kDebug:
      return spdlog::level::debug;
    case LogLevel::kInfo:
      return spdlog::level::info;
    case LogLevel::kWarning:
      return spdlog::level::warn;
    case LogLevel::kError:
      return spdlog::level::err;
  }
  return spdlog::level::err;
}

}  // namespace

void ConfigureLog(const LogOptions& options) {
  TheSink().format.store(options.format, std::memory_order_relaxed);
  TheSink().logger->set_level(SpdlogLevel(options.level));
}

std::string_view LogLevelName(LogLevel level) {
  switch (level) {
    case LogLevel::kDebug:
      return "debug";
    case LogLevel::kInfo:
      return "info";
    case LogLevel::kWarning:
      return "warning";
    case LogLevel::kError:
      return "error";
  }
  return "error";
}

std::optional<LogLevel> ParseLogLevel(std::string_view name) {
  for (const LogLevel level :
       {LogLevel::kDebug, LogLevel::kInfo, LogLevel::kWarning, LogLevel::kError}) {
    if (name == LogLevelName(level)) return level;
  }
  return std::nullopt;
}

bool LogEnabled(LogLevel level) { return TheSink().logger->should_log(SpdlogLevel(level)); }

void Log(LogLevel level, std::string_view message, std::initializer_list<LogField> fields) {
  if (!LogEnabled(level)) return;
  Sink& sink = TheSink();
  const LogFormat format = sink.format.load(std::memory_order_relaxed);
  sink.logger->log(SpdlogLevel(level), spdlog::string_view_t(RenderLogLine(
                                           format, sink.prefix, std::chrono::system_clock::now(),
                                           level, message, fields)));
}

std::string EscapeText(std::string_view text) {
  std::string out;
  AppendEscaped(out, text);
  return out;
}

std::string RenderLogLine(LogFormat format, LogPrefix prefix,
                          std::chrono::system_clock::time_point time, LogLevel level,
                          std::string_view message, std::initializer_list<LogField> fields) {
  std::string line;
  if (format == LogFormat::kJson) {
    line = fmt::format(R"({{"time":"{}","level":"{}","message":)", Timestamp(time),
                       LogLevelName(level));
    AppendQuoted(line, message);
    for (const LogField& field : fields) {
      line += fmt::format(",\"{}\":", field.name);
      AppendValue(line, format, field);
    }
    line += '}';
    return line;
  }
  line = prefix == LogPrefix::kSyslogPriority
             ? fmt::format("<{}>", SyslogPriority(level))
             : fmt::format("{} {} ", Timestamp(time), LogLevelName(level));
  AppendEscaped(line, message);
  for (const LogField& field : fields) {
    line += fmt::format(" {}=", field.name);
    AppendValue(line, format, field);
  }
  return line;
}

}  // namespace sotto
