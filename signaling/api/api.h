// SPDX-License-Identifier: Apache-2.0
// The messages of signaling.proto under a short name.
#pragma once

#include "signaling/api/signaling.pb.h"

namespace sotto::signaling {

namespace api = ::sotto::signaling::v1;

}  // namespace sotto::signaling
