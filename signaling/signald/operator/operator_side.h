// SPDX-License-Identifier: Apache-2.0
// What the operator reaches of the running server: the admin services and the metrics.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "relay/base/task_queue.h"
#include "relay/daemon/admin_listener.h"
#include "relay/daemon/daemon_service.h"
#include "relay/daemon/metrics_server.h"
#include "relay/daemon/owner_requests.h"
#include "signaling/signald/config/running_config.h"
#include "signaling/signald/operator/admin_service.h"
#include "signaling/signald/operator/live_server.h"
#include "signaling/signald/operator/metrics.h"

namespace sotto::signaling {

class OperatorSide {
 public:
  // Opens sockets, before privileges are given up; nobody is served yet. `wake` has the service's
  // thread call RunOne() once, soon; any thread. Errors name the key.
  static absl::StatusOr<std::unique_ptr<OperatorSide>> Open(const SignaldConfig& config,
                                                            std::function<void()> wake);

  // The service's thread from here on. Once; `config` must outlive the object, as all of `server`.
  absl::Status Serve(LiveServer server, RunningConfig& config);
  // On each wake.
  void RunOne() { tasks_.Run(1); }
  void ReplaceTls(TlsPem tls);
  // Answers what is asked and ends all connections; before anything of the LiveServer ends. Takes a
  // second at most.
  void Stop();

 private:
  explicit OperatorSide(std::function<void()> wake);
  DaemonHooks Hooks(RunningConfig& config);

  TaskQueue<> tasks_;  // of the service's thread
  OwnerRequests<> requests_;
  std::optional<LiveServer> server_;
  std::optional<AdminService> admin_;
  std::optional<DaemonService> daemon_;
  std::unique_ptr<AdminListener> listener_;  // null: no [admin]
  std::optional<ServerMetrics> metrics_;
  std::unique_ptr<MetricsServer> metrics_server_;  // null: no [metrics]
};

}  // namespace sotto::signaling
