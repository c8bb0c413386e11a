// SPDX-License-Identifier: Apache-2.0
// Numbers as people write and read them. Nothing here keeps state; any thread.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace sotto::tools {

// "10m", "1h30m", "2d", "90s", "500ms"; a number alone is in seconds. Up to 10 years.
// INVALID_ARGUMENT says what would be right.
absl::StatusOr<std::chrono::milliseconds> ParseDuration(std::string_view text);

std::string FormatDuration(uint64_t seconds);  // its two largest units: "3d 4h", "90s" is "1m 30s"
std::string FormatCount(uint64_t count);       // "1,234,567"
std::string FormatBytes(uint64_t bytes);       // "1.2 GiB"
std::string FormatRate(double per_second);     // three digits: "12.3 k", "4.56 M"
std::string FormatNanoseconds(uint64_t ns);    // "850 ns", "1.2 us"

// `text` with controls (relay/base/text.h), and what isn't UTF-8, as \xNN: names come from the
// network, and a terminal obeys escape sequences.
std::string Printable(std::string_view text);

// Columns that `text`, which is printable, takes: its code points.
size_t DisplayWidth(std::string_view text);

// `text` in lines of at most `width` columns, broken at spaces; every line but the first begins
// with `indent` spaces, which count. Words that are longer stand alone. No newline at the end.
std::string Wrap(std::string_view text, size_t width, size_t indent);

}  // namespace sotto::tools
