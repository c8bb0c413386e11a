// Configuration files of the daemons: TOML that is read by a table of all keys, from which the
// reference of the documentation is printed too, so that the two can't differ.
//
// This is what a daemon's config.h needs. The table itself, and how values are read, is
// config_value.h (toml++ is large: only the config*.cc files include it).
#pragma once

#include <cstddef>
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
  bool reloadable = false;   // by SIGHUP; else read at start alone
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

// "section.key" (or "section#2.key") to a digest of its value.
using ConfigDigests = std::map<std::string, size_t>;

// The reference of all keys, as Markdown.
std::string ConfigReference(const ConfigSchema& schema);

// The keys whose values differ and that only a restart brings into force, as "[section] key".
std::vector<std::string> ChangedInitOnlyKeys(const ConfigSchema& schema,
                                             const ConfigDigests& running,
                                             const ConfigDigests& wanted);

struct ConfigText {
  std::string text;  // at most kMaxConfigSize + 64 KiB: longer is refused by who parses it
  bool readable_by_others = false;
};
// A file that a configuration is, or names. NOT_FOUND or PERMISSION_DENIED if it can't be read,
// INVALID_ARGUMENT if it isn't a regular file; `remedy` says what to do if it can't be opened.
absl::StatusOr<ConfigText> ReadConfigFile(
    const std::string& path, std::string_view remedy = "give the configuration file with --config");
// What to say of a file that holds secrets and is `readable_by_others`.
std::string ReadableByOthersWarning(std::string_view path);

}  // namespace sotto
