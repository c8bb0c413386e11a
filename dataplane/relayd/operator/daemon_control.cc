// SPDX-License-Identifier: Apache-2.0
#include "dataplane/relayd/operator/daemon_control.h"

#include <utility>

namespace sotto::dataplane {

DaemonControl::DaemonControl(std::string version, RunningConfig& config, ControlRequests& requests)
    : config_(config), service_(Hooks(std::move(version), requests)) {}
DaemonControl::~DaemonControl() = default;

void DaemonControl::Attach(relay::Server& server, const Now& now) {
  server_ = &server;
  attached_at_ = now.monotonic_ms;
}

DaemonHooks DaemonControl::Hooks(std::string version, ControlRequests& requests) {
  return {
      .name = "sotto-relayd",
      .version = std::move(version),
      .config_path = config_.path(),
      .run =
          [this, &requests](grpc::CallbackServerContext* context, DaemonHooks::Work work) {
            return requests.Do(context,
                               [this, work = std::move(work)](relay::Server&, const Now& now) {
                                 now_ = now.monotonic_ms;
                                 return work();
                               });
          },
      .uptime_s = [this] { return (now_ - attached_at_) / 1000; },
      .log_level = [this] { return config_.log().level; },
      .set_log_level = [this](LogLevel level) { return config_.SetLogLevel(level); },
      .settings = [this]() -> const ConfigSettings& { return config_.config().settings; },
      .reload = [this] { return config_.Reload(*server_); },
      .read = [this, path = config_.path()](const std::string& text, const std::string& name)
          -> absl::StatusOr<DaemonHooks::Check> {
        absl::StatusOr<RelaydConfig> wanted =
            text.empty() ? LoadConfig(path) : ParseConfig(text, name);
        if (!wanted.ok()) return wanted.status();
        return [this, wanted = *std::move(wanted)] { return config_.Check(wanted); };
      },
      .schema = &RelaydConfigSchema(),
  };
}

}  // namespace sotto::dataplane
