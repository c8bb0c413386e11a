// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <CLI/App.hpp>
#include <nlohmann/json.hpp>

#include "relay/api/daemon.pb.h"
#include "tools/sottoctl/command.h"

namespace sotto::tools {
namespace {

absl::Status Level(CommandContext& context, const std::string& level) {
  if (level.empty()) {
    const auto info = context.daemon->Call<daemon::v1::DaemonInfo>("Daemon.GetDaemon",
                                                                   daemon::v1::GetDaemonRequest());
    if (!info.ok()) return info.status();
    context.out.Done(info->log_level(), {{"level", info->log_level()}});
    return absl::OkStatus();
  }
  daemon::v1::SetLogLevelRequest request;
  request.set_level(level);
  const auto set =
      context.daemon->Call<daemon::v1::SetLogLevelResponse>("Daemon.SetLogLevel", request);
  if (!set.ok()) return set.status();
  context.out.Done(fmt::format("The log's level is {}; it was {}.", level, set->previous()),
                   {{"level", level}, {"previous", set->previous()}});
  return absl::OkStatus();
}

}  // namespace

void AddLog(Commands& commands) {
  CLI::App& group =
      commands.Group("log", "Says how much a daemon logs, and changes it", kDaemonHeading);
  const auto level = std::make_shared<std::string>();
  CLI::App& app = commands.AddTo(
      group, "level", "Prints the level of the log, or sets it until the next reload or start",
      DaemonKind::kEither, [level](CommandContext& context) { return Level(context, *level); });
  AddChoice(
      app, "LEVEL", {"error", "warning", "info", "debug"}, [level](const auto& v) { *level = v; },
      "The level from now on");
  app.footer("At no level do tokens, secrets, or who called whom stand in the log.");
}

}  // namespace sotto::tools
