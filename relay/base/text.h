// SPDX-License-Identifier: Apache-2.0
// Text that others have written, and what of it may be shown: UTF-8 without what steers a terminal.
#pragma once

#include <cstdint>
#include <string_view>

namespace sotto {

// What a text begins with.
struct Utf8Character {
  size_t size = 0;  // bytes; 0: no well-formed UTF-8 (Unicode, table 3-7), or no text
  char32_t value = 0;
};
Utf8Character FirstOf(std::string_view text);

// Controls (C0, DEL, C1), line and paragraph separators, and what turns the direction of writing:
// they make viewers show something else than what stands there.
bool IsControl(char32_t character);

// Whether it is well-formed UTF-8, and none of it is a control.
bool IsPlainText(std::string_view text);

}  // namespace sotto
