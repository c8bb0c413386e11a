// SPDX-License-Identifier: Apache-2.0
#include "dataplane/l3/event.h"

namespace sotto::dataplane {
namespace {

struct Entry {
  L3Event event;
  std::string_view name;
  std::string_view meaning;
};

constexpr Entry kTable[] = {
    {L3Event::kNone, "none", "Nothing happened."},
    {L3Event::kArpAnswered, "arp_answered", "An ARP request for a relay address was answered."},
    {L3Event::kNeighborLearned, "neighbor_learned",
     "A neighbor confirmed or changed its MAC address."},
    {L3Event::kNeighborUnchanged, "neighbor_unchanged",
     "A valid ARP packet or neighbor message about a next hop that is not in use."},
    {L3Event::kSolicitationAnswered, "solicitation_answered",
     "A neighbor solicitation for a relay address was answered."},
    {L3Event::kEchoAnswered, "echo_answered", "An echo request (ping) was answered."},
    {L3Event::kErrorReported, "error_reported",
     "An ICMP error about relayed traffic was passed to the TURN server."},
    {L3Event::kTooBigSent, "too_big_sent",
     "A sender was told the MTU, because its packet was too large to relay."},
    {L3Event::kListenerReportSent, "listener_report_sent",
     "A multicast listener report (MLDv2) was sent, so that switches deliver solicitations."},
    {L3Event::kMalformedFrame, "malformed_frame",
     "The Ethernet header is cut off; look for a faulty link or port setting."},
    {L3Event::kMalformedIp, "malformed_ip",
     "The IP header is cut off or its length fields are wrong; capture the traffic to find the "
     "sender."},
    {L3Event::kBadIpChecksum, "bad_ip_checksum",
     "The IPv4 header checksum is wrong; look for faulty hardware on the path."},
    {L3Event::kMalformedArp, "malformed_arp",
     "The ARP packet is not a valid Ethernet/IPv4 one (RFC 826); find its sender on the link."},
    {L3Event::kMalformedIcmp, "malformed_icmp",
     "The ICMP message is too short for its type; capture the traffic to find the sender."},
    {L3Event::kBadIcmpChecksum, "bad_icmp_checksum",
     "The ICMP checksum is wrong; look for faulty hardware, or for a sender on this host that "
     "leaves checksums to a NIC that isn't there (ethtool -K IFACE tx off)."},
    {L3Event::kMalformedNeighborMessage, "malformed_neighbor_message",
     "The neighbor message fails the checks of RFC 4861, section 7.1; if its hop limit is below "
     "255, it was forged from outside the link."},
    {L3Event::kUnknownEtherType, "unknown_ether_type",
     "Neither IPv4, IPv6 nor ARP; harmless unless the rate is high."},
    {L3Event::kNotForUs, "not_for_us",
     "Addressed to another host; the switch floods, or the port is promiscuous."},
    {L3Event::kBroadcastRefused, "broadcast_refused",
     "A packet to or from a broadcast or multicast address is never answered (RFC 1122, 3.2.2)."},
    {L3Event::kMartianSource, "martian_source",
     "The source address is not a host address, or is the relay's own; it is forged."},
    {L3Event::kAddressConflict, "address_conflict",
     "Another host uses an address of the relay; give one of the two another address."},
    {L3Event::kFragment, "fragment",
     "A fragmented ICMP message; the relay answers only whole ones."},
    {L3Event::kIcmpIgnored, "icmp_ignored",
     "An ICMP type that the relay ignores, such as a redirect or a router advertisement."},
    {L3Event::kErrorNotOurs, "error_not_ours",
     "An ICMP error about a packet that isn't UDP from a relay address; probably forged."},
    {L3Event::kErrorAboutError, "error_about_error",
     "No ICMP error is sent about an ICMP error (RFC 1122, 3.2.2; RFC 4443, 2.4)."},
    {L3Event::kUnhandledProtocol, "unhandled_protocol",
     "An IP protocol that the relay does not support; scanners send such packets."},
    {L3Event::kRateLimited, "rate_limited",
     "The source prefix, or all prefixes together, exceeded the rate of ICMP answers."},
    {L3Event::kReplyTooBig, "reply_too_big",
     "The answer would not fit the interface's MTU; ping with a smaller payload."},
};

constexpr bool TableIsInOrder() {
  for (size_t i = 0; i < std::size(kTable); ++i) {
    if (static_cast<size_t>(kTable[i].event) != i) return false;
  }
  return std::size(kTable) == static_cast<size_t>(L3Event::kCount);
}
static_assert(TableIsInOrder(), "every L3Event needs its row, in the order of the enum");

}  // namespace

std::string_view L3EventName(L3Event event) { return kTable[static_cast<size_t>(event)].name; }

std::string_view L3EventMeaning(L3Event event) {
  return kTable[static_cast<size_t>(event)].meaning;
}

}  // namespace sotto::dataplane
