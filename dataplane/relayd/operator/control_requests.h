// SPDX-License-Identifier: Apache-2.0
// Requests of gRPC that the control thread answers, the only one that may touch the TURN server:
// what every service of the relay is made of (relay/daemon/owner_requests.h says which thread does
// what).
#pragma once

#include <grpcpp/impl/service_type.h>

#include "relay/daemon/owner_requests.h"
#include "relay/turn/server_tasks.h"

namespace sotto::dataplane {

using ControlRequests = OwnerRequests<relay::Server&, const Now&>;

// What AdminServer serves.
class ControlService {
 public:
  virtual ~ControlService() = default;
  virtual grpc::Service& grpc_service() = 0;
  // The control thread, before the first request and, once control's tasks are closed, after the
  // last one. What no service has answered by then gets UNAVAILABLE.
  virtual void Attach(relay::Server&, const Now&) {}
  virtual void Detach(relay::Server&) {}
};

}  // namespace sotto::dataplane
