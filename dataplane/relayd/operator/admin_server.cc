// SPDX-License-Identifier: Apache-2.0
#include "dataplane/relayd/operator/admin_server.h"

#include <utility>

namespace sotto::dataplane {

absl::StatusOr<std::unique_ptr<AdminServer>> AdminServer::Open(const AdminServerOptions& options,
                                                               relay::ServerTasks& tasks) {
  absl::StatusOr<std::unique_ptr<AdminListener>> listener = AdminListener::Open(options);
  if (!listener.ok()) return listener.status();
  return std::unique_ptr<AdminServer>(new AdminServer(options, tasks, *std::move(listener)));
}

AdminServer::AdminServer(const AdminServerOptions& options, relay::ServerTasks& tasks,
                         std::unique_ptr<AdminListener> listener)
    : tasks_(tasks),
      requests_("relay", options.max_requests, tasks,
                [this](std::function<void()> work) { listener_->Post(std::move(work)); }),
      listener_(std::move(listener)) {}

absl::Status AdminServer::Serve(relay::Server& server, const Now& now) {
  std::vector<grpc::Service*> services;
  for (const auto& service : services_) {
    service->Attach(server, now);
    services.push_back(&service->grpc_service());
  }
  return listener_->Serve(services);
}

void AdminServer::Stop(relay::Server& server, const Now& now) {
  tasks_.Close(server, now);
  for (const auto& service : services_) service->Detach(server);
  requests_.Close();
  listener_->Shutdown();
}

}  // namespace sotto::dataplane
