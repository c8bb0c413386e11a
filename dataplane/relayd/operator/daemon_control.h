// SPDX-License-Identifier: Apache-2.0
// The service Daemon (relay/daemon/daemon_service.h) of sotto-relayd.
#pragma once

#include <string>

#include "dataplane/relayd/config/running_config.h"
#include "dataplane/relayd/operator/control_requests.h"
#include "relay/daemon/daemon_service.h"

namespace sotto::dataplane {

class DaemonControl final : public ControlService {
 public:
  // `config` is control's; it and `requests` must outlive the object.
  DaemonControl(std::string version, RunningConfig& config, ControlRequests& requests);
  ~DaemonControl() override;

  grpc::Service& grpc_service() override { return service_; }
  // From here on time counts.
  void Attach(relay::Server& server, const Now& now) override;
  void Detach(relay::Server&) override { config_.Close(); }

 private:
  DaemonHooks Hooks(std::string version, ControlRequests& requests);

  RunningConfig& config_;
  relay::Server* server_ = nullptr;  // control's
  MonotonicMs attached_at_ = 0;      // control's
  MonotonicMs now_ = 0;              // control's: of the work that is being done
  DaemonService service_;
};

}  // namespace sotto::dataplane
