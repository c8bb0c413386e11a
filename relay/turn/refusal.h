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
    "The relay is draining; clients are sent to [turn] alternates, if there are any.")             \
  X(kMaxAllocations, "max_allocations", kInsufficientCapacity,                                     \
    "The relay has reached [dataplane] max_allocations; raise it, or add a relay.")                \
  X(kUserQuota, "user_quota", kAllocationQuotaReached,                                             \
    "A user has reached [turn.limits] max_allocations_per_user; raise it if its clients need "     \
    "more.")                                                                                       \
  X(kLegQuota, "leg_quota", kAllocationQuotaReached,                                               \
    "A leg of a call has reached [turn.limits] max_allocations_per_leg; raise it if clients have " \
    "more networks.")                                                                              \
  X(kPrefixRate, "prefix_rate", kInsufficientCapacity,                                             \
    "A source prefix has exceeded [turn.limits] allocations_per_prefix: an attack, or many "       \
    "clients behind one address. For the latter, raise it.")                                       \
  X(kNoPort, "no_port", kInsufficientCapacity,                                                     \
    "No relayed port was free; widen [turn] relay_ports, or add relay_addresses.")                 \
  X(kNoPair, "no_pair", kInsufficientCapacity,                                                     \
    "EVEN-PORT asked for a paired port and no pair was free (virtual relayed addresses have "      \
    "none); browsers don't use it.")                                                               \
  X(kReservationGone, "reservation_gone", kInsufficientCapacity,                                   \
    "A RESERVATION-TOKEN that was used, has expired, or never existed; nothing to do.")            \
  X(kNotALeg, "not_a_leg", kForbidden,                                                             \
    "Under policy \"call\", a credential did not name a leg of a call; mint credentials for "      \
    "CALL/a or CALL/b.")                                                                           \
  /* CreatePermission and ChannelBind */                                                           \
  X(kPeer, "peer", kForbidden,                                                                     \
    "[turn.peers] forbids the peer; if the peer is legitimate, add it to allow.")                  \
  X(kNotOtherLeg, "not_other_leg", kForbidden,                                                     \
    "Under policy \"call\", a client bound a channel to an address that is not the call's other "  \
    "leg.")                                                                                        \
  X(kPermissions, "permissions", kInsufficientCapacity,                                            \
    "An allocation has reached [turn.limits] max_permissions_per_allocation: a scan, or a client " \
    "that needs more. For the latter, raise it.")                                                  \
  X(kChannels, "channels", kInsufficientCapacity,                                                  \
    "An allocation has reached [turn.limits] max_channels_per_allocation; raise it if clients "    \
    "need more.")                                                                                  \
  /* All of them */                                                                                \
  X(kTableFull, "table_full", kInsufficientCapacity,                                               \
    "The dataplane's tables were full; raise [dataplane] max_allocations.")

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
