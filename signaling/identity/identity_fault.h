// SPDX-License-Identifier: Apache-2.0
// What was wrong with an identity; few enough to be a label of a metric.
#pragma once

#include "relay/base/named_enum.h"

namespace sotto::signaling {

// X(symbol, name)
#define SOTTO_IDENTITY_FAULTS(X)                                                     \
  /* no signed JWT of JSON claims, or one with extensions that must be understood */ \
  X(kMalformed, "malformed")                                                         \
  /* neither ES256 nor RS256 */                                                      \
  X(kAlgorithm, "algorithm")                                                         \
  /* not that of a known key */                                                      \
  X(kSignature, "unknown_key")                                                       \
  /* `exp` is over, or missing */                                                    \
  X(kExpired, "expired")                                                             \
  /* `nbf` */                                                                        \
  X(kNotYetValid, "not_yet_valid")                                                   \
  X(kIssuer, "issuer")                                                               \
  X(kAudience, "audience")                                                           \
  /* `sub` is no account's name */                                                   \
  X(kAccount, "account")

SOTTO_NAMED_ENUM(IdentityFault, SOTTO_IDENTITY_FAULTS);

}  // namespace sotto::signaling
