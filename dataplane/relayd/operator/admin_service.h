// SPDX-License-Identifier: Apache-2.0
// The service Admin of relay/api/admin.proto, where the contract stands.
//
// Look-ups are in admin_lookups.cc, those that are streams in admin_lists.cc, packets in
// admin_packets.cc, ends of allocations and calls in admin_allocations.cc, other changes in
// admin_changes.cc. What touches the TURN server is done by the control thread: control_requests.h.
#pragma once

#include <atomic>
#include <cstdint>
#include <string>

#include "dataplane/observe/capture.h"
#include "dataplane/observe/explanation.h"
#include "dataplane/observe/relay_view.h"
#include "dataplane/relayd/config/running_config.h"
#include "dataplane/relayd/operator/control_requests.h"
#include "relay/api/admin.grpc.pb.h"

namespace sotto::dataplane {

struct AdminOptions {
  std::string version;
  size_t max_lists = 16;  // streams of allocations or calls at a time
};

class AdminService final : public relay::v1::Admin::CallbackService, public ControlService {
 public:
  // All must outlive the object.
  AdminService(AdminOptions options, const RelayView& relay, FrameExplainer& explainer,
               PacketCapture& capture, RunningConfig& config, ControlRequests& requests);
  // Not here: each file that sees it would compile gRPC's part of the service anew.
  ~AdminService() override;

  grpc::Service& grpc_service() override { return *this; }
  // From here on time counts.
  void Attach(relay::Server&, const Now& now) override { attached_at_ = now.monotonic_ms; }
  void Detach(relay::Server&) override { capture_.Close(); }

 private:
  using Context = grpc::CallbackServerContext;

  grpc::ServerUnaryReactor* GetStatus(Context* context, const relay::v1::GetStatusRequest* request,
                                      relay::v1::Status* response) override;
  grpc::ServerUnaryReactor* GetCounters(Context* context,
                                        const relay::v1::GetCountersRequest* request,
                                        relay::v1::Counters* response) override;
  grpc::ServerUnaryReactor* ListWorkers(Context* context,
                                        const relay::v1::ListWorkersRequest* request,
                                        relay::v1::ListWorkersResponse* response) override;
  grpc::ServerUnaryReactor* ListPorts(Context* context, const relay::v1::ListPortsRequest* request,
                                      relay::v1::ListPortsResponse* response) override;
  grpc::ServerUnaryReactor* ListNeighbors(Context* context,
                                          const relay::v1::ListNeighborsRequest* request,
                                          relay::v1::ListNeighborsResponse* response) override;
  grpc::ServerWriteReactor<relay::v1::Allocation>* ListAllocations(
      Context* context, const relay::v1::AllocationFilter* request) override;
  grpc::ServerWriteReactor<relay::v1::Call>* ListCalls(
      Context* context, const relay::v1::CallFilter* request) override;

  // admin_allocations.cc
  grpc::ServerUnaryReactor* EndAllocation(Context* context,
                                          const relay::v1::EndAllocationRequest* request,
                                          relay::v1::EndAllocationResponse* response) override;
  grpc::ServerUnaryReactor* EndAllocations(Context* context,
                                           const relay::v1::EndAllocationsRequest* request,
                                           relay::v1::EndAllocationsResponse* response) override;
  grpc::ServerUnaryReactor* EndCall(Context* context, const relay::v1::EndCallRequest* request,
                                    relay::v1::EndCallResponse* response) override;

  // admin_packets.cc
  grpc::ServerUnaryReactor* Explain(Context* context, const relay::v1::ExplainRequest* request,
                                    relay::v1::Explanation* response) override;
  grpc::ServerWriteReactor<relay::v1::CaptureChunk>* Capture(
      Context* context, const relay::v1::CaptureRequest* request) override;

  // admin_changes.cc
  grpc::ServerUnaryReactor* ListUsers(Context* context, const relay::v1::ListUsersRequest* request,
                                      relay::v1::ListUsersResponse* response) override;
  grpc::ServerUnaryReactor* ListSecrets(Context* context,
                                        const relay::v1::ListSecretsRequest* request,
                                        relay::v1::ListSecretsResponse* response) override;
  grpc::ServerUnaryReactor* Drain(Context* context, const relay::v1::DrainRequest* request,
                                  relay::v1::Status* response) override;
  grpc::ServerUnaryReactor* Undrain(Context* context, const relay::v1::UndrainRequest* request,
                                    relay::v1::Status* response) override;
  grpc::ServerUnaryReactor* AddUser(Context* context, const relay::v1::AddUserRequest* request,
                                    relay::v1::AddUserResponse* response) override;
  grpc::ServerUnaryReactor* RemoveUser(Context* context,
                                       const relay::v1::RemoveUserRequest* request,
                                       relay::v1::RemoveUserResponse* response) override;
  grpc::ServerUnaryReactor* RotateSecret(Context* context,
                                         const relay::v1::RotateSecretRequest* request,
                                         relay::v1::RotateSecretResponse* response) override;
  grpc::ServerUnaryReactor* MintCredential(Context* context,
                                           const relay::v1::MintCredentialRequest* request,
                                           relay::v1::Credential* response) override;

  // On the control thread.
  void FillStatus(const relay::Server& server, const Now& now, relay::v1::Status& out) const;

  const AdminOptions options_;
  const RelayView& relay_;
  FrameExplainer& explainer_;  // control's
  PacketCapture& capture_;
  RunningConfig& config_;  // control's
  ControlRequests& requests_;
  std::atomic<size_t> lists_ = 0;  // open ones; gRPC's threads
  MonotonicMs attached_at_ = 0;    // control's
};

}  // namespace sotto::dataplane
