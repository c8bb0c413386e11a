#include "relay/daemon/log.h"

#include <fmt/chrono.h>
#include <fmt/format.h>
#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cmath>
#include <cstdlib>
#include <memory>

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

// The length of the well-formed UTF-8 sequence (Unicode, table 3-7) that `text` begins with, 0 if
// there is none.
size_t Utf8SequenceSize(std::string_view text) {
  const auto byte = [&](size_t i) -> uint8_t {
    return i < text.size() ? static_cast<uint8_t>(text[i]) : 0;
  };
  const auto follows = [&](size_t i) { return (byte(i) & 0xC0) == 0x80; };
  const uint8_t lead = byte(0);
  if (lead < 0x80) return 1;
  if (lead >= 0xC2 && lead <= 0xDF) return follows(1) ? 2 : 0;
  if (lead >= 0xE0 && lead <= 0xEF) {
    if (!follows(1) || !follows(2)) return 0;
    if (lead == 0xE0 && byte(1) < 0xA0) return 0;
    if (lead == 0xED && byte(1) > 0x9F) return 0;
    return 3;
  }
  if (lead >= 0xF0 && lead <= 0xF4) {
    if (!follows(1) || !follows(2) || !follows(3)) return 0;
    if (lead == 0xF0 && byte(1) < 0x90) return 0;
    if (lead == 0xF4 && byte(1) > 0x8F) return 0;
    return 4;
  }
  return 0;
}

// C1 controls (U+0080 to U+009F) and the line separators U+2028 and U+2029 steer terminals and
// viewers as ASCII controls do.
bool IsControlSequence(std::string_view sequence) {
  if (sequence.size() == 2) {
    return sequence[0] == '\xC2' && static_cast<uint8_t>(sequence[1]) < 0xA0;
  }
  return sequence == "\xE2\x80\xA8" || sequence == "\xE2\x80\xA9";
}

// Appends `text` so that it may stand between double quotes, in JSON and for people alike. A byte
// that belongs to no UTF-8 becomes the escape of the character of its value.
void AppendEscaped(std::string& out, std::string_view text) {
  for (size_t i = 0; i < text.size();) {
    const size_t size = Utf8SequenceSize(text.substr(i));
    const std::string_view sequence = text.substr(i, size == 0 ? 1 : size);
    const auto lead = static_cast<uint8_t>(sequence[0]);
    if (size == 0) {
      out += fmt::format("\\u00{:02x}", lead);
    } else if (lead == '"' || lead == '\\') {
      out += {'\\', static_cast<char>(lead)};
    } else if (lead == '\n') {
      out += "\\n";
    } else if (lead < 0x20 || lead == 0x7F) {
      out += fmt::format("\\u00{:02x}", lead);
    } else if (IsControlSequence(sequence)) {
      out += sequence.size() == 2 ? fmt::format("\\u00{:02x}", static_cast<uint8_t>(sequence[1]))
                                  : fmt::format("\\u20{:02x}", sequence[2] == '\xA8' ? 0x28 : 0x29);
    } else {
      out += sequence;
    }
    i += sequence.size();
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
