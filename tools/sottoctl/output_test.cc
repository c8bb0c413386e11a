// SPDX-License-Identifier: Apache-2.0
#include "tools/sottoctl/output.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <sstream>

namespace sotto::tools {
namespace {

const std::vector<Column> kColumns = {
    {"NAME", "name"}, {"BYTES", "size", Unit::kBytes}, {"NOTE", "more.note"}};

std::string Listed(const OutputOptions& options, const std::vector<Json>& records) {
  std::ostringstream out;
  Output output(out, options);
  {
    Output::List list(output, kColumns);
    for (const Json& record : records) list.Add(record);
  }
  return out.str();
}

const Json kOne = {{"name", "a"}, {"size", 2048}, {"more", {{"note", "x"}}}};
const Json kTwo = {{"name", "long-name"}, {"size", 5}, {"more", {{"note", ""}}}};

TEST(OutputTest, TablesAreAligned) {
  EXPECT_EQ(Listed({}, {kOne, kTwo}),
            "NAME         BYTES  NOTE\n"
            "a          2.0 KiB  x\n"
            "long-name      5 B  -\n");
  EXPECT_EQ(Listed({.raw = true}, {kOne}), "NAME  BYTES  NOTE\na      2048  x\n");
  EXPECT_EQ(Listed({}, {}), "NAME  BYTES  NOTE\n");
}

TEST(OutputTest, TheLastColumnIsWrappedToTheTerminal) {
  Json record = kOne;
  record["more"]["note"] = "words that go on for longer than the terminal is wide";
  EXPECT_EQ(Listed({.width = 40}, {record}),
            "NAME    BYTES  NOTE\n"
            "a     2.0 KiB  words that go on for\n"
            "               longer than the terminal\n"
            "               is wide\n");
}

TEST(OutputTest, ColorIsOnlyWhereItIsWanted) {
  EXPECT_THAT(Listed({.color = true}, {kOne}), ::testing::StartsWith("\033[1mNAME"));
  EXPECT_THAT(Listed({}, {kOne}), ::testing::Not(::testing::HasSubstr("\033")));
}

TEST(OutputTest, JsonListsAreOneArray) {
  EXPECT_EQ(Listed({.format = OutputFormat::kJson}, {}), "[]\n");
  const std::string text = Listed({.format = OutputFormat::kJson}, {kOne, kTwo});
  EXPECT_EQ(Json::parse(text), Json::array({kOne, kTwo}));
  EXPECT_EQ(std::count(text.begin(), text.end(), '\n'), 4) << "a line for each record: " << text;
}

TEST(OutputTest, YamlListsAreOneSequence) {
  EXPECT_EQ(Listed({.format = OutputFormat::kYaml}, {}), "[]\n");
  EXPECT_EQ(Listed({.format = OutputFormat::kYaml}, {kOne, kTwo}),
            "- name: a\n  size: 2048\n  more:\n    note: x\n"
            "- name: long-name\n  size: 5\n  more:\n    note: \"\"\n");
}

TEST(OutputTest, YamlQuotesWhatWouldBeReadAsSomethingElse) {
  const Json value = {{"word", "plain text"},
                      {"no", "no"},
                      {"number", "123"},
                      {"colon", "a: b"},
                      {"dash", "- x"},
                      {"null", nullptr},
                      {"list", {1, true}},
                      {"empty", Json::object()},
                      {"nested", Json::array({Json::array({1, 2}), {{"k", "v"}}})}};
  EXPECT_EQ(ToYaml(value),
            "word: plain text\n"
            "\"no\": \"no\"\n"
            "number: \"123\"\n"
            "colon: \"a: b\"\n"
            "dash: \"- x\"\n"
            "\"null\": null\n"
            "list:\n"
            "  - 1\n"
            "  - true\n"
            "empty: {}\n"
            "nested:\n"
            "  - - 1\n"
            "    - 2\n"
            "  - k: v\n");
}

TEST(OutputTest, WhatIsntUtf8IsReplacedInJson) {
  const std::string text = Listed({.format = OutputFormat::kJson}, {Json{{"name", "\xff"}}});
  EXPECT_EQ(Json::parse(text)[0]["name"], "\xef\xbf\xbd");
}

// Names are the clients', and a terminal obeys controls beyond ASCII too.
TEST(OutputTest, NoFormatPassesControlsOn) {
  const Json record{{"name",
                     "a\xc2\x9b"
                     "2J\x7f\xe2\x80\xae\033[1m"}};
  for (const OutputFormat format :
       {OutputFormat::kTable, OutputFormat::kJson, OutputFormat::kYaml}) {
    for (const char c : Listed({.format = format}, {record})) {
      EXPECT_TRUE((c >= 0x20 && c < 0x7f) || c == '\n') << static_cast<int>(c);
    }
  }
  EXPECT_EQ(Json::parse(Listed({.format = OutputFormat::kJson}, {record}))[0], record);
}

TEST(OutputTest, RowsBehindThoseThatWereMeasuredAreStillWhole) {
  std::vector<Json> records(500, kOne);
  records.push_back(kTwo);
  const std::string text = Listed({}, records);
  EXPECT_THAT(text, ::testing::EndsWith("\nlong-name      5 B  -\n"));
  EXPECT_EQ(std::count(text.begin(), text.end(), '\n'), 502);
}

}  // namespace
}  // namespace sotto::tools
