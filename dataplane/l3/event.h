// SPDX-License-Identifier: Apache-2.0
// What became of a packet that the relay's own IP layer handled: one symbol, one name, one sentence
// for each outcome, all in one table (event.cc).
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace sotto::dataplane {

enum class L3Event : uint8_t {
  kNone,  // nothing to count

  // Done.
  kArpAnswered,
  kNeighborLearned,    // an ARP packet or a neighbor message changed or confirmed a next hop
  kNeighborUnchanged,  // a valid one that concerns no next hop of the relay
  kSolicitationAnswered,
  kEchoAnswered,
  kErrorReported,       // an ICMP error about relayed traffic, handed to the TURN server
  kTooBigSent,          // Fragmentation Needed or Packet Too Big
  kListenerReportSent,  // MLDv2

  // Dropped.
  kFirstDrop,
  kMalformedFrame = kFirstDrop,
  kMalformedIp,
  kBadIpChecksum,
  kMalformedArp,
  kMalformedIcmp,
  kBadIcmpChecksum,
  kMalformedNeighborMessage,
  kUnknownEtherType,
  kNotForUs,          // unicast to another station or to an address that isn't the relay's
  kBroadcastRefused,  // what must not be answered when sent to, or from, a group (RFC 1122)
  kMartianSource,     // a source that no host can have, or the relay's own
  kAddressConflict,   // somebody else claims an address of the relay
  kFragment,
  kIcmpIgnored,      // a type that the relay has no use for
  kErrorNotOurs,     // an ICMP error about something that the relay didn't send
  kErrorAboutError,  // no ICMP error is sent about an ICMP error
  kUnhandledProtocol,
  kRateLimited,
  kReplyTooBig,  // the answer doesn't fit the interface's MTU
  kCount,
};

// The name is lower-case words joined by '_', fit for a metric label.
std::string_view L3EventName(L3Event event);
// One sentence: what happened, and for a drop what to do about it.
std::string_view L3EventMeaning(L3Event event);
constexpr bool IsL3Drop(L3Event event) { return event >= L3Event::kFirstDrop; }

using L3Counters = std::array<uint64_t, static_cast<size_t>(L3Event::kCount)>;

}  // namespace sotto::dataplane
