// SPDX-License-Identifier: Apache-2.0
// Why the server refused what a well-formed, authentic request asked for: as other named reasons,
// and the error code that the client is told. This table is the only list of them.
#pragma once

#include <cstddef>

#include "relay/base/named_enum.h"
#include "relay/stun/attributes.h"

namespace sotto::relay {

// X(symbol, name, sentence, error)
#define SOTTO_REFUSALS(X)                                                                        \
  /* Allocate */                                                                                 \
  X(kDraining, "draining",                                                                       \
    "The relay is draining; clients are sent to [turn] alternates, if there are any.",           \
    kInsufficientCapacity)                                                                       \
  X(kMaxAllocations, "max_allocations",                                                          \
    "The relay has reached [dataplane] max_allocations; raise it, or add a relay.",              \
    kInsufficientCapacity)                                                                       \
  X(kUserQuota, "user_quota",                                                                    \
    "A user has reached [turn.limits] max_allocations_per_user; raise it if its clients need "   \
    "more.",                                                                                     \
    kAllocationQuotaReached)                                                                     \
  X(kLegQuota, "leg_quota",                                                                      \
    "A leg of a call has reached [turn.limits] max_allocations_per_leg; raise it if clients "    \
    "have more networks.",                                                                       \
    kAllocationQuotaReached)                                                                     \
  X(kPrefixRate, "prefix_rate",                                                                  \
    "A source prefix has exceeded [turn.limits] allocations_per_prefix: an attack, or many "     \
    "clients behind one address. For the latter, raise it.",                                     \
    kInsufficientCapacity)                                                                       \
  X(kNoPort, "no_port",                                                                          \
    "No relayed port was free; widen [turn] relay_ports, or add relay_addresses.",               \
    kInsufficientCapacity)                                                                       \
  X(kNoPair, "no_pair",                                                                          \
    "EVEN-PORT asked for a paired port and no pair was free (virtual relayed addresses have "    \
    "none); browsers don't use it.",                                                             \
    kInsufficientCapacity)                                                                       \
  X(kReservationGone, "reservation_gone",                                                        \
    "A RESERVATION-TOKEN that was used, has expired, or never existed; nothing to do.",          \
    kInsufficientCapacity)                                                                       \
  X(kNotALeg, "not_a_leg",                                                                       \
    "Under policy \"call\", a credential did not name a leg of a call; mint credentials for "    \
    "CALL/a or CALL/b.",                                                                         \
    kForbidden)                                                                                  \
  /* CreatePermission and ChannelBind */                                                         \
  X(kPeer, "peer", "[turn.peers] forbids the peer; if the peer is legitimate, add it to allow.", \
    kForbidden)                                                                                  \
  X(kNotOtherLeg, "not_other_leg",                                                               \
    "Under policy \"call\", a client bound a channel to an address that is not the call's "      \
    "other leg.",                                                                                \
    kForbidden)                                                                                  \
  X(kPermissions, "permissions",                                                                 \
    "An allocation has reached [turn.limits] max_permissions_per_allocation: a scan, or a "      \
    "client that needs more. For the latter, raise it.",                                         \
    kInsufficientCapacity)                                                                       \
  X(kChannels, "channels",                                                                       \
    "An allocation has reached [turn.limits] max_channels_per_allocation; raise it if clients "  \
    "need more.",                                                                                \
    kInsufficientCapacity)                                                                       \
  /* All of them */                                                                              \
  X(kTableFull, "table_full",                                                                    \
    "The dataplane's tables were full; raise [dataplane] max_allocations.", kInsufficientCapacity)

SOTTO_NAMED_ENUM(Refusal, SOTTO_REFUSALS);
SOTTO_ENUM_SENTENCES(Refusal, SOTTO_REFUSALS);

constexpr StunError RefusalError(Refusal refusal) {
  constexpr StunError kErrors[] = {
#define X(symbol, name, sentence, error) StunError::error,
      SOTTO_REFUSALS(X)
#undef X
  };
  return kErrors[static_cast<size_t>(refusal)];
}

}  // namespace sotto::relay
