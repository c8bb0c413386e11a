// SPDX-License-Identifier: Apache-2.0
// Why the server refused what a well-formed, authentic request asked for: every reason has a
// symbol, a name for counters, the error code that the client is told, and a sentence that tells
// the operator what it means and what to do. This table is the only list of them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "relay/stun/attributes.h"

namespace sotto::relay {

// X(symbol, name, error, sentence)
#define SOTTO_REFUSALS(X)                                                                          \
  /* Allocate */                                                                                   \
  X(kDraining, "draining", kInsufficientCapacity,                                                  \
    "An allocation while the relay drains; clients are sent to [turn] alternates, if it has any.") \
  X(kMaxAllocations, "max_allocations", kInsufficientCapacity,                                     \
    "The relay holds [dataplane] max_allocations; raise it, or add a relay.")                      \
  X(kUserQuota, "user_quota", kAllocationQuotaReached,                                             \
    "A user holds [turn.limits] max_allocations_per_user; raise it if its clients need more.")     \
  X(kLegQuota, "leg_quota", kAllocationQuotaReached,                                               \
    "A side of a call holds [turn.limits] max_allocations_per_leg; raise it if clients have more " \
    "networks.")                                                                                   \
  X(kPrefixRate, "prefix_rate", kInsufficientCapacity,                                             \
    "A network asks for allocations faster than [turn.limits] allocations_per_prefix; an attack, " \
    "or many clients behind one address: raise it for those.")                                     \
  X(kNoPort, "no_port", kInsufficientCapacity,                                                     \
    "No relayed port was free; widen [turn] relay_ports, or add relay_addresses.")                 \
  X(kNoPair, "no_pair", kInsufficientCapacity,                                                     \
    "EVEN-PORT with a port to reserve, and no two neighbours were free (virtual relayed "          \
    "addresses "                                                                                   \
    "have none); browsers don't ask for it.")                                                      \
  X(kReservationGone, "reservation_gone", kInsufficientCapacity,                                   \
    "A RESERVATION-TOKEN of no reserved port: used, expired, or made up; nothing to do.")          \
  X(kNotALeg, "not_a_leg", kForbidden,                                                             \
    "Under the policy \"call\" a credential named no leg of a call; mint it for CALL/a or "        \
    "CALL/b.")                                                                                     \
  /* CreatePermission and ChannelBind */                                                           \
  X(kPeer, "peer", kForbidden,                                                                     \
    "A peer that [turn.peers] refuses; if it is a legitimate one, add it to allow.")               \
  X(kNotOtherLeg, "not_other_leg", kForbidden,                                                     \
    "Under the policy \"call\" a channel to somebody who isn't the call's other leg.")             \
  X(kPermissions, "permissions", kInsufficientCapacity,                                            \
    "An allocation has [turn.limits] max_permissions_per_allocation; a scan, or raise it.")        \
  X(kChannels, "channels", kInsufficientCapacity,                                                  \
    "An allocation has [turn.limits] max_channels_per_allocation; raise it if clients need more.") \
  /* All of them */                                                                                \
  X(kTableFull, "table_full", kInsufficientCapacity,                                               \
    "The dataplane's tables had no room; raise [dataplane] max_allocations.")

enum class Refusal : uint8_t {
#define X(symbol, name, error, sentence) symbol,
  SOTTO_REFUSALS(X)
#undef X
      kCount,
};
constexpr size_t kRefusalCount = static_cast<size_t>(Refusal::kCount);

constexpr std::string_view RefusalName(Refusal refusal) {
  constexpr std::string_view kNames[] = {
#define X(symbol, name, error, sentence) name,
      SOTTO_REFUSALS(X)
#undef X
  };
  return kNames[static_cast<size_t>(refusal)];
}

constexpr std::string_view RefusalSentence(Refusal refusal) {
  constexpr std::string_view kSentences[] = {
#define X(symbol, name, error, sentence) sentence,
      SOTTO_REFUSALS(X)
#undef X
  };
  return kSentences[static_cast<size_t>(refusal)];
}

constexpr StunError RefusalError(Refusal refusal) {
  constexpr StunError kErrors[] = {
#define X(symbol, name, error, sentence) StunError::error,
      SOTTO_REFUSALS(X)
#undef X
  };
  return kErrors[static_cast<size_t>(refusal)];
}

}  // namespace sotto::relay
