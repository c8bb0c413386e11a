// SPDX-License-Identifier: Apache-2.0
// Enumerations whose values have names: reasons and outcomes that are counted, exported as labels
// of metrics and shown to operators. Each is a list in a header of its own, where a value, its name
// and its sentence stand together:
//
//   // X(symbol, name, sentence)
//   #define SOTTO_DOOR_STATES(X) [with a backslash at the end of each line but the last]
//     X(kOpen, "open", "The door can be opened.")
//     X(kLocked, "locked", "The door is locked; look for the key.")
//   SOTTO_NAMED_ENUM(DoorState, SOTTO_DOOR_STATES);
//   SOTTO_ENUM_SENTENCES(DoorState, SOTTO_DOOR_STATES);
//
// SOTTO_NAMED_ENUM defines `enum class DoorState : uint8_t`, with the symbols in the order of the
// list and then kCount, and Name(DoorState); SOTTO_ENUM_SENTENCES defines Sentence(DoorState), and
// a list without sentences does without it. Both functions are constexpr, and take any value but
// kCount. A name is lower-case words joined by '_', fit for a label, and no other value's; a
// sentence says what happened and what an operator can do about it. Rows may have more columns, for
// the list's own use.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace sotto {

// The number of values of a named enumeration.
template <typename Enum>
inline constexpr size_t kCountOf = static_cast<size_t>(Enum::kCount);

// Returns whether each is fit for a label and differs from the others.
template <size_t kSize>
constexpr bool AreLabels(const std::string_view (&names)[kSize]) {
  for (size_t i = 0; i < kSize; ++i) {
    if (names[i].empty()) return false;
    for (const char c : names[i]) {
      if (!((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_')) return false;
    }
    for (size_t j = 0; j < i; ++j) {
      if (names[i] == names[j]) return false;
    }
  }
  return true;
}

// Returns whether each ends as a sentence does.
template <size_t kSize>
constexpr bool AreSentences(const std::string_view (&sentences)[kSize]) {
  for (const std::string_view sentence : sentences) {
    if (sentence.empty() || sentence.back() != '.') return false;
  }
  return true;
}

}  // namespace sotto

#define SOTTO_NAMED_ENUM_SYMBOL(symbol, ...) symbol,
#define SOTTO_NAMED_ENUM_NAME(symbol, name, ...) name,
#define SOTTO_NAMED_ENUM_SENTENCE(symbol, name, sentence, ...) sentence,

#define SOTTO_NAMED_ENUM(Type, LIST)                                                  \
  enum class Type : uint8_t { LIST(SOTTO_NAMED_ENUM_SYMBOL) kCount };                 \
  inline constexpr std::string_view k##Type##Names[] = {LIST(SOTTO_NAMED_ENUM_NAME)}; \
  constexpr std::string_view Name(Type value) {                                       \
    return k##Type##Names[static_cast<size_t>(value)];                                \
  }                                                                                   \
  static_assert(::sotto::AreLabels(k##Type##Names), "a name of " #Type " is no label, or is taken")

#define SOTTO_ENUM_SENTENCES(Type, LIST)                                                      \
  inline constexpr std::string_view k##Type##Sentences[] = {LIST(SOTTO_NAMED_ENUM_SENTENCE)}; \
  constexpr std::string_view Sentence(Type value) {                                           \
    return k##Type##Sentences[static_cast<size_t>(value)];                                    \
  }                                                                                           \
  static_assert(::sotto::AreSentences(k##Type##Sentences), "a sentence of " #Type " has no end")
