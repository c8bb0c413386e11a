// SPDX-License-Identifier: Apache-2.0
#include "signaling/signald/operator/operator_side.h"

#include <utility>

namespace sotto::signaling {
namespace {

constexpr size_t kMaxRequests = 1024;

absl::StatusOr<std::unique_ptr<AdminListener>> OpenListener(const SignaldConfig& config) {
  const AdminConfig& admin = config.admin;
  if (admin.socket.empty() && !admin.listen) return nullptr;
  AdminListenerOptions options{.socket = {}, .listen = admin.listen, .tls = admin.tls};
  if (!admin.socket.empty()) {
    absl::StatusOr<UnixListenerOptions> socket =
        AdminSocketOf(admin.socket, admin.group, config.user);
    if (!socket.ok()) return socket.status();
    options.socket = *std::move(socket);
  }
  return AdminListener::Open(options);
}

}  // namespace

OperatorSide::OperatorSide(std::function<void()> wake)
    : tasks_(kMaxRequests, std::move(wake)),
      requests_("server", kMaxRequests, tasks_,
                [this](std::function<void()> work) { listener_->Post(std::move(work)); }) {}

absl::StatusOr<std::unique_ptr<OperatorSide>> OperatorSide::Open(const SignaldConfig& config,
                                                                 std::function<void()> wake) {
  std::unique_ptr<OperatorSide> side(new OperatorSide(std::move(wake)));
  absl::StatusOr<std::unique_ptr<AdminListener>> listener = OpenListener(config);
  if (!listener.ok()) return listener.status();
  side->listener_ = *std::move(listener);
  if (config.metrics_listen) {
    auto metrics = MetricsServer::Open({.listen = *config.metrics_listen});
    if (!metrics.ok()) return metrics.status();
    side->metrics_server_ = *std::move(metrics);
  }
  return side;
}

absl::Status OperatorSide::Serve(LiveServer server, RunningConfig& config) {
  server_.emplace(std::move(server));
  if (metrics_server_) {
    metrics_.emplace(*server_, requests_);
    metrics_server_->Serve([this](MetricFamilies& families) { metrics_->Collect(families); });
  }
  if (!listener_) return absl::OkStatus();
  admin_.emplace(*server_, requests_);
  daemon_.emplace(Hooks(config));
  grpc::Service* const services[] = {&*admin_, &*daemon_};
  return listener_->Serve(services);
}

DaemonHooks OperatorSide::Hooks(RunningConfig& config) {
  return {
      .name = "sotto-signald",
      .version = server_->version,
      .config_path = config.path(),
      .run = [this](grpc::CallbackServerContext* context,
                    DaemonHooks::Work work) { return requests_.Do(context, std::move(work)); },
      .uptime_s = [this] { return (server_->clock().monotonic_ms - server_->started_ms) / 1000; },
      .log_level = [&config] { return config.log().level; },
      .set_log_level = [&config](LogLevel level) { return config.SetLogLevel(level); },
      .settings = [&config]() -> const ConfigSettings& { return config.config().settings; },
      .reload = [&config] { return config.Reload(); },
      .read = [&config](const std::string& text,
                        const std::string& name) -> absl::StatusOr<DaemonHooks::Check> {
        absl::StatusOr<SignaldConfig> wanted =
            text.empty() ? LoadConfig(config.path()) : ParseConfig(text, name);
        if (!wanted.ok()) return wanted.status();
        return [&config, wanted = *std::move(wanted)] { return config.Check(wanted); };
      },
      .schema = &SignaldConfigSchema(),
  };
}

void OperatorSide::ReplaceTls(TlsPem tls) {
  if (listener_) listener_->ReplaceTls(std::move(tls));
}

void OperatorSide::Stop() {
  tasks_.Close();
  requests_.Close();
  metrics_server_.reset();
  if (listener_ && admin_) listener_->Shutdown();
}

}  // namespace sotto::signaling
