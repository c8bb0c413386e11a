// SPDX-License-Identifier: Apache-2.0
#include "relay/daemon/config_file.h"

#include <fcntl.h>
#include <fmt/ranges.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <set>
#include <sstream>

#include "relay/daemon/config_value.h"

namespace sotto {
namespace {

// Levenshtein's distance.
size_t EditDistance(std::string_view a, std::string_view b) {
  std::vector<size_t> row(b.size() + 1);
  for (size_t j = 0; j <= b.size(); ++j) row[j] = j;
  for (size_t i = 1; i <= a.size(); ++i) {
    size_t diagonal = row[0];
    row[0] = i;
    for (size_t j = 1; j <= b.size(); ++j) {
      const size_t above = row[j];
      row[j] = std::min({above + 1, row[j - 1] + 1, diagonal + (a[i - 1] != b[j - 1] ? 1 : 0)});
      diagonal = above;
    }
  }
  return row[b.size()];
}

// "an [[interface]]", "a [[relay]]".
std::string_view ArticleOf(std::string_view name) {
  return std::string_view("aeiou").find(name[0]) != std::string_view::npos ? "an" : "a";
}

const RepeatedSection* FindRepeated(const ConfigSchema& schema, std::string_view name) {
  const auto found = std::ranges::find(schema.repeated, name, &RepeatedSection::name);
  return found == schema.repeated.end() ? nullptr : &*found;
}

std::string Header(const ConfigSchema& schema, std::string_view section) {
  return FindRepeated(schema, section) != nullptr ? fmt::format("[[{}]]", section)
                                                  : fmt::format("[{}]", section);
}

const ConfigKey* FindKey(const ConfigSchema& schema, std::string_view section,
                         std::string_view name) {
  const auto found = std::ranges::find_if(schema.keys, [&](const ConfigKey& key) {
    return key.section == section && key.name == name;
  });
  return found == schema.keys.end() ? nullptr : &*found;
}

class TableReader {
 public:
  TableReader(const ConfigSchema& schema, ConfigErrors& errors, ConfigSettings& settings,
              const std::function<void(size_t)>& begin,
              const std::function<void(size_t, const ConfigValue&)>& read)
      : schema_(schema), errors_(errors), settings_(settings), begin_(begin), read_(read) {}

  void ReadSection(const toml::table& table, const std::string& section, const std::string& path) {
    for (const auto& [key, node] : table) {
      const std::string_view name = key.str();
      const std::string child = section.empty() ? std::string(name) : section + "." + key.data();
      if (const ConfigKey* known = FindKey(schema_, section, name)) {
        const std::string value_path = path + "." + key.data();
        read_(static_cast<size_t>(known - schema_.keys.data()),
              ConfigValue(node, *known, value_path, errors_));
        Keep(*known, value_path, node);
      } else if (const RepeatedSection* repeated = FindRepeated(schema_, child)) {
        ReadRepeated(*repeated, node);
      } else if (IsSection(child)) {
        if (const toml::table* inner = node.as_table()) {
          ReadSection(*inner, child, child);
        } else {
          errors_.Add(key.source().begin.line,
                      fmt::format("{} must be a section: write [{}].", child, child));
        }
      } else {
        errors_.Add(key.source().begin.line,
                    section.empty() ? fmt::format("unknown section or key {}; {}", Quoted(name),
                                                  Remedy(section, name))
                                    : fmt::format("[{}] has no key {}; {}", section, Quoted(name),
                                                  Remedy(section, name)));
      }
    }
  }

  void RequireKeys(const toml::table& table) {
    for (const ConfigKey& key : schema_.keys) {
      if (!key.required || FindRepeated(schema_, key.section) != nullptr) continue;
      if (!table.at_path(key.section).at_path(key.name)) {
        errors_.Add(0, fmt::format("[{}] {} is missing; must be {}, such as {}.", key.section,
                                   key.name, key.type, key.example));
      }
    }
    for (const RepeatedSection& repeated : schema_.repeated) {
      if (!repeated.missing.empty() && !table.contains(repeated.name)) {
        errors_.Add(0, repeated.missing);
      }
    }
  }

