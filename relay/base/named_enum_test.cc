// SPDX-License-Identifier: Apache-2.0
#include "relay/base/named_enum.h"

#include <gtest/gtest.h>

namespace sotto {
namespace {

// X(symbol, name, sentence, keys)
#define SOTTO_TEST_DOORS(X)                      \
  X(kOpen, "open", "The door can be opened.", 0) \
  X(kLocked, "locked",                           \
    "The door is locked; "                       \
    "look for the key.",                         \
    1)
SOTTO_NAMED_ENUM(Door, SOTTO_TEST_DOORS);
SOTTO_ENUM_SENTENCES(Door, SOTTO_TEST_DOORS);

// X(symbol, name)
#define SOTTO_TEST_COLOURS(X) \
  X(kRed, "red")              \
  X(kDarkBlue2, "dark_blue_2")
SOTTO_NAMED_ENUM(Colour, SOTTO_TEST_COLOURS);

TEST(NamedEnumTest, ValuesHaveTheNamesAndSentencesOfTheirRows) {
  static_assert(kCountOf<Door> == 2 && kCountOf<Colour> == 2);
  static_assert(static_cast<int>(Door::kOpen) == 0 && static_cast<int>(Door::kLocked) == 1);
  static_assert(Name(Door::kLocked) == "locked");
  EXPECT_EQ(Name(Door::kOpen), "open");
  EXPECT_EQ(Sentence(Door::kOpen), "The door can be opened.");
  EXPECT_EQ(Sentence(Door::kLocked), "The door is locked; look for the key.");
  EXPECT_EQ(Name(Colour::kRed), "red");
  EXPECT_EQ(Name(Colour::kDarkBlue2), "dark_blue_2");
}

TEST(NamedEnumTest, NamesAreLabelsAndDiffer) {
  constexpr std::string_view kGood[] = {"a", "b_2"};
  constexpr std::string_view kTwice[] = {"a", "b", "a"};
  constexpr std::string_view kUpper[] = {"a", "B"};
  constexpr std::string_view kSpace[] = {"a b"};
  constexpr std::string_view kEmpty[] = {"a", ""};
  EXPECT_TRUE(AreLabels(kGood));
  EXPECT_FALSE(AreLabels(kTwice));
  EXPECT_FALSE(AreLabels(kUpper));
  EXPECT_FALSE(AreLabels(kSpace));
  EXPECT_FALSE(AreLabels(kEmpty));
}

TEST(NamedEnumTest, SentencesEnd) {
  constexpr std::string_view kGood[] = {"One.", "Two; three."};
  constexpr std::string_view kOpenEnd[] = {"One.", "Two"};
  constexpr std::string_view kEmpty[] = {""};
  EXPECT_TRUE(AreSentences(kGood));
  EXPECT_FALSE(AreSentences(kOpenEnd));
  EXPECT_FALSE(AreSentences(kEmpty));
}

}  // namespace
}  // namespace sotto
