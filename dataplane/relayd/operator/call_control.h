// SPDX-License-Identifier: Apache-2.0
// The service CallControl of relay/api/relay.proto, where the contract stands. Threads are as
// relay/daemon/owner_requests.h says.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "dataplane/relayd/operator/control_requests.h"
#include "dataplane/relayd/operator/leg_watcher.h"
#include "relay/api/relay.grpc.pb.h"

namespace sotto::dataplane {

struct CallControlOptions {
  std::string version;
  size_t max_watchers = 8;           // at a time
  size_t max_watcher_events = 8192;  // that wait for one
};

class CallControlService final : public relay::v1::CallControl::CallbackService,
                                 public ControlService {
 public:
  // `requests` must outlive the object.
  CallControlService(CallControlOptions options, ControlRequests& requests);
  ~CallControlService() override;  // not here, as AdminService's

  grpc::Service& grpc_service() override { return *this; }
  // From here on the server's legs are observed, and time counts.
  void Attach(relay::Server& server, const Now& now) override;
  // Ends all watches.
  void Detach(relay::Server& server) override;

 private:
  using Context = grpc::CallbackServerContext;
  struct Watch {
    uint64_t id = 0;
    std::shared_ptr<LegWatcher> watcher;
    uint32_t next = 0;  // where the round over the calls that stand goes on
  };

  grpc::ServerUnaryReactor* ArmCall(Context* context, const relay::v1::ArmCallRequest* request,
                                    relay::v1::ArmCallResponse* response) override;
  grpc::ServerUnaryReactor* DisarmCall(Context* context,
                                       const relay::v1::DisarmCallRequest* request,
                                       relay::v1::DisarmCallResponse* response) override;
  grpc::ServerUnaryReactor* EndCall(Context* context, const relay::v1::EndCallRequest* request,
                                    relay::v1::EndCallResponse* response) override;
  grpc::ServerUnaryReactor* GetCall(Context* context, const relay::v1::GetCallRequest* request,
                                    relay::v1::Call* response) override;
  grpc::ServerUnaryReactor* GetRelay(Context* context, const relay::v1::GetRelayRequest* request,
                                     relay::v1::Relay* response) override;
  grpc::ServerWriteReactor<relay::v1::LegEvent>* WatchLegs(
      Context* context, const relay::v1::WatchLegsRequest* request) override;

  // On the control thread:
  void StartWatch(std::shared_ptr<LegWatcher> watcher, relay::Server& server, const Now& now);
  void TellStanding(uint64_t id, relay::Server& server, const Now& now);
  void OnLegChange(const relay::LegChange& change);

  const CallControlOptions options_;
  ControlRequests& requests_;
  MonotonicMs attached_at_ = 0;  // control's
  uint64_t next_watch_ = 1;      // control's
  std::vector<Watch> watches_;   // control's
};

}  // namespace sotto::dataplane
