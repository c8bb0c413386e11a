// SPDX-License-Identifier: Apache-2.0
#include "relay/daemon/daemon_service.h"

#include <fmt/format.h>
#include <unistd.h>

namespace sotto {
namespace {

namespace api = daemon::v1;

absl::Status FillChange(const absl::StatusOr<ConfigChange>& change, api::ConfigChange& out) {
  if (!change.ok()) return change.status();
  for (const std::string& key : change->keys.reloadable) out.add_reloadable(key);
  for (const std::string& key : change->keys.init_only) out.add_init_only(key);
  for (const std::string& warning : change->warnings) out.add_warnings(warning);
  return absl::OkStatus();
}

// A default is TOML, or words within parentheses.
void FillEntry(const ConfigEntry& entry, api::Config::Entry& out) {
  out.set_section(entry.section);
  out.set_name(std::string(entry.key->name));
  out.set_secret(entry.key->secret);
  out.set_standard(entry.setting == nullptr);
  out.set_reloadable(entry.key->reloadable);
  if (entry.setting != nullptr) {
    out.set_value(entry.setting->toml);
    out.set_line(entry.setting->line);
  } else if (!entry.key->secret) {
    out.set_value(std::string(entry.key->standard));
  }
}

}  // namespace

DaemonService::DaemonService(DaemonHooks hooks) : hooks_(std::move(hooks)) {}
DaemonService::~DaemonService() = default;

grpc::ServerUnaryReactor* DaemonService::GetDaemon(Context* context, const api::GetDaemonRequest*,
                                                   api::DaemonInfo* response) {
  return hooks_.run(context, [=, this] {
    response->set_name(hooks_.name);
    response->set_version(hooks_.version);
    response->set_pid(static_cast<uint32_t>(getpid()));
    response->set_uptime_s(hooks_.uptime_s());
    response->set_config_path(hooks_.config_path);
    response->set_log_level(std::string(LogLevelName(hooks_.log_level())));
    return absl::OkStatus();
  });
}

grpc::ServerUnaryReactor* DaemonService::GetConfig(Context* context, const api::GetConfigRequest*,
                                                   api::Config* response) {
  return hooks_.run(context, [=, this] {
    for (const ConfigEntry& entry : ConfigEntries(*hooks_.schema, hooks_.settings())) {
      FillEntry(entry, *response->add_entries());
    }
    return absl::OkStatus();
  });
}

grpc::ServerUnaryReactor* DaemonService::CheckConfig(Context* context,
                                                     const api::CheckConfigRequest* request,
                                                     api::ConfigChange* response) {
  // Here, not on the daemon's thread: that a large file is read keeps nothing waiting.
  absl::StatusOr<DaemonHooks::Check> check =
      hooks_.read(request->text(), request->name().empty() ? hooks_.config_path : request->name());
  return hooks_.run(context, [check = std::move(check), response]() -> absl::Status {
    if (!check.ok()) return absl::InvalidArgumentError(check.status().message());
    return FillChange((*check)(), *response);
  });
}

grpc::ServerUnaryReactor* DaemonService::Reload(Context* context, const api::ReloadRequest*,
                                                api::ConfigChange* response) {
  return hooks_.run(context, [=, this] { return FillChange(hooks_.reload(), *response); });
}

grpc::ServerUnaryReactor* DaemonService::SetLogLevel(Context* context,
                                                     const api::SetLogLevelRequest* request,
                                                     api::SetLogLevelResponse* response) {
  return hooks_.run(context, [=, this]() -> absl::Status {
    const std::optional<LogLevel> level = ParseLogLevel(request->level());
    if (!level) {
      return absl::InvalidArgumentError(
          fmt::format("\"{}\" is not a log level; must be debug, info, warning or error",
                      EscapeText(request->level().substr(0, 60))));
    }
    const LogLevel previous = hooks_.log_level();
    const auto tell = [&] {
      Log(LogLevel::kInfo, "An operator set the log level.",
          {{"level", LogLevelName(*level)}, {"previous", LogLevelName(previous)}});
    };
    // While the one that says more is in force: who silences the log stands in it.
    if (*level > previous) tell();
    hooks_.set_log_level(*level);
    if (*level <= previous) tell();
    response->set_previous(std::string(LogLevelName(previous)));
    return absl::OkStatus();
  });
}

}  // namespace sotto
