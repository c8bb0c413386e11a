// SPDX-License-Identifier: Apache-2.0
// Configuration files of the daemons: TOML that is read by a table of all keys, from which the
// reference of the documentation is printed too, so that the two can't differ.
//
// This is what a daemon's config.h needs. The table itself, and how values are read, is
// config_value.h (toml++ is large: only the config*.cc files include it).
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

namespace sotto {

// A configuration file larger than this, in bytes, is refused.
constexpr size_t kMaxConfigSize = 4u << 20;

struct ConfigKey {
  std::string_view section;  // "turn.auth"; "interface" stands for each [[interface]]
  std::string_view name;
  std::string_view type;      // in words
  std::string_view standard;  // the default, in TOML, or in words within parentheses
  std::string_view example;   // in TOML
  bool required = false;
  bool reloadable = false;   // by SIGHUP or the admin API; else read at start alone
  bool secret = false;       // its value is shown to nobody
  std::string_view meaning;  // one or two sentences
};

// A section that is written [[name]] and may stand several times.
struct RepeatedSection {
  std::string_view name;
  size_t most;
  std::string_view missing;  // what to say if there is none; empty: none is needed
};

struct ConfigSchema {
  std::vector<ConfigKey> keys;  // those of a section stand together
  std::vector<RepeatedSection> repeated;
};

// A key that stands in a file.
struct ConfigSetting {
  std::string toml;   // its value; empty if the key is secret
  size_t digest = 0;  // of its value
  uint32_t line = 0;
};
// By "section.key"; the keys of the second [[section]] are "section#1.key".
using ConfigSettings = std::map<std::string, ConfigSetting>;

// The reference of all keys, as Markdown.
std::string ConfigReference(const ConfigSchema& schema);

// The keys whose values differ, as "[section] key", in the order of their names.
struct ConfigDifference {
  std::vector<std::string> reloadable;
  std::vector<std::string> init_only;  // only a restart brings them into force
};
ConfigDifference CompareConfigs(const ConfigSchema& schema, const ConfigSettings& running,
                                const ConfigSettings& wanted);
// What came, or would come, of a reload.
struct ConfigChange {
  ConfigDifference keys;
  std::vector<std::string> warnings;  // one sentence each
};
// Puts a key into a list of them, which is sorted, unless it is there.
void AddKey(std::vector<std::string>& keys, std::string key);
// For the log: a reload that was refused, or what it brought into force.
void LogReloadRefused(const absl::Status& status);
void LogReload(const ConfigChange& change);
// What is in force once `wanted` was reloaded by who runs with `running`.
ConfigSettings ReloadedSettings(const ConfigSchema& schema, const ConfigSettings& running,
                                const ConfigSettings& wanted);

// A key and what is in force of it, for an operator.
struct ConfigEntry {
  const ConfigKey* key = nullptr;
  std::string section;  // as key->section, but "interface#2" is the second [[interface]]
  const ConfigSetting* setting = nullptr;  // null: the key's default
};
// Every key, in the order of the reference; those of a [[section]] for each time that it stands.
// Views both arguments.
std::vector<ConfigEntry> ConfigEntries(const ConfigSchema& schema, const ConfigSettings& settings);

struct ConfigText {
  std::string text;  // at most kMaxConfigSize + 64 KiB: longer is refused by who parses it
  bool readable_by_others = false;
};
// A file that a configuration is, or names. NOT_FOUND or PERMISSION_DENIED if it can't be read,
// INVALID_ARGUMENT if it isn't a regular file; `remedy` says what to do if it can't be opened.
absl::StatusOr<ConfigText> ReadConfigFile(
    const std::string& path, std::string_view remedy = "name the configuration file with --config");
// What to say of a file that holds secrets and is `readable_by_others`.
std::string ReadableByOthersWarning(std::string_view path);

}  // namespace sotto
