// SPDX-License-Identifier: Apache-2.0
#include "tools/sottoctl/units.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tools/sottoctl/hex.h"

namespace sotto::tools {
namespace {

using std::chrono::milliseconds;

TEST(UnitsTest, DurationsAreRead) {
  EXPECT_EQ(*ParseDuration("90"), milliseconds(90'000));
  EXPECT_EQ(*ParseDuration("500ms"), milliseconds(500));
  EXPECT_EQ(*ParseDuration("10m"), milliseconds(600'000));
  EXPECT_EQ(*ParseDuration("1h30m"), milliseconds(5'400'000));
  EXPECT_EQ(*ParseDuration("2d1s"), milliseconds(172'801'000));
  EXPECT_EQ(*ParseDuration("0"), milliseconds(0));
}

TEST(UnitsTest, WhatIsNoDurationIsRefused) {
  for (const char* text : {"", "m", "-1s", "1x", "1h30", "10 m", "1.5h", "99999999999999999999",
                           "4000d", "18446744073709551615ms", "1m\n"}) {
    EXPECT_FALSE(ParseDuration(text).ok()) << text;
  }
}

TEST(UnitsTest, NumbersAreWrittenForPeople) {
  EXPECT_EQ(FormatDuration(0), "0s");
  EXPECT_EQ(FormatDuration(59), "59s");
  EXPECT_EQ(FormatDuration(90), "1m 30s");
  EXPECT_EQ(FormatDuration(3600), "1h");
  EXPECT_EQ(FormatDuration(266'400), "3d 2h");
  EXPECT_EQ(FormatCount(0), "0");
  EXPECT_EQ(FormatCount(999), "999");
  EXPECT_EQ(FormatCount(1'234'567), "1,234,567");
  EXPECT_EQ(FormatBytes(1023), "1023 B");
  EXPECT_EQ(FormatBytes(1536), "1.5 KiB");
  EXPECT_EQ(FormatBytes(UINT64_MAX), "16.0 EiB");
  EXPECT_EQ(FormatRate(0), "0");
  EXPECT_EQ(FormatRate(0.25), "0.2");
  EXPECT_EQ(FormatRate(999.4), "999");
  EXPECT_EQ(FormatRate(999.6), "1.00 k");
  EXPECT_EQ(FormatRate(12'345'678), "12.3 M");
  EXPECT_EQ(FormatNanoseconds(850), "850 ns");
  EXPECT_EQ(FormatNanoseconds(1234), "1.23 us");
  EXPECT_EQ(FormatNanoseconds(2'500'000'000), "2.50 s");
}

TEST(UnitsTest, TextIsMadePrintable) {
  EXPECT_EQ(Printable("caf\xc3\xa9 \xe2\x82\xac \xf0\x9f\x98\x80"),
            "caf\xc3\xa9 \xe2\x82\xac \xf0\x9f\x98\x80");
  EXPECT_EQ(Printable(std::string_view("\0\x1b\x7f", 3)), "\\x00\\x1b\\x7f");
  EXPECT_EQ(Printable("\xc2\x9b"), "\\xc2\\x9b") << "the other CSI";
  EXPECT_EQ(Printable("\xff\xc3"), "\\xff\\xc3");
  EXPECT_EQ(Printable("\xc0\xaf"), "\\xc0\\xaf") << "overlong";
  EXPECT_EQ(Printable("\xed\xa0\x80"), "\\xed\\xa0\\x80") << "a surrogate";
}

TEST(UnitsTest, TextIsWrapped) {
  EXPECT_EQ(Wrap("one two three", 9, 2), "one two\n  three");
  EXPECT_EQ(Wrap("incomprehensible", 5, 0), "incomprehensible");
  EXPECT_EQ(Wrap("a incomprehensible b", 5, 1), "a\n incomprehensible\n b");
}

TEST(HexTest, BytesAreReadAsToolsPrintThem) {
  EXPECT_EQ(*ParseHex("0x00ff"), std::string("\0\xff", 2));
  EXPECT_EQ(*ParseHex("02:0a\n Bc"), "\x02\x0a\xbc");
  for (const char* text : {"", " ", "0", "0x", "zz", "0 0 0"}) {
    EXPECT_FALSE(ParseHex(text).ok()) << text;
  }
}

}  // namespace
}  // namespace sotto::tools
