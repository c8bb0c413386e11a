// SPDX-License-Identifier: Apache-2.0
#include "tools/sottoctl/units.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>

#include "relay/base/text.h"

namespace sotto::tools {
namespace {

using std::chrono::milliseconds;

struct DurationUnit {
  std::string_view name;
  uint64_t ms;
};
// "ms" before "m", of which it has the first letter.
constexpr DurationUnit kDurationUnits[] = {
    {"ms", 1}, {"s", 1000}, {"m", 60'000}, {"h", 3'600'000}, {"d", 86'400'000}};
constexpr uint64_t kLongestMs = uint64_t{3650} * 86'400'000;

absl::Status NotADuration(std::string_view text) {
  return absl::InvalidArgumentError(
      fmt::format("\"{}\" is no duration; write it as 90s, 10m, 1h30m or 2d", Printable(text)));
}

// Three digits, however large.
std::string ThreeDigits(double value) {
  return value >= 99.95   ? fmt::format("{:.0f}", value)
         : value >= 9.995 ? fmt::format("{:.1f}", value)
                          : fmt::format("{:.2f}", value);
}

}  // namespace

absl::StatusOr<milliseconds> ParseDuration(std::string_view text) {
  uint64_t total_ms = 0;
  std::string_view rest = text;
  if (rest.empty()) return NotADuration(text);
  while (!rest.empty()) {
    uint64_t number = 0;
    const auto [end, error] = std::from_chars(rest.data(), rest.data() + rest.size(), number);
    if (error != std::errc() || number > kLongestMs) return NotADuration(text);
    const size_t digits = static_cast<size_t>(end - rest.data());
    const bool alone = digits == text.size();
    rest.remove_prefix(digits);
    uint64_t unit_ms = alone ? 1000 : 0;
    for (const DurationUnit& unit : kDurationUnits) {
      if (unit_ms == 0 && rest.starts_with(unit.name)) {
        unit_ms = unit.ms;
        rest.remove_prefix(unit.name.size());
      }
    }
    if (unit_ms == 0 || number > kLongestMs / unit_ms) return NotADuration(text);
    total_ms += number * unit_ms;
    if (total_ms > kLongestMs) return NotADuration(text);
  }
  return milliseconds(total_ms);
}

std::string FormatDuration(uint64_t seconds) {
  constexpr std::array<std::pair<uint64_t, char>, 4> kUnits = {
      {{86'400, 'd'}, {3600, 'h'}, {60, 'm'}, {1, 's'}}};
  for (size_t i = 0; i + 1 < kUnits.size(); ++i) {
    const auto [size, name] = kUnits[i];
    if (seconds < size) continue;
    const uint64_t next = seconds % size / kUnits[i + 1].first;
    return next == 0 ? fmt::format("{}{}", seconds / size, name)
                     : fmt::format("{}{} {}{}", seconds / size, name, next, kUnits[i + 1].second);
  }
  return fmt::format("{}s", seconds);
}

std::string FormatCount(uint64_t count) {
  std::string text = fmt::format("{}", count);
  for (size_t at = text.size(); at > 3;) text.insert(at -= 3, ",");
  return text;
}

std::string FormatBytes(uint64_t bytes) {
  if (bytes < 1024) return fmt::format("{} B", bytes);
  double value = static_cast<double>(bytes);
  size_t unit = 0;
  constexpr std::array kUnits = {"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
  for (; value >= 1023.95 && unit + 1 < kUnits.size(); ++unit) value /= 1024;
  return fmt::format("{:.1f} {}", value, kUnits[unit]);
}

std::string FormatRate(double per_second) {
  if (per_second < 999.5) {
    return per_second < 10 && per_second != std::floor(per_second)
               ? fmt::format("{:.1f}", per_second)
               : fmt::format("{:.0f}", per_second);
  }
  size_t unit = 0;
  constexpr std::array kUnits = {"k", "M", "G", "T", "P", "E"};
  per_second /= 1000;
  for (; per_second >= 999.5 && unit + 1 < kUnits.size(); ++unit) per_second /= 1000;
  return fmt::format("{} {}", ThreeDigits(per_second), kUnits[unit]);
}

std::string FormatNanoseconds(uint64_t ns) {
  if (ns < 1000) return fmt::format("{} ns", ns);
  const double value = static_cast<double>(ns);
  if (ns < 1'000'000) return fmt::format("{} us", ThreeDigits(value / 1e3));
  if (ns < 1'000'000'000) return fmt::format("{} ms", ThreeDigits(value / 1e6));
  return fmt::format("{} s", ThreeDigits(value / 1e9));
}

std::string Printable(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  while (!text.empty()) {
    const Utf8Character first = FirstOf(text);
    const std::string_view bytes = text.substr(0, std::max<size_t>(first.size, 1));
    text.remove_prefix(bytes.size());
    if (first.size != 0 && !IsControl(first.value)) {
      out += bytes;
      continue;
    }
    for (const char byte : bytes) out += fmt::format("\\x{:02x}", static_cast<uint8_t>(byte));
  }
  return out;
}

size_t DisplayWidth(std::string_view text) {
  size_t width = 0;
  for (const char c : text) width += (static_cast<uint8_t>(c) & 0xc0) != 0x80;
  return width;
}

std::string Wrap(std::string_view text, size_t width, size_t indent) {
  std::string out;
  size_t column = indent;
  while (!text.empty()) {
    const size_t space = text.find(' ');
    const std::string_view word = text.substr(0, space);
    const size_t word_width = DisplayWidth(word);
    if (column > indent && column + 1 + word_width > width) {
      out += '\n';
      out.append(indent, ' ');
      column = indent;
    } else if (column > indent) {
      out += ' ';
      ++column;
    }
    out += word;
    column += word_width;
    text.remove_prefix(space == std::string_view::npos ? text.size() : space + 1);
  }
  return out;
}

}  // namespace sotto::tools
