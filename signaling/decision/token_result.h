// SPDX-License-Identifier: Apache-2.0
// What became of the token that a call was placed with.
#pragma once

#include "relay/base/named_enum.h"

namespace sotto::signaling {

// X(symbol, name)
#define SOTTO_TOKEN_RESULTS(X)                                                  \
  /* there was none */                                                          \
  X(kNone, "none")                                                              \
  /* no token of this recipient's, or of an epoch that has no key or is over */ \
  X(kInvalid, "invalid")                                                        \
  /* good, but the call doesn't ring whatever the token */                      \
  X(kUnused, "unused")                                                          \
  /* good once: its uses are spent, or it is revoked */                         \
  X(kSpent, "spent")                                                            \
  /* it rings, and has taken a use */                                           \
  X(kAccepted, "accepted")

SOTTO_NAMED_ENUM(TokenResult, SOTTO_TOKEN_RESULTS);

}  // namespace sotto::signaling
