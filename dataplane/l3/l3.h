// SPDX-License-Identifier: Apache-2.0
// The relay's own IP layer: everything that workers hand to control because it isn't media. It
// answers for the relay's addresses, keeps its next hops resolved, and turns ICMP errors about
// relayed traffic into reports for the TURN server.
//
// Frames are byte spans and the time is passed in, so it needs neither DPDK nor a clock. Control
// thread only, but for the NextHopTable that it writes and workers read.
#pragma once

#include <cstdint>
#include <functional>
#include <span>

#include "dataplane/l3/event.h"
#include "dataplane/l3/frame_sender.h"
#include "dataplane/l3/icmp.h"
#include "dataplane/l3/interface.h"
#include "dataplane/l3/neighbors.h"
#include "dataplane/l3/next_hop.h"

namespace sotto::dataplane {

struct L3Options {
  NeighborOptions neighbors;
  IcmpOptions icmp;
};

class L3 {
 public:
  // `interfaces`, `next_hops` and `sender` must outlive it. `on_icmp_report` is called from
  // Handle().
  L3(const InterfaceTable& interfaces, NextHopTable& next_hops, FrameSender& sender,
     const L3Options& options, std::function<void(const IcmpReport&)> on_icmp_report);

  // A frame that arrived on the interface (InterfaceTable::FindPort): ARP, ICMP or ICMPv6; anything
  // else is counted and dropped. Ethernet padding behind the packet is ignored.
  L3Event Handle(InterfaceId interface, std::span<const uint8_t> frame, uint64_t now_ms);

  // Reports that a frame, as it was received, is too big (Icmp::SendTooBig). Answers nothing that
  // must not be answered (RFC 1122, section 3.2.2; RFC 4443, section 2.4), so call it for any
  // packet.
  L3Event PacketTooBig(InterfaceId interface, std::span<const uint8_t> frame, uint16_t mtu,
                       uint64_t now_ms);

  // Calls Neighbors::Tick().
  void Tick(uint64_t now_ms, uint32_t budget = 256) { neighbors_.Tick(now_ms, budget); }

  Neighbors& neighbors() { return neighbors_; }
  const Neighbors& neighbors() const { return neighbors_; }
  // One for each L3Event, by its number.
  const L3Counters& counters() const { return counters_; }

 private:
  L3Event Dispatch(InterfaceId interface, std::span<const uint8_t> bytes, uint64_t now_ms);
  L3Event Count(L3Event event);

  const InterfaceTable& interfaces_;
  Neighbors neighbors_;
  Icmp icmp_;
  std::function<void(const IcmpReport&)> on_icmp_report_;
  L3Counters counters_ = {};
};

}  // namespace sotto::dataplane
