#include "dataplane/relayd/config.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <functional>
#include <set>
#include <sstream>

#include "dataplane/relayd/config_reader.h"

namespace sotto::dataplane {
namespace {

const ConfigKeyReader* FindKey(std::string_view section, std::string_view name) {
  for (const ConfigKeyReader& reader : ConfigKeyReaders()) {
    if (reader.key.section == section && reader.key.name == name) return &reader;
  }
  return nullptr;
}

bool IsSection(std::string_view name) {
  for (const ConfigKey& key : ConfigKeys()) {
    if (key.section == name) return true;
  }
  return false;
}

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

// The keys of a section and the sections within it, by their last names.
std::set<std::string> NamesIn(std::string_view section) {
  std::set<std::string> names;
  for (const ConfigKey& key : ConfigKeys()) {
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
std::string Remedy(std::string_view section, std::string_view name) {
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
    for (const ConfigKey& key : ConfigKeys()) {
      if (key.name == name) return fmt::format("{} belongs in [{}].", name, key.section);
    }
  }
  return fmt::format("known here are {}.", fmt::join(names, ", "));
}

class Parser {
 public:
  Parser(RelaydConfig& config, ConfigErrors& errors) : config_(config), errors_(errors) {}

  void ReadSection(const toml::table& table, const std::string& section, const std::string& path) {
    for (const auto& [key, node] : table) {
      const std::string_view name = key.str();
      const std::string child = section.empty() ? std::string(name) : section + "." + key.data();
      if (const ConfigKeyReader* reader = FindKey(section, name)) {
        reader->read(ConfigValue(node, reader->key, path + "." + key.data(), errors_), config_);
        Digest(path + "." + key.data(), node);
      } else if (child == "interface") {
        ReadInterfaces(node);
      } else if (IsSection(child)) {
        if (const toml::table* inner = node.as_table()) {
          ReadSection(*inner, child, child);
        } else {
          errors_.Add(key.source().begin.line,
                      fmt::format("{} must be a section, written [{}].", child, child));
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
    for (const ConfigKey& key : ConfigKeys()) {
      if (!key.required || key.section == "interface") continue;
      if (!table.at_path(key.section).at_path(key.name)) {
        errors_.Add(0, fmt::format("[{}] {} is missing; must be {}, such as {}.", key.section,
                                   key.name, key.type, key.example));
      }
    }
    if (!table.contains("interface")) {
      errors_.Add(0,
                  "there is no [[interface]]; the relay needs one at least, with a port and "
                  "addresses.");
    }
  }

 private:
  void ReadInterfaces(const toml::node& node) {
    const toml::array* array = node.as_array();
    if (array == nullptr || !array->is_homogeneous<toml::table>() || array->empty()) {
      errors_.Add(node.source().begin.line, "an interface must be written [[interface]].");
      return;
    }
    if (array->size() > kMaxInterfaces) {
      errors_.Add(node.source().begin.line,
                  fmt::format("there are {} interfaces; must be at most {}.", array->size(),
                              kMaxInterfaces));
      return;
    }
    for (size_t i = 0; i < array->size(); ++i) {
      const toml::table& table = *(*array)[i].as_table();
      const uint32_t line = table.source().begin.line;
      config_.interfaces.emplace_back();
      const std::string path = fmt::format("interface#{}", i);
      errors_.Remember(path, line);
      ReadSection(table, "interface", path);
      for (const ConfigKey& key : ConfigKeys()) {
        if (key.section == "interface" && key.required && !table.contains(key.name)) {
          errors_.Add(line, fmt::format("this [[interface]] lacks {}; must be {}, such as {}.",
                                        key.name, key.type, key.example));
        }
      }
    }
  }

  void Digest(const std::string& path, const toml::node& node) {
    std::ostringstream text;
    node.visit([&](const auto& value) { text << value; });
    config_.digests[path] = std::hash<std::string>{}(text.str());
  }

  RelaydConfig& config_;
  ConfigErrors& errors_;
};

absl::Status ToStatus(const ConfigErrors& errors) {
  return absl::InvalidArgumentError(fmt::format("{}", fmt::join(errors.list(), "\n")));
}

// "interface#0.addresses" to "[interface] addresses".
std::string KeyOfPath(std::string_view path) {
  const size_t dot = path.rfind('.');
  return fmt::format("[{}] {}", path.substr(0, std::min(path.find('#'), dot)),
                     path.substr(dot + 1));
}

}  // namespace

std::span<const ConfigKey> ConfigKeys() {
  static const auto* const keys = [] {
    auto* made = new std::vector<ConfigKey>;
    for (const ConfigKeyReader& reader : ConfigKeyReaders()) made->push_back(reader.key);
    return made;
  }();
  return *keys;
}

absl::StatusOr<RelaydConfig> ParseConfig(std::string_view text, std::string_view name) {
  ConfigErrors errors(name);
  if (text.size() > kMaxConfigSize) {
    errors.Add(0,
               fmt::format("has more than {} bytes; is it a configuration file?", kMaxConfigSize));
    return ToStatus(errors);
  }
  const toml::parse_result parsed = toml::parse(text);
  if (!parsed) {
    errors.Add(parsed.error().source().begin.line,
               fmt::format("isn't TOML: {}.", EscapeText(parsed.error().description())));
    return ToStatus(errors);
  }
  RelaydConfig config;
  config.server.limits.max_allocations = config.dataplane.max_allocations;
  Parser parser(config, errors);
  parser.ReadSection(parsed.table(), "", "");
  parser.RequireKeys(parsed.table());
  if (errors.empty()) CheckConfig(config, errors);
  if (!errors.empty()) return ToStatus(errors);
  return config;
}

absl::StatusOr<RelaydConfig> LoadConfig(const std::string& path) {
  // O_NONBLOCK: a FIFO without a writer would block for ever.
  const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (fd < 0) {
    return absl::ErrnoToStatus(
        errno, fmt::format("{} can't be opened; give the configuration file with --config", path));
  }
  struct stat st = {};
  std::string text;
  char buffer[65536];
  ssize_t got = fstat(fd, &st) == 0 && S_ISREG(st.st_mode) ? 1 : -1;
  if (got < 0) {
    close(fd);
    return absl::InvalidArgumentError(fmt::format("{} isn't a regular file.", path));
  }
  while (got > 0 && text.size() <= kMaxConfigSize) {
    got = read(fd, buffer, sizeof(buffer));
    if (got > 0) text.append(buffer, static_cast<size_t>(got));
  }
  const int read_error = errno;
  close(fd);
  if (got < 0) return absl::ErrnoToStatus(read_error, fmt::format("{} can't be read", path));
  absl::StatusOr<RelaydConfig> config = ParseConfig(text, path);
  if (config.ok() && (st.st_mode & S_IROTH) != 0) {
    config->warnings.push_back(fmt::format(
        "{} holds secrets and every user of this machine can read it; chmod o-r {}.", path, path));
  }
  return config;
}

std::string ConfigReference() {
  std::string out;
  std::string_view section;
  for (const ConfigKey& key : ConfigKeys()) {
    if (key.section != section) {
      out += fmt::format(
          "{}### `{}`\n\n| key | type | default | takes effect | meaning |\n"
          "|---|---|---|---|---|\n",
          out.empty() ? "" : "\n",
          key.section == "interface" ? std::string("[[interface]]")
                                     : fmt::format("[{}]", key.section));
      section = key.section;
    }
    const std::string standard = key.standard.starts_with('(') ? std::string(key.standard)
                                                               : fmt::format("`{}`", key.standard);
    out += fmt::format("| `{}` | {}: `{}` | {} | {} | {} |\n", key.name, key.type, key.example,
                       standard, key.reloadable ? "on reload (SIGHUP)" : "at start", key.meaning);
  }
  return out;
}

std::vector<std::string> ChangedInitOnlyKeys(const RelaydConfig& running,
                                             const RelaydConfig& wanted) {
  std::set<std::string> changed;
  const auto compare = [&](const RelaydConfig& a, const RelaydConfig& b) {
    for (const auto& [path, digest] : a.digests) {
      const auto other = b.digests.find(path);
      if (other == b.digests.end() || other->second != digest) changed.insert(KeyOfPath(path));
    }
  };
  compare(running, wanted);
  compare(wanted, running);
  for (const ConfigKey& key : ConfigKeys()) {
    if (key.reloadable) changed.erase(fmt::format("[{}] {}", key.section, key.name));
  }
  return {changed.begin(), changed.end()};
}

}  // namespace sotto::dataplane
