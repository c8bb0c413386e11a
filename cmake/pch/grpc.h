// SPDX-License-Identifier: Apache-2.0
// gRPC and the services of both daemons, parsed once for all that serve or call them
// (SottoBuild.cmake).
#pragma once

#include <grpcpp/grpcpp.h>

#include "cmake/pch/core.h"
#include "relay/api/admin.grpc.pb.h"
#include "relay/api/daemon.grpc.pb.h"
#include "relay/api/relay.grpc.pb.h"
