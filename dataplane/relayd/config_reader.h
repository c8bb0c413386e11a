// How the configuration's keys are read: values that know their place in the file, and the list of
// what is wrong with them. Private to the config*.cc files.
#pragma once

#define TOML_EXCEPTIONS 0
#define TOML_HEADER_ONLY 1
#include <fmt/format.h>
#include <toml++/toml.h>

#include <algorithm>
#include <concepts>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "dataplane/relayd/config.h"

namespace sotto::dataplane {

// Text from the file as it may stand in a message: quoted, escaped, and cut if it is long.
inline std::string Quoted(std::string_view text) {
  constexpr size_t kMost = 60;
  const bool cut = text.size() > kMost;
  return fmt::format("\"{}{}\"", EscapeText(text.substr(0, kMost)), cut ? "..." : "");
}

class ConfigErrors {
 public:
  explicit ConfigErrors(std::string_view file) : file_(file) {}

  // `line` 0: the file as a whole.
  void Add(uint32_t line, std::string_view message) {
    // A hostile file has room for many errors; nobody reads on after this many.
    constexpr size_t kMost = 50;
    if (errors_.size() > kMost) return;
    if (errors_.size() == kMost) {
      errors_.push_back(fmt::format("{}: there are more errors; mend these first.", file_));
      return;
    }
    errors_.push_back(line == 0 ? fmt::format("{}: {}", file_, message)
                                : fmt::format("{}:{}: {}", file_, line, message));
  }
  bool empty() const { return errors_.empty(); }
  const std::vector<std::string>& list() const { return errors_; }

  // Where the value at a path stands, such as "interface#0.addresses#1" or "turn.listen".
  void Remember(const std::string& path, uint32_t line) { lines_[path] = line; }
  uint32_t LineOf(const std::string& path) const {
    const auto it = lines_.find(path);
    return it == lines_.end() ? 0 : it->second;
  }

 private:
  std::string file_;
  std::vector<std::string> errors_;
  std::map<std::string, uint32_t> lines_;
};

class ConfigValue {
 public:
  ConfigValue(const toml::node& node, const ConfigKey& key, std::string path, ConfigErrors& errors)
      : node_(node), key_(key), path_(std::move(path)), errors_(errors) {
    errors_.Remember(path_, line());
  }

  uint32_t line() const { return node_.source().begin.line; }

  void Fail(std::string_view message) const {
    errors_.Add(line(), fmt::format("[{}] {}: {}", key_.section, key_.name, message));
  }
  void FailType() const {
    const toml::node_type type = node_.type();
    std::string found = "a date or time";
    if (type == toml::node_type::string) found = "a string";
    if (type == toml::node_type::integer) found = "an integer";
    if (type == toml::node_type::floating_point) found = "a fraction";
    if (type == toml::node_type::boolean) found = "a boolean";
    if (type == toml::node_type::array) found = "an array";
    if (type == toml::node_type::table) found = "a table";
    Fail(fmt::format("must be {}, such as {}; found {}.", key_.type, key_.example, found));
  }

  // Each of these reports what is wrong and then gives nothing.
  std::optional<std::string> String() const {
    const auto value = node_.value_exact<std::string>();
    if (!value) FailType();
    return value;
  }
  void Read(std::string& out) const {
    if (auto value = String()) out = *std::move(value);
  }
  void Read(bool& out) const {
    const auto value = node_.value_exact<bool>();
    if (!value) return FailType();
    out = *value;
  }
  template <std::integral Integer>
  void Read(Integer& out, int64_t least, int64_t most) const {
    const auto value = node_.value_exact<int64_t>();
    if (!value) return FailType();
    if (*value < least || *value > most) {
      return Fail(fmt::format("{} is out of range; must be from {} to {}.", *value, least, most));
    }
    out = static_cast<Integer>(*value);
  }
  // One of a few words.
  template <typename Enum>
  void Read(Enum& out, std::initializer_list<std::pair<std::string_view, Enum>> words) const {
    const auto value = String();
    if (!value) return;
    std::string allowed;
    for (const auto& [word, meaning] : words) {
      if (*value == word) {
        out = meaning;
        return;
      }
      allowed += fmt::format("{}\"{}\"", allowed.empty() ? "" : " or ", word);
    }
    Fail(fmt::format("{} is unknown; must be {}.", Quoted(*value), allowed));
  }
  // Whatever has a static StatusOr<T> Parse(string_view).
  template <typename T>
  std::optional<T> Parsed() const {
    const auto text = String();
    if (!text) return std::nullopt;
    auto value = T::Parse(*text);
    if (!value.ok()) {
      Fail(fmt::format("{} isn't valid; must be {}, such as {}.", Quoted(*text), key_.type,
                       key_.example));
      return std::nullopt;
    }
    return *std::move(value);
  }

  // The elements of an array, each with its own line.
  std::vector<ConfigValue> Elements() const {
    std::vector<ConfigValue> elements;
    const toml::array* array = node_.as_array();
    if (array == nullptr) {
      FailType();
      return elements;
    }
    for (size_t i = 0; i < array->size(); ++i) {
      elements.emplace_back((*array)[i], key_, fmt::format("{}#{}", path_, i), errors_);
    }
    return elements;
  }
  template <typename T>
  void ReadAll(std::vector<T>& out) const {
    for (const ConfigValue& element : Elements()) {
      if (auto value = element.Parsed<T>()) out.push_back(*std::move(value));
    }
  }
  void ReadAll(std::vector<std::string>& out) const {
    for (const ConfigValue& element : Elements()) {
      if (auto value = element.String()) out.push_back(*std::move(value));
    }
  }

  const toml::node& node() const { return node_; }
  const std::string& path() const { return path_; }
  const ConfigKey& key() const { return key_; }
  ConfigErrors& errors() const { return errors_; }

 private:
  const toml::node& node_;
  const ConfigKey& key_;
  std::string path_;
  ConfigErrors& errors_;
};

struct ConfigKeyReader {
  ConfigKey key;
  void (*read)(const ConfigValue& value, RelaydConfig& config);
};
std::span<const ConfigKeyReader> ConfigKeyReaders();

// What no key can tell by itself: each address on an interface, nothing twice, and so on. Expects
// that all keys were read without an error.
void CheckConfig(const RelaydConfig& config, ConfigErrors& errors);

}  // namespace sotto::dataplane
