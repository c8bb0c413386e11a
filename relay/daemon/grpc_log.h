// SPDX-License-Identifier: Apache-2.0
// gRPC's own log lines as lines of the daemon's log, at level debug: what they are about, the
// daemon says itself.
#pragma once

namespace sotto {

// Call it before anything else of gRPC.
void RouteGrpcLog();

}  // namespace sotto
