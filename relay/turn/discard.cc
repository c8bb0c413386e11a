// SPDX-License-Identifier: Apache-2.0
// The names of discards, and what an operator can do about each.
#include "relay/turn/server.h"

namespace sotto::relay {
namespace {

struct Entry {
  std::string_view name;
  std::string_view remedy;
};

constexpr Entry EntryOf(Discard discard) {
  switch (discard) {
    case Discard::kNone:
      return {"none", "Nothing was discarded."};
    case Discard::kMalformed:
      return {"malformed",
              "The datagram is neither STUN nor ChannelData. Some come from scanners; if clients "
              "are affected, look for a middlebox that rewrites UDP payloads."};
    case Discard::kUnexpectedClass:
      return {"unexpected_class",
              "A STUN message that clients do not send to servers; look for clients that use the "
              "relay's port as a peer, or for reflected traffic."};
    case Discard::kBadFingerprint:
      return {"bad_fingerprint",
              "The FINGERPRINT of a STUN message is wrong; the bytes changed on the way, or the "
              "client computes it incorrectly."};
    case Discard::kNoAllocation:
      return {"no_allocation",
              "Data for an allocation that has ended. This is normal for a moment when calls end; "
              "if it continues, look for clients that don't refresh, or whose address changes."};
    case Discard::kNoChannel:
      return {"no_channel",
              "ChannelData on a channel that is not bound or has expired; the client must refresh "
              "the binding within 10 minutes."};
    case Discard::kNoPermission:
      return {"no_permission",
              "Data to or from a peer for which the client has no permission. Some come from "
              "scanners; if calls are affected, check that the client refreshes its permission "
              "within 5 minutes."};
    case Discard::kPeerRefused:
      return {"peer_refused",
              "[turn.peers] forbids the peer; if the peer is legitimate, add it to allow."};
    case Discard::kCallNotArmed:
      return {"call_not_armed",
              "Data before the call was armed, or to an address that is not the call's other leg; "
              "arm the call when the recipient answers."};
    case Discard::kAnswerBudget:
      return {"answer_budget",
              "Too many unauthenticated requests from one source prefix: a reflection attack, or "
              "many clients behind one address. For the latter, raise [turn.limits] "
              "unauthenticated_excess_rate."};
    case Discard::kNoRelayedFamily:
      return {"no_relayed_family",
              "The allocation has no relayed address of the peer's address family; the client must "
              "request that family."};
    case Discard::kUnknownAttribute:
      return {"unknown_attribute",
              "A Send indication has an unknown comprehension-required attribute; the client uses "
              "an extension that this relay does not support."};
    case Discard::kIcmpNotRelayed:
      return {"icmp_not_relayed",
              "An ICMP error of a type that is not reported to clients; nothing to do."};
    case Discard::kCount:
      break;
  }
  return {"", ""};
}

}  // namespace

std::string_view DiscardName(Discard discard) { return EntryOf(discard).name; }
std::string_view DiscardRemedy(Discard discard) { return EntryOf(discard).remedy; }

}  // namespace sotto::relay
