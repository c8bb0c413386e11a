// SPDX-License-Identifier: Apache-2.0
// Why a session ended for good, for the operator.
#pragma once

#include "relay/base/named_enum.h"

namespace sotto::signaling {

// X(symbol, name)
#define SOTTO_SESSION_ENDS(X)      \
  X(kGoodbye, "goodbye")           \
  X(kOperator, "operator")         \
  X(kBlocked, "blocked")           \
  X(kProtocol, "protocol")         \
  X(kIdentity, "identity_expired") \
  X(kNotResumed, "not_resumed")    \
  X(kReplaced, "replaced")         \
  X(kRemoved, "removed")           \
  X(kSlow, "slow")                 \
  X(kTooMany, "too_many")

SOTTO_NAMED_ENUM(SessionEnd, SOTTO_SESSION_ENDS);

}  // namespace sotto::signaling
