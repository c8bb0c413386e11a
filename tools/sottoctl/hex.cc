// SPDX-License-Identifier: Apache-2.0
#include "tools/sottoctl/hex.h"

#include <fmt/format.h>

#include "tools/sottoctl/units.h"

namespace sotto::tools {

absl::StatusOr<std::string> ParseHex(std::string_view text) {
  if (text.starts_with("0x") || text.starts_with("0X")) text.remove_prefix(2);
  std::string bytes;
  int high = -1;
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (c == ' ' || c == ':' || c == '\n' || c == '\r' || c == '\t') continue;
    const int digit = c >= '0' && c <= '9'   ? c - '0'
                      : c >= 'a' && c <= 'f' ? c - 'a' + 10
                      : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                             : -1;
    if (digit < 0) {
      return absl::InvalidArgumentError(fmt::format(
          "\"{}\", character {}, is not a hexadecimal digit", Printable(text.substr(i, 1)), i + 1));
    }
    if (high < 0) {
      high = digit;
    } else {
      bytes += static_cast<char>(high << 4 | digit);
      high = -1;
    }
  }
  if (high >= 0) return absl::InvalidArgumentError("an odd number of hexadecimal digits");
  if (bytes.empty()) return absl::InvalidArgumentError("no hexadecimal digits");
  return bytes;
}

}  // namespace sotto::tools