 private:
  bool IsSection(std::string_view name) const {
    return std::ranges::any_of(schema_.keys, [&](const ConfigKey& key) {
      return key.section == name ||
             (key.section.starts_with(name) && key.section.size() > name.size() &&
              key.section[name.size()] == '.');
    });
  }

  // The keys of a section and the sections within it, by their last names.
  std::set<std::string> NamesIn(std::string_view section) const {
    std::set<std::string> names;
    for (const ConfigKey& key : schema_.keys) {
      if (key.section == section) names.emplace(key.name);
      std::string_view inner = key.section;
      if (!section.empty()) {
        if (!inner.starts_with(section) || inner.size() == section.size() ||
            inner[section.size()] != '.') {
          continue;
        }
        inner.remove_prefix(section.size() + 1);
      }
      names.emplace(inner.substr(0, inner.find('.')));
    }
    return names;
  }

  // What would be right in place of an unknown name, as the rest of a sentence.
  std::string Remedy(std::string_view section, std::string_view name) const {
    constexpr size_t kLongestName = 64;
    const std::set<std::string> names = NamesIn(section);
    if (name.size() <= kLongestName) {
      const std::string* nearest = nullptr;
      size_t least = std::max<size_t>(1, name.size() / 3) + 1;
      for (const std::string& known : names) {
        const size_t distance = EditDistance(name, known);
        if (distance < least) {
          least = distance;
          nearest = &known;
        }
      }
      if (nearest != nullptr) return fmt::format("did you mean {}?", *nearest);
      for (const ConfigKey& key : schema_.keys) {
        if (key.name == name) {
          return fmt::format("{} belongs in {}.", name, Header(schema_, key.section));
        }
      }
    }
    return fmt::format("valid here: {}.", fmt::join(names, ", "));
  }

  void ReadRepeated(const RepeatedSection& repeated, const toml::node& node) {
    const toml::array* array = node.as_array();
    if (array == nullptr || !array->is_homogeneous<toml::table>() || array->empty()) {
      errors_.Add(node.source().begin.line,
                  fmt::format("{} {} must be an array of tables: write [[{}]].",
                              ArticleOf(repeated.name), repeated.name, repeated.name));
      return;
    }
    if (array->size() > repeated.most) {
      errors_.Add(node.source().begin.line,
                  fmt::format("[[{}]] occurs {} times; must be at most {}.", repeated.name,
                              array->size(), repeated.most));
      return;
    }
    for (size_t i = 0; i < array->size(); ++i) {
      const toml::table& table = *(*array)[i].as_table();
      const uint32_t line = table.source().begin.line;
      begin_(static_cast<size_t>(&repeated - schema_.repeated.data()));
      const std::string path = fmt::format("{}#{}", repeated.name, i);
      errors_.Remember(path, line);
      ReadSection(table, std::string(repeated.name), path);
      for (const ConfigKey& key : schema_.keys) {
        if (key.section == repeated.name && key.required && !table.contains(key.name)) {
          errors_.Add(line, fmt::format("this [[{}]] has no {}; must be {}, such as {}.",
                                        repeated.name, key.name, key.type, key.example));
        }
      }
    }
  }

  void Keep(const ConfigKey& key, const std::string& path, const toml::node& node) {
    std::ostringstream text;
    text << toml::toml_formatter(node);
    ConfigSetting& setting = settings_[path];
    setting.toml = text.str();
    setting.digest = std::hash<std::string>{}(setting.toml);
    setting.line = node.source().begin.line;
    if (key.secret) setting.toml.clear();
  }

  const ConfigSchema& schema_;
  ConfigErrors& errors_;
  ConfigSettings& settings_;
  const std::function<void(size_t)>& begin_;
  const std::function<void(size_t, const ConfigValue&)>& read_;
};

// "interface#0.addresses" as [interface] addresses, of the interface with index 0.
struct SettingPath {
  std::string_view section;
  std::string_view name;
  size_t index = 0;

