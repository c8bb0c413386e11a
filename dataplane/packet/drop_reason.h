// SPDX-License-Identifier: Apache-2.0
// Why the dataplane dropped a packet: every reason has a symbol, a name for counters, and a
// sentence that tells the operator what it means and what to do. This table is the only list of
// them.
#pragma once

#include "relay/base/named_enum.h"

namespace sotto::dataplane {

// X(symbol, name, sentence)
#define SOTTO_DROP_REASONS(X)                                                                      \
  /* Ethernet and IP */                                                                            \
  X(kFrameTruncated, "frame_truncated",                                                            \
    "A frame ended inside its Ethernet or VLAN header; look for a faulty link or driver.")         \
  X(kNotOurMac, "not_our_mac",                                                                     \
    "A frame was addressed to another host; a switch floods, or the port is promiscuous.")         \
  X(kUnknownVlan, "unknown_vlan",                                                                  \
    "A frame had a VLAN tag that no [[interface]] of its port names; set vlan, or fix the "        \
    "switch.")                                                                                     \
  X(kUnknownEtherType, "unknown_ethertype",                                                        \
    "Neither IPv4, IPv6 nor ARP; harmless (spanning tree, LLDP) unless it grows fast.")            \
  X(kIpTruncated, "ip_truncated", "A frame ended inside its IP header; malformed or hostile.")     \
  X(kIpBadHeader, "ip_bad_header",                                                                 \
    "An IP header with a wrong version or header length; malformed or hostile.")                   \
  X(kIpLengthLies, "ip_length_lies",                                                               \
    "The IP length field passes the end of the frame or is shorter than the header.")              \
  X(kIpBadChecksum, "ip_bad_checksum",                                                             \
    "The IPv4 header checksum is wrong; look for a faulty link or a broken middlebox.")            \
  X(kIpExtensionHeader, "ip_extension_header",                                                     \
    "IPv6 with extension headers other than Fragment; TURN clients don't send them.")              \
  X(kMulticast, "multicast",                                                                       \
    "Broadcast or multicast that the relay ignores (mDNS, DHCP, router advertisements).")          \
  X(kDestinationNotLocal, "not_local",                                                             \
    "The destination is not an address of the relay; check routes that point here.")               \
  X(kSourceInvalid, "source_invalid",                                                              \
    "The source is multicast, broadcast, loopback or unspecified; spoofed.")                       \
  X(kSourceIsRelay, "source_is_relay",                                                             \
    "An external packet has an address of the relay as its source; spoofed, or a loop.")           \
  X(kNotUdp, "not_udp", "A transport protocol that the relay does not speak.")                     \
  /* UDP */                                                                                        \
  X(kUdpTruncated, "udp_truncated", "A packet ended inside its UDP header; malformed or hostile.") \
  X(kUdpLengthLies, "udp_length_lies",                                                             \
    "The UDP length field differs from what the IP packet holds; malformed or hostile.")           \
  X(kUdpBadChecksum, "udp_bad_checksum",                                                           \
    "A request with a wrong UDP checksum; on a veth, run 'ethtool -K <sender> tx off'.")           \
  X(kUdpNoChecksum, "udp6_no_checksum",                                                            \
    "UDP over IPv6 without a checksum, which RFC 8200 forbids.")                                   \
  X(kUdpSourcePortZero, "udp_source_port_zero", "UDP from port 0 can't be answered; hostile.")     \
  X(kPortClosed, "port_closed",                                                                    \
    "Neither a listening port nor an allocated relayed port; late packets, or a scan.")            \
  /* Fragments */                                                                                  \
  X(kFragmentRefused, "fragment_refused",                                                          \
    "A fragment that overlaps another, is malformed, or exceeds a limit; the l3 counters say "     \
    "which.")                                                                                      \
  /* From clients */                                                                               \
  X(kNotStunNorChannelData, "not_stun_nor_channeldata",                                            \
    "Neither STUN nor ChannelData at a listening port; another protocol, or hostile.")             \
  X(kChannelDataMalformed, "channeldata_malformed",                                                \
    "ChannelData with a reserved number or a length that passes the datagram's end.")              \
  X(kChannelUnbound, "channel_unbound",                                                            \
    "ChannelData on a channel that its client has not bound, or whose binding has ended.")         \
  X(kStunMalformed, "stun_malformed", "A STUN message that is not well-formed.")                   \
  X(kStunUnexpected, "stun_unexpected",                                                            \
    "A STUN response, or an indication that clients do not send to servers.")                      \
  X(kSendMalformed, "send_malformed",                                                              \
    "A Send indication without a peer or data, or with an unknown comprehension-required "         \
    "attribute.")                                                                                  \
  X(kClientUnknown, "client_unknown",                                                              \
    "A Send indication from a client that has no allocation, or whose allocation has ended.")      \
  X(kRequestRateLimited, "request_rate_limited",                                                   \
    "Too many requests from one source prefix; raise [turn.limits] requests_per_prefix if "        \
    "legitimate clients share an address.")                                                        \
  X(kAnswerBudget, "answer_budget",                                                                \
    "An answer larger than its unauthenticated request was not sent, so that the relay can't "     \
    "amplify a flood with forged sources.")                                                        \
  X(kControlRingFull, "control_ring_full",                                                         \
    "Control could not keep up with requests; look at its CPU, or at a flood.")                    \
  /* Between clients and peers */                                                                  \
  X(kPeerNoPermission, "peer_no_permission",                                                       \
    "A peer without a permission sent to a relayed address; normal before the client permits it.") \
  X(kSendNoPermission, "send_no_permission",                                                       \
    "A client sent to a peer without a permission, or after the permission expired.")              \
  X(kPeerFamily, "peer_family",                                                                    \
    "The peer's address family has no relayed address in this allocation.")                        \
  X(kCallNotConnected, "call_not_connected", "The legs are not the two sides of one armed call.")  \
  X(kPeerIsRelay, "peer_is_relay",                                                                 \
    "A client sent to an address of the relay that is not an allocated relayed address.")          \
  X(kAllocationRate, "allocation_rate",                                                            \
    "An allocation exceeded [turn.limits] packets_per_allocation; raise it, or look at what its "  \
    "client sends.")                                                                               \
  X(kUserRate, "user_rate",                                                                        \
    "The allocations of a user exceeded [turn.limits] bytes_per_user; raise it if clients need "   \
    "more.")                                                                                       \
  X(kNextHopMissing, "no_next_hop",                                                                \
    "No route, or the next hop does not answer ARP or ND; see sottoctl neighbors.")                \
  X(kTooBig, "too_big",                                                                            \
    "Larger than the outgoing MTU; the sender was told by ICMP (unless rate limited).")            \
  /* Resources */                                                                                  \
  X(kNoBuffer, "no_buffer", "No free packet buffer, or no room in it; raise [dataplane] mbufs.")   \
  X(kTxFull, "tx_full", "The port did not take the packet; the link or the kernel is saturated.")

SOTTO_NAMED_ENUM(DropReason, SOTTO_DROP_REASONS);
SOTTO_ENUM_SENTENCES(DropReason, SOTTO_DROP_REASONS);

}  // namespace sotto::dataplane
