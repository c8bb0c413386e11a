// SPDX-License-Identifier: Apache-2.0
#include "relay/base/text.h"

#include <gtest/gtest.h>

#include <string>

namespace sotto {
namespace {

// UTF-8 of a character, as RFC 3629 makes it.
std::string Encode(char32_t c) {
  const auto tail = [&](int shift) { return static_cast<char>(0x80 | ((c >> shift) & 0x3F)); };
  if (c < 0x80) return {static_cast<char>(c)};
  if (c < 0x800) return {static_cast<char>(0xC0 | c >> 6), tail(0)};
  if (c < 0x10000) return {static_cast<char>(0xE0 | c >> 12), tail(6), tail(0)};
  return {static_cast<char>(0xF0 | c >> 18), tail(12), tail(6), tail(0)};
}

TEST(TextTest, EveryCharacterIsReadAndNothingElse) {
  for (char32_t c = 0; c <= 0x110000; ++c) {
    const std::string text = Encode(c);
    const Utf8Character first = FirstOf(text + "x");
    if ((c >= 0xD800 && c <= 0xDFFF) || c > 0x10FFFF) {
      ASSERT_EQ(first.size, 0u) << static_cast<uint32_t>(c);
      continue;
    }
    ASSERT_EQ(first.size, text.size()) << static_cast<uint32_t>(c);
    ASSERT_EQ(first.value, c);
    // Cut short.
    ASSERT_EQ(FirstOf(std::string_view(text).substr(0, text.size() - 1)).size, 0u);
  }
}

TEST(TextTest, OverlongAndBrokenFormsAreNone) {
  for (const char* text :
       {"\xC0\xAF", "\xC1\xBF", "\xE0\x80\xAF", "\xE0\x9F\xBF", "\xF0\x80\x80\xAF",
        "\xF0\x8F\xBF\xBF", "\xF8\x88\x80\x80\x80", "\x80", "\xBF", "\xFF", "\xFE", "\xC3(",
        "\xE2(\xA1", "\xE2\x82(", "\xF0(\x8C\xBC", "\xF0\x90(\xBC"}) {
    EXPECT_EQ(FirstOf(text).size, 0u) << text;
    EXPECT_FALSE(IsPlainText(text)) << text;
  }
}

TEST(TextTest, WhatSteersATerminalIsNoPlainText) {
  for (const char* text :
       {"\033[2J", "a\nb", "a\rb", "\x7F",
        "\xC2\x9B"
        "31m",
        "\xC2\x80", "\xE2\x80\xA8", "\xE2\x80\xAE", "\xE2\x81\xA6", "\xE2\x80\x8F"}) {
    EXPECT_FALSE(IsPlainText(text)) << text;
  }
  EXPECT_FALSE(IsPlainText(std::string_view("a\0b", 3)));
  for (const char* text : {"", "o'brien", "anna müller", "名前", "\xF0\x9F\x98\x80", "a\"b\\c"}) {
    EXPECT_TRUE(IsPlainText(text)) << text;
  }
}

}  // namespace
}  // namespace sotto