  explicit SettingPath(std::string_view path) {
    const size_t dot = path.rfind('.');
    section = path.substr(0, dot);
    name = path.substr(dot + 1);
    const size_t hash = section.find('#');
    if (hash == std::string_view::npos) return;
    std::from_chars(section.data() + hash + 1, section.data() + section.size(), index);
    section = section.substr(0, hash);
  }
};

std::string KeyText(std::string_view section, std::string_view name) {
  return fmt::format("[{}] {}", section, name);
}

bool IsReloadable(const ConfigSchema& schema, std::string_view path) {
  const SettingPath at(path);
  const ConfigKey* key = FindKey(schema, at.section, at.name);
  return key != nullptr && key->reloadable;
}

}  // namespace

void ReadConfigText(const ConfigSchema& schema, std::string_view text, ConfigErrors& errors,
                    ConfigSettings& settings, const std::function<void(size_t)>& begin,
                    const std::function<void(size_t, const ConfigValue&)>& read) {
  if (text.size() > kMaxConfigSize) {
    return errors.Add(
        0, fmt::format("is larger than {} bytes; is it a configuration file?", kMaxConfigSize));
  }
  const toml::parse_result parsed = toml::parse(text);
  if (!parsed) {
    return errors.Add(
        parsed.error().source().begin.line,
        fmt::format("is not valid TOML: {}.", EscapeText(parsed.error().description())));
  }
  TableReader reader(schema, errors, settings, begin, read);
  reader.ReadSection(parsed.table(), "", "");
  reader.RequireKeys(parsed.table());
}

absl::StatusOr<ConfigText> ReadConfigFile(const std::string& path, std::string_view remedy) {
  // O_NONBLOCK: a FIFO without a writer would block for ever.
  const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (fd < 0) {
    return absl::ErrnoToStatus(errno, fmt::format("{} can't be opened; {}", path, remedy));
  }
  struct stat st = {};
  ConfigText file;
  char buffer[65536];
  ssize_t got = fstat(fd, &st) == 0 && S_ISREG(st.st_mode) ? 1 : -1;
  if (got < 0) {
    close(fd);
    return absl::InvalidArgumentError(fmt::format("{} is not a regular file.", path));
  }
  while (got > 0 && file.text.size() <= kMaxConfigSize) {
    got = read(fd, buffer, sizeof(buffer));
    if (got > 0) file.text.append(buffer, static_cast<size_t>(got));
  }
  const int read_error = errno;
  close(fd);
  if (got < 0) return absl::ErrnoToStatus(read_error, fmt::format("{} can't be read", path));
  file.readable_by_others = (st.st_mode & S_IROTH) != 0;
  return file;
}

std::string ReadableByOthersWarning(std::string_view path) {
  return fmt::format(
      "{} contains secrets and every user of this machine can read it; run chmod o-r {}.", path,
      path);
}

std::string ConfigReference(const ConfigSchema& schema) {
  std::string out;
  std::string_view section;
  for (const ConfigKey& key : schema.keys) {
    if (key.section != section) {
      out += fmt::format(
          "{}### `{}`\n\n| key | type | default | takes effect | meaning |\n"
          "|---|---|---|---|---|\n",
          out.empty() ? "" : "\n", Header(schema, key.section));
      section = key.section;
    }
    const std::string standard = key.standard.starts_with('(') ? std::string(key.standard)
                                                               : fmt::format("`{}`", key.standard);
    out += fmt::format("| `{}` | {}: `{}` | {} | {} | {} |\n", key.name, key.type, key.example,
                       standard, key.reloadable ? "on reload (SIGHUP)" : "at start", key.meaning);
  }
  return out;
}

ConfigDifference CompareConfigs(const ConfigSchema& schema, const ConfigSettings& running,
                                const ConfigSettings& wanted) {
  std::set<std::string> reloadable;
  std::set<std::string> init_only;
  const auto compare = [&](const ConfigSettings& a, const ConfigSettings& b) {
    for (const auto& [path, setting] : a) {
      const auto other = b.find(path);
      if (other != b.end() && other->second.digest == setting.digest) continue;
      const SettingPath at(path);
      (IsReloadable(schema, path) ? reloadable : init_only).insert(KeyText(at.section, at.name));
    }
  };
  compare(running, wanted);
  compare(wanted, running);
  return {{reloadable.begin(), reloadable.end()}, {init_only.begin(), init_only.end()}};
}

void AddKey(std::vector<std::string>& keys, std::string key) {
  const auto place = std::ranges::lower_bound(keys, key);
  if (place == keys.end() || *place != key) keys.insert(place, std::move(key));
}

void LogReloadRefused(const absl::Status& status) {
  Log(LogLevel::kError, "Reload failed; the previous configuration stays in force.",
      {{"error", std::string_view(status.message().data(), status.message().size())}});
}

void LogReload(const ConfigChange& change) {
  for (const std::string& warning : change.warnings) Log(LogLevel::kWarning, warning);
  for (const std::string& key : change.keys.init_only) {
    Log(LogLevel::kWarning, "A changed key takes effect only after a restart.", {{"key", key}});
  }
  Log(LogLevel::kInfo, "Reloaded the configuration.",
      {{"changed", fmt::format("{}", fmt::join(change.keys.reloadable, ", "))}});
}

ConfigSettings ReloadedSettings(const ConfigSchema& schema, const ConfigSettings& running,
                                const ConfigSettings& wanted) {
  ConfigSettings reloaded;
  for (const auto& [path, setting] : running) {
    if (!IsReloadable(schema, path)) reloaded.emplace(path, setting);
  }
  for (const auto& [path, setting] : wanted) {
    if (IsReloadable(schema, path)) reloaded.emplace(path, setting);
  }
  return reloaded;
}

std::vector<ConfigEntry> ConfigEntries(const ConfigSchema& schema, const ConfigSettings& settings) {
  std::map<std::string_view, size_t> times;  // that a [[section]] stands
  for (const auto& [path, setting] : settings) {
    const SettingPath at(path);
    times[at.section] = std::max(times[at.section], at.index + 1);
  }
  std::vector<ConfigEntry> entries;
  const auto add = [&](const ConfigKey& key, const std::string& section, const std::string& path) {
    const auto found = settings.find(path);
    entries.push_back({&key, section, found == settings.end() ? nullptr : &found->second});
  };
  for (auto key = schema.keys.begin(); key != schema.keys.end();) {
    const auto end = std::find_if(key, schema.keys.end(), [&](const ConfigKey& other) {
      return other.section != key->section;
    });
    if (FindRepeated(schema, key->section) == nullptr) {
      for (auto k = key; k != end; ++k) {
        add(*k, std::string(k->section), fmt::format("{}.{}", k->section, k->name));
      }
    } else {
      for (size_t i = 0; i < times[key->section]; ++i) {
        for (auto k = key; k != end; ++k) {
          add(*k, fmt::format("{}#{}", k->section, i + 1),
              fmt::format("{}#{}.{}", k->section, i, k->name));
        }
      }
    }
    key = end;
  }
  return entries;
}

void ReadLogLevel(const ConfigValue& value, LogLevel& out) {
  value.Read(out, {{"debug", LogLevel::kDebug},
                   {"info", LogLevel::kInfo},
                   {"warning", LogLevel::kWarning},
                   {"error", LogLevel::kError}});
}

void ReadLogFormat(const ConfigValue& value, LogFormat& out) {
  value.Read(out, {{"text", LogFormat::kText}, {"json", LogFormat::kJson}});
}

void ReadUserName(const ConfigValue& value, std::string& out) {
  value.Read(out);
  if (value.node().is_string() && (out.empty() || out.find('\0') != std::string::npos)) {
    value.Fail(fmt::format("must be a name, such as {}.", value.key().example));
  }
}

void ReadSocketPath(const ConfigValue& value, std::string& out) {
  value.Read(out);
  if (!value.node().is_string()) return;
  constexpr size_t kMostPath = 107;  // sockaddr_un
  if (!out.starts_with('/') || out.size() > kMostPath || out.find('\0') != std::string::npos) {
    value.Fail(
        fmt::format("{} is not a valid socket path; must begin with / and have at most {} bytes.",
                    Quoted(out), kMostPath));
  }
}

void ReadFilePath(const ConfigValue& value, std::string& out) {
  value.Read(out);
  if (!value.node().is_string()) return;
  if (!out.starts_with('/') || out.size() > 4095 || out.find('\0') != std::string::npos) {
    value.Fail(fmt::format("{} is not an absolute path; must begin with /, such as {}.",
                           Quoted(out), value.key().example));
  }
}

}  // namespace sotto
