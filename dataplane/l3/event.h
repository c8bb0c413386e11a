// SPDX-License-Identifier: Apache-2.0
// What became of a packet that the relay's own IP layer handled.
#pragma once

#include <array>
#include <cstdint>

#include "relay/base/named_enum.h"

namespace sotto::dataplane {

// X(symbol, name, sentence)
#define SOTTO_L3_EVENTS(X)                                                                       \
  X(kNone, "none", "Nothing happened.")                                                          \
  /* Done */                                                                                     \
  X(kArpAnswered, "arp_answered", "An ARP request for a relay address was answered.")            \
  X(kNeighborLearned, "neighbor_learned", "A neighbor confirmed or changed its MAC address.")    \
  X(kNeighborUnchanged, "neighbor_unchanged",                                                    \
    "A valid ARP packet or neighbor message about a next hop that is not in use.")               \
  X(kSolicitationAnswered, "solicitation_answered",                                              \
    "A neighbor solicitation for a relay address was answered.")                                 \
  X(kEchoAnswered, "echo_answered", "An echo request (ping) was answered.")                      \
  X(kErrorReported, "error_reported",                                                            \
    "An ICMP error about relayed traffic was passed to the TURN server.")                        \
  X(kTooBigSent, "too_big_sent",                                                                 \
    "A sender was told the MTU, because its packet was too large to relay.")                     \
  X(kListenerReportSent, "listener_report_sent",                                                 \
    "A multicast listener report (MLDv2) was sent, so that switches deliver solicitations.")     \
  /* Dropped, for IsL3Drop */                                                                    \
  X(kMalformedFrame, "malformed_frame",                                                          \
    "The Ethernet header is cut off; look for a faulty link or port setting.")                   \
  X(kMalformedIp, "malformed_ip",                                                                \
    "The IP header is cut off or its length fields are wrong; capture the traffic to find the "  \
    "sender.")                                                                                   \
  X(kBadIpChecksum, "bad_ip_checksum",                                                           \
    "The IPv4 header checksum is wrong; look for faulty hardware on the path.")                  \
  X(kMalformedArp, "malformed_arp",                                                              \
    "The ARP packet is not a valid Ethernet/IPv4 one (RFC 826); find its sender on the link.")   \
  X(kMalformedIcmp, "malformed_icmp",                                                            \
    "The ICMP message is too short for its type; capture the traffic to find the sender.")       \
  X(kBadIcmpChecksum, "bad_icmp_checksum",                                                       \
    "The ICMP checksum is wrong; look for faulty hardware, or for a sender on this host that "   \
    "leaves checksums to a NIC that isn't there (ethtool -K IFACE tx off).")                     \
  X(kMalformedNeighborMessage, "malformed_neighbor_message",                                     \
    "The neighbor message fails the checks of RFC 4861, section 7.1; if its hop limit is below " \
    "255, it was forged from outside the link.")                                                 \
  X(kUnknownEtherType, "unknown_ether_type",                                                     \
    "Neither IPv4, IPv6 nor ARP; harmless unless the rate is high.")                             \
  /* unicast to another station, or to an address that isn't the relay's */                      \
  X(kNotForUs, "not_for_us",                                                                     \
    "Addressed to another host; the switch floods, or the port is promiscuous.")                 \
  X(kBroadcastRefused, "broadcast_refused",                                                      \
    "A packet to or from a broadcast or multicast address is never answered (RFC 1122, 3.2.2).") \
  X(kMartianSource, "martian_source",                                                            \
    "The source address is not a host address, or is the relay's own; it is forged.")            \
  X(kAddressConflict, "address_conflict",                                                        \
    "Another host uses an address of the relay; give one of the two another address.")           \
  X(kFragment, "fragment", "A fragmented ICMP message; the relay answers only whole ones.")      \
  X(kIcmpIgnored, "icmp_ignored",                                                                \
    "An ICMP type that the relay ignores, such as a redirect or a router advertisement.")        \
  X(kErrorNotOurs, "error_not_ours",                                                             \
    "An ICMP error about a packet that isn't UDP from a relay address; probably forged.")        \
  X(kErrorAboutError, "error_about_error",                                                       \
    "No ICMP error is sent about an ICMP error (RFC 1122, 3.2.2; RFC 4443, 2.4).")               \
  X(kUnhandledProtocol, "unhandled_protocol",                                                    \
    "An IP protocol that the relay does not support; scanners send such packets.")               \
  X(kRateLimited, "rate_limited",                                                                \
    "The source prefix, or all prefixes together, exceeded the rate of ICMP answers.")           \
  X(kReplyTooBig, "reply_too_big",                                                               \
    "The answer would not fit the interface's MTU; ping with a smaller payload.")

SOTTO_NAMED_ENUM(L3Event, SOTTO_L3_EVENTS);
SOTTO_ENUM_SENTENCES(L3Event, SOTTO_L3_EVENTS);

constexpr bool IsL3Drop(L3Event event) { return event >= L3Event::kMalformedFrame; }

using L3Counters = std::array<uint64_t, kCountOf<L3Event>>;

}  // namespace sotto::dataplane
