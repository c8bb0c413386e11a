// SPDX-License-Identifier: Apache-2.0
// The service SignalingAdmin (signaling/api/admin.proto, where its contract stands).
#pragma once

#include <atomic>
#include <string>

#include "relay/daemon/owner_requests.h"
#include "signaling/api/admin.grpc.pb.h"
#include "signaling/signald/operator/live_server.h"

namespace sotto::signaling {

class AdminService final : public v1::SignalingAdmin::CallbackService {
 public:
  // Both must outlive the object.
  AdminService(const LiveServer& server, OwnerRequests<>& requests);
  // Not here: each file that sees it would compile gRPC's part of the service anew.
  ~AdminService() override;

 private:
  using Context = grpc::CallbackServerContext;
  using Reactor = grpc::ServerUnaryReactor;

  // Look-ups.
  Reactor* GetStatus(Context* context, const v1::GetSignalingStatusRequest* request,
                     v1::SignalingStatus* response) override;
  grpc::ServerWriteReactor<v1::SessionInfo>* ListSessions(
      Context* context, const v1::SessionFilter* request) override;
  Reactor* GetAccount(Context* context, const v1::GetAccountRequest* request,
                      v1::AccountInfo* response) override;
  Reactor* ListEpochs(Context* context, const v1::ListEpochsRequest* request,
                      v1::ListEpochsResponse* response) override;
  Reactor* InspectToken(Context* context, const v1::InspectTokenRequest* request,
                        v1::TokenInfo* response) override;

  // Changes.
  Reactor* EndSession(Context* context, const v1::EndSessionRequest* request,
                      v1::EndSessionResponse* response) override;
  Reactor* SetAccountBlocked(Context* context, const v1::SetAccountBlockedRequest* request,
                             v1::SetAccountBlockedResponse* response) override;

  // Has the store's thread do `job`, and then the service's thread `then`, if it was done; answers.
  Reactor* AskStore(Context* context, StoreClient::Job job, std::function<void()> then = nullptr);
  Reactor* Refuse(Context* context, const absl::Status& status);

  const LiveServer& server_;
  OwnerRequests<>& requests_;
  std::atomic<size_t> lists_ = 0;  // that are open
};

}  // namespace sotto::signaling
