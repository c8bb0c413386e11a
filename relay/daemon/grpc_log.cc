// SPDX-License-Identifier: Apache-2.0
#include "relay/daemon/grpc_log.h"

#include <grpc/support/log.h>

#include "relay/daemon/log.h"

namespace sotto {

void RouteGrpcLog() {
  gpr_set_log_function([](gpr_log_func_args* line) {
    Log(LogLevel::kDebug, "Message from gRPC.", {{"line", line->message}});
  });
}

}  // namespace sotto
