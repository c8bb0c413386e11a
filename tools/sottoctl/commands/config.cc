// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <fstream>
#include <istream>
#include <nlohmann/json.hpp>
#include <unordered_map>

#include "relay/api/daemon.pb.h"
#include "tools/sottoctl/command.h"

namespace sotto::tools {
namespace {

using daemon::v1::Config;
using daemon::v1::ConfigChange;

// What the daemons take at most.
constexpr size_t kMaxConfigBytes = 4u << 20;

absl::StatusOr<std::string> ReadConfig(CommandContext& context, const std::string& path) {
  std::ifstream file;
  if (path != "-") {
    file.open(path, std::ios::binary);
    if (!file) {
      return absl::InvalidArgumentError(
          fmt::format("{} can't be opened: {}", path, strerrordesc_np(errno)));
    }
  }
  std::istream& in = path == "-" ? context.around.in : file;
  std::string text(kMaxConfigBytes + 1, '\0');
  in.read(text.data(), static_cast<std::streamsize>(text.size()));
  text.resize(static_cast<size_t>(in.gcount()));
  if (text.empty() || text.size() > kMaxConfigBytes) {
    return absl::InvalidArgumentError(
        fmt::format("{} is not a configuration: it has {} bytes; must have 1 to {}", path,
                    text.size(), kMaxConfigBytes));
  }
  return text;
}

// `path` is empty for the daemon's own file.
absl::StatusOr<ConfigChange> Check(CommandContext& context, const std::string& path) {
  daemon::v1::CheckConfigRequest request;
  if (!path.empty()) {
    auto text = ReadConfig(context, path);
    if (!text.ok()) return text.status();
    request.set_text(*std::move(text));
    request.set_name(path == "-" ? "<stdin>" : path);
  }
  return context.daemon->Call<ConfigChange>("Daemon.CheckConfig", request);
}

void Warnings(Output& out, const ConfigChange& change) {
  for (const std::string& warning : change.warnings()) out.Line("Warning: " + warning);
}

absl::Status CheckCommand(CommandContext& context, const std::string& path) {
  const auto change = Check(context, path);
  if (!change.ok()) return change.status();
  Warnings(context.out, *change);
  context.out.Done(
      fmt::format("{} is valid; {} keys differ from the configuration in force; of these, {} wait "
                  "for a restart.",
                  path.empty() ? "The daemon's file" : path,
                  change->reloadable_size() + change->init_only_size(), change->init_only_size()),
      ToJson(*change));
  return absl::OkStatus();
}

absl::Status Diff(CommandContext& context, const std::string& path) {
  const auto change = Check(context, path);
  if (!change.ok()) return change.status();
  const auto config =
      context.daemon->Call<Config>("Daemon.GetConfig", daemon::v1::GetConfigRequest());
  if (!config.ok()) return config.status();
  std::unordered_map<std::string, const Config::Entry*> in_force;
  for (const auto& entry : config->entries()) {
    in_force[fmt::format("[{}] {}", entry.section(), entry.name())] = &entry;
  }
  Output::List list(context.out,
                    {{"KEY", "key"}, {"COMES WITH", "comes_with"}, {"IN FORCE", "in_force"}});
  const auto add = [&](const auto& keys, const char* comes_with) {
    for (const std::string& key : keys) {
      const auto found = in_force.find(key);
      Json value;  // null where the key isn't in force, or is secret
      if (found != in_force.end() && !found->second->secret()) value = found->second->value();
      list.Add(Json{{"key", key}, {"comes_with", comes_with}, {"in_force", value}});
    }
  };
  add(change->reloadable(), "reload");
  add(change->init_only(), "restart");
  return absl::OkStatus();
}

absl::Status Show(CommandContext& context, bool changed) {
  const auto config =
      context.daemon->Call<Config>("Daemon.GetConfig", daemon::v1::GetConfigRequest());
  if (!config.ok()) return config.status();
  Output::List list(context.out, {{"SECTION", "section"},
                                  {"KEY", "name"},
                                  {"FROM", "from"},
                                  {"CHANGES BY", "changes_by"},
                                  {"VALUE", "value"}});
  for (const auto& entry : config->entries()) {
    if (changed && entry.standard()) continue;
    Json record = ToJson(entry);
    if (context.out.is_table()) {
      record["from"] = entry.standard() ? "default" : fmt::format("line {}", entry.line());
      record["changes_by"] = entry.reloadable() ? "reload" : "restart";
      if (entry.secret()) record["value"] = "(secret)";
    }
    list.Add(record);
  }
  return absl::OkStatus();
}

absl::Status Reload(CommandContext& context) {
  const auto change =
      context.daemon->Call<ConfigChange>("Daemon.Reload", daemon::v1::ReloadRequest());
  if (!change.ok()) return change.status();
  if (!context.out.is_table()) {
    context.out.Record(*change, {});
    return absl::OkStatus();
  }
  Warnings(context.out, *change);
  for (const std::string& key : change->reloadable()) context.out.Line("In force: " + key);
  for (const std::string& key : change->init_only()) {
    context.out.Line("Needs a restart: " + key);
  }
  if (change->reloadable().empty() && change->init_only().empty()) {
    context.out.Line("Nothing changed; the files were read again.");
  }
  return absl::OkStatus();
}

}  // namespace

void AddReload(Commands& commands) {
  CLI::App& reload =
      commands.Add("reload", "Reloads a daemon's configuration and the files that it names",
                   kDaemonHeading, DaemonKind::kEither, Reload);
  SetFooter(reload, "If anything is wrong, the daemon reports it and changes nothing.");

  CLI::App& group =
      commands.Group("config", "Checks and shows a daemon's configuration", kDaemonHeading);
  const auto path = std::make_shared<std::string>();
  const auto add_file = [&path](CLI::App& app) {
    AddFile(app, "FILE", *path,
            "The configuration file; - for standard input; default: the daemon's own file");
  };
  CLI::App& check = commands.AddTo(
      group, "check", "Checks a configuration, and changes nothing", DaemonKind::kEither,
      [path](CommandContext& context) { return CheckCommand(context, *path); });
  add_file(check);
  SetFooter(check,
            "The file is sent to the running daemon, which checks it. Before the first start, use: "
            "sotto-relayd --check-config --config FILE.");

  const auto changed = std::make_shared<bool>(false);
  CLI::App& show = commands.AddTo(
      group, "show", "Lists the configuration in force, without secrets", DaemonKind::kEither,
      [changed](CommandContext& context) { return Show(context, *changed); });
  AddFlag(show, "--changed", *changed, "Lists only keys that the file sets, not defaults");

  add_file(commands.AddTo(
      group, "diff", "Lists the keys of a configuration that differ from the one in force",
      DaemonKind::kEither, [path](CommandContext& context) { return Diff(context, *path); }));
}

}  // namespace sotto::tools
