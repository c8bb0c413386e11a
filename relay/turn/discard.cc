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
              "Neither STUN nor ChannelData: expect some from scanners; if clients are affected, "
              "look for a middlebox that rewrites UDP payloads."};
    case Discard::kUnexpectedClass:
      return {"unexpected_class",
              "A STUN message that no TURN client sends to a server: look for clients that use "
              "the relay's port as a peer, or for reflected traffic."};
    case Discard::kBadFingerprint:
      return {"bad_fingerprint",
              "The FINGERPRINT of a STUN message is wrong: the bytes changed on the way, or the "
              "client computes it wrongly."};
    case Discard::kNoAllocation:
      return {"no_allocation",
              "Data for an allocation that has ended: usual for a moment when calls end; if it "
              "lasts, look for clients that don't refresh, or whose address changes."};
    case Discard::kNoChannel:
      return {"no_channel",
              "ChannelData on a channel that isn't bound or has expired: the client must bind it "
              "again within 10 minutes."};
    case Discard::kNoPermission:
      return {"no_permission",
              "Data to or from a peer that the client has not permitted in the last 5 minutes: "
              "expect some from scanners; if calls are affected, look at CreatePermission."};
    case Discard::kPeerRefused:
      return {"peer_refused",
              "A peer that [turn.peers] refuses: if it is a legitimate one, add it to allow."};
    case Discard::kCallNotArmed:
      return {"call_not_armed",
              "Data before the call was armed, or to somebody who isn't its other leg: arm the "
              "call when the recipient answers."};
    case Discard::kAnswerBudget:
      return {"answer_budget",
              "Too many unauthenticated requests from one network: a reflection attack, or many "
              "clients behind one address; raise unauthenticated_excess_rate for the latter."};
    case Discard::kNoRelayedFamily:
      return {"no_relayed_family",
              "A peer of an address family that the allocation has no relayed address of: the "
              "client must ask for that family."};
    case Discard::kUnknownAttribute:
      return {"unknown_attribute",
              "A Send indication with an attribute that must be understood and isn't: the client "
              "uses an extension that this relay doesn't have."};
    case Discard::kIcmpNotRelayed:
      return {"icmp_not_relayed",
              "An ICMP error of a type that clients aren't told of: nothing to do."};
    case Discard::kCount:
      break;
  }
  return {"", ""};
}

}  // namespace

std::string_view DiscardName(Discard discard) { return EntryOf(discard).name; }
std::string_view DiscardRemedy(Discard discard) { return EntryOf(discard).remedy; }

}  // namespace sotto::relay
