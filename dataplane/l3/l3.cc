// SPDX-License-Identifier: Apache-2.0
#include "dataplane/l3/l3.h"

#include <optional>
#include <utility>

#include "dataplane/l3/headers.h"
#include "dataplane/l3/neighbor_messages.h"

namespace sotto::dataplane {

L3::L3(const InterfaceTable& interfaces, NextHopTable& next_hops, FrameSender& sender,
       const L3Options& options, std::function<void(const IcmpReport&)> on_icmp_report)
    : interfaces_(interfaces),
      neighbors_(interfaces, next_hops, sender, options.neighbors),
      icmp_(interfaces, sender, options.icmp),
      on_icmp_report_(std::move(on_icmp_report)) {}

L3Event L3::Handle(InterfaceId interface, std::span<const uint8_t> frame, uint64_t now_ms) {
  return Count(Dispatch(interface, frame, now_ms));
}

L3Event L3::PacketTooBig(InterfaceId interface, std::span<const uint8_t> frame, uint16_t mtu,
                         uint64_t now_ms) {
  return Count(icmp_.SendTooBig(interface, frame, mtu, now_ms));
}

L3Event L3::Count(L3Event event) {
  ++counters_[static_cast<size_t>(event)];
  return event;
}

L3Event L3::Dispatch(InterfaceId interface, std::span<const uint8_t> bytes, uint64_t now_ms) {
  const std::optional<EthernetFrame> frame = ParseEthernet(bytes);
  if (!frame) return L3Event::kMalformedFrame;
  if (frame->ether_type == kEtherTypeArp) return neighbors_.HandleArp(interface, *frame);
  if (frame->ether_type != kEtherTypeIpv4 && frame->ether_type != kEtherTypeIpv6) {
    return L3Event::kUnknownEtherType;
  }
  IpPacket packet;
  const L3Event malformed = ParseIp(frame->payload, packet);
  if (malformed != L3Event::kNone) return malformed;
  if (EtherTypeOf(packet.source.family()) != frame->ether_type) return L3Event::kMalformedIp;
  if (!frame->destination.is_multicast() && frame->destination != interfaces_.at(interface).mac) {
    return L3Event::kNotForUs;
  }
  if (packet.source.is_v6() && packet.protocol == kProtocolIcmpv6 && !packet.is_fragment() &&
      !packet.payload.empty()) {
    switch (packet.payload[0]) {
      case kListenerQuery:
        return neighbors_.HandleListenerQuery(interface, packet);
      case kNeighborSolicitation:
        return neighbors_.HandleSolicitation(interface, *frame, packet);
      case kNeighborAdvertisement:
        return neighbors_.HandleAdvertisement(interface, *frame, packet);
      default:
        break;
    }
  }
  std::optional<IcmpReport> report;
  const L3Event event = icmp_.Handle(interface, *frame, packet, now_ms, report);
  if (report) on_icmp_report_(*report);
  return event;
}

}  // namespace sotto::dataplane
