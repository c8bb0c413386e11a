// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

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
  context.out.Done(fmt::format("The log level is {}; it was {}.", level, set->previous()),
                   {{"level", level}, {"previous", set->previous()}});
  return absl::OkStatus();
}

}  // namespace

void AddLog(Commands& commands) {
  CLI::App& group =
      commands.Group("log", "Shows and changes how much a daemon logs", kDaemonHeading);
  const auto level = std::make_shared<std::string>();
  CLI::App& app = commands.AddTo(
      group, "level", "Prints the log level, or sets it until the next reload or restart",
      DaemonKind::kEither, [level](CommandContext& context) { return Level(context, *level); });
  AddChoice(
      app, "LEVEL", {"error", "warning", "info", "debug"}, [level](const auto& v) { *level = v; },
      "The new level");
  SetFooter(app, "At no level does the log contain tokens, secrets, or who called whom.");
}

}  // namespace sotto::tools
