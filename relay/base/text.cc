// SPDX-License-Identifier: Apache-2.0
#include "relay/base/text.h"

namespace sotto {

Utf8Character FirstOf(std::string_view text) {
  if (text.empty()) return {};
  const auto byte = [&](size_t i) { return static_cast<uint8_t>(text[i]); };
  const uint8_t lead = byte(0);
  const size_t size = lead < 0x80                    ? 1
                      : lead >= 0xC2 && lead <= 0xDF ? 2
                      : lead >= 0xE0 && lead <= 0xEF ? 3
                      : lead >= 0xF0 && lead <= 0xF4 ? 4
                                                     : 0;
  if (size == 0 || size > text.size()) return {};
  if (size == 1) return {1, lead};
  char32_t value = lead & (0x7F >> size);
  for (size_t i = 1; i < size; ++i) {
    if ((byte(i) & 0xC0) != 0x80) return {};
    value = value << 6 | (byte(i) & 0x3F);
  }
  // Overlong forms, surrogates, and what is beyond Unicode.
  constexpr char32_t kLeast[] = {0, 0, 0x80, 0x800, 0x10000};
  if (value < kLeast[size] || (value >= 0xD800 && value <= 0xDFFF) || value > 0x10FFFF) return {};
  return {size, value};
}

bool IsControl(char32_t character) {
  return character < 0x20 || (character >= 0x7F && character <= 0x9F) || character == 0x61C ||
         character == 0x200E || character == 0x200F ||
         (character >= 0x2028 && character <= 0x202E) ||
         (character >= 0x2066 && character <= 0x2069);
}

bool IsPlainText(std::string_view text) {
  while (!text.empty()) {
    const Utf8Character first = FirstOf(text);
    if (first.size == 0 || IsControl(first.value)) return false;
    text.remove_prefix(first.size);
  }
  return true;
}

}  // namespace sotto
