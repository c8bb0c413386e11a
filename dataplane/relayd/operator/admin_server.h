// SPDX-License-Identifier: Apache-2.0
// The relay's admin services where they are reached (relay/daemon/admin_listener.h), answered by
// the control thread, which never enters gRPC.
#pragma once

#include <memory>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "dataplane/relayd/operator/control_requests.h"
#include "relay/daemon/admin_listener.h"

namespace sotto::dataplane {

struct AdminServerOptions : AdminListenerOptions {
  size_t max_requests = 4096;  // that wait for control, of all services
};

class AdminServer {
 public:
  // As AdminListener::Open(). `tasks` must outlive the object.
  static absl::StatusOr<std::unique_ptr<AdminServer>> Open(const AdminServerOptions& options,
                                                           relay::ServerTasks& tasks);
  // Ends the service and removes the socket. Stop() first, if Serve() was called.
  ~AdminServer() = default;

  // Before Serve(): what services are made with, and one to serve.
  ControlRequests& requests() { return requests_; }
  void Add(std::unique_ptr<ControlService> service) { services_.push_back(std::move(service)); }

  // The control thread; once. UNAVAILABLE: the address can't be listened on.
  absl::Status Serve(relay::Server& server, const Now& now);

  // The control thread: answers what is asked, closes `tasks`, ends all watches and connections.
  // Takes a second at most.
  void Stop(relay::Server& server, const Now& now);

  // As AdminListener::ReplaceTls().
  void ReplaceTls(TlsPem tls) { listener_->ReplaceTls(std::move(tls)); }

 private:
  AdminServer(const AdminServerOptions& options, relay::ServerTasks& tasks,
              std::unique_ptr<AdminListener> listener);

  relay::ServerTasks& tasks_;
  ControlRequests requests_;
  std::vector<std::unique_ptr<ControlService>> services_;
  const std::unique_ptr<AdminListener> listener_;  // ends before what its services stand on
};

}  // namespace sotto::dataplane
