// SPDX-License-Identifier: Apache-2.0
// Why a datagram led to nothing.
#pragma once

#include "relay/base/named_enum.h"

namespace sotto::relay {

// X(symbol, name, sentence)
#define SOTTO_DISCARDS(X)                                                                        \
  X(kNone, "none", "Nothing was discarded.")                                                     \
  X(kMalformed, "malformed",                                                                     \
    "The datagram is neither STUN nor ChannelData. Some come from scanners; if clients are "     \
    "affected, look for a middlebox that rewrites UDP payloads.")                                \
  X(kUnexpectedClass, "unexpected_class",                                                        \
    "A STUN message that clients do not send to servers; look for clients that use the relay's " \
    "port as a peer, or for reflected traffic.")                                                 \
  X(kBadFingerprint, "bad_fingerprint",                                                          \
    "The FINGERPRINT of a STUN message is wrong; the bytes changed on the way, or the client "   \
    "computes it incorrectly.")                                                                  \
  X(kNoAllocation, "no_allocation",                                                              \
    "Data for an allocation that has ended. This is normal for a moment when calls end; if it "  \
    "continues, look for clients that don't refresh, or whose address changes.")                 \
  X(kNoChannel, "no_channel",                                                                    \
    "ChannelData on a channel that is not bound or has expired; the client must refresh the "    \
    "binding within 10 minutes.")                                                                \
  X(kNoPermission, "no_permission",                                                              \
    "Data to or from a peer for which the client has no permission. Some come from scanners; "   \
    "if calls are affected, check that the client refreshes its permission within 5 minutes.")   \
  X(kPeerRefused, "peer_refused",                                                                \
    "[turn.peers] forbids the peer; if the peer is legitimate, add it to allow.")                \
  X(kCallNotArmed, "call_not_armed",                                                             \
    "Data before the call was armed, or to an address that is not the call's other leg; arm "    \
    "the call when the recipient answers.")                                                      \
  X(kAnswerBudget, "answer_budget",                                                              \
    "Too many unauthenticated requests from one source prefix: a reflection attack, or many "    \
    "clients behind one address. For the latter, raise [turn.limits] "                           \
    "unauthenticated_excess_rate.")                                                              \
  X(kNoRelayedFamily, "no_relayed_family",                                                       \
    "The allocation has no relayed address of the peer's address family; the client must "       \
    "request that family.")                                                                      \
  X(kUnknownAttribute, "unknown_attribute",                                                      \
    "A Send indication has an unknown comprehension-required attribute; the client uses an "     \
    "extension that this relay does not support.")                                               \
  X(kIcmpNotRelayed, "icmp_not_relayed",                                                         \
    "An ICMP error of a type that is not reported to clients; nothing to do.")

SOTTO_NAMED_ENUM(Discard, SOTTO_DISCARDS);
SOTTO_ENUM_SENTENCES(Discard, SOTTO_DISCARDS);

}  // namespace sotto::relay
