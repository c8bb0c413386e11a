// SPDX-License-Identifier: Apache-2.0
// ICMP (RFC 792, RFC 1122) and ICMPv6 (RFC 4443) for the relay's own addresses: echo replies,
// errors about packets that are too big to be relayed, and what errors from the network say about
// relayed traffic.
//
// Every answer goes back to the station that sent the frame, so none needs a next hop, and every
// one is rate-limited for each source prefix and over all. Control thread only.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "dataplane/l3/event.h"
#include "dataplane/l3/frame_sender.h"
#include "dataplane/l3/interface.h"
#include "relay/base/ip_address.h"
#include "relay/base/source_budget.h"
#include "relay/forwarding.h"

namespace sotto::dataplane {

struct EthernetFrame;  // dataplane/l3/headers.h
struct IpPacket;

// An ICMP error about a UDP datagram that the relay sent (RFC 8656, section 11.5).
struct IcmpReport {
  TransportAddress relayed;  // the datagram's source: an address of the relay
  TransportAddress peer;     // the datagram's destination
  IpAddress reporter;        // who says so
  relay::IcmpError error;    // RFC 8656, section 18.13: `data` is the MTU, or zero
};

struct IcmpOptions {
  // Messages a second and their bursts, for each source prefix (IPv4 /24, IPv6 /56), and over all.
  uint32_t echo_rate = 200;
  uint32_t echo_burst = 400;
  uint32_t echo_total_rate = 10'000;
  uint32_t error_rate = 20;  // errors sent
  uint32_t error_burst = 40;
  uint32_t error_total_rate = 1'000;
  uint32_t report_rate = 100;  // errors received
  uint32_t report_burst = 200;
  uint64_t secret = 0;  // random: keys the budgets and the IP ids
};

class Icmp {
 public:
  // `interfaces` and `sender` must outlive it.
  Icmp(const InterfaceTable& interfaces, FrameSender& sender, const IcmpOptions& options);

  // An echo request, or any other message to the relay that isn't a neighbor message. An error
  // about a datagram of the relay is returned through `report`, with kErrorReported.
  L3Event Handle(InterfaceId interface, const EthernetFrame& frame, const IpPacket& packet,
                 uint64_t now_ms, std::optional<IcmpReport>& report);

  // Tells the sender of `frame`, as it was received, the largest packet (bytes of IP) that could be
  // relayed: Fragmentation Needed (RFC 1191) or Packet Too Big. The MTU is raised to what the
  // family demands of every link (68, 1280).
  L3Event SendTooBig(InterfaceId interface, std::span<const uint8_t> frame, uint16_t mtu,
                     uint64_t now_ms);

 private:
  L3Event AnswerEcho(InterfaceId interface, const EthernetFrame& frame, const IpPacket& packet,
                     uint64_t now_ms);
  L3Event ReadError(const IpPacket& packet, uint64_t now_ms, std::optional<IcmpReport>& report);
  // Sends a message made of `head` and `body` in answer to `packet`, which came from station `to`.
  void Answer(InterfaceId interface, const MacAddress& to, const IpPacket& packet,
              std::span<const uint8_t> head, std::span<const uint8_t> body);
  // Why the sender of a packet to the relay mustn't be answered, or kNone.
  L3Event CheckAnswerable(InterfaceId interface, const EthernetFrame& frame,
                          const IpPacket& packet) const;
  uint16_t NextIpId();

  const InterfaceTable& interfaces_;
  FrameSender& sender_;
  SourceBudget echo_budget_;
  SourceBudget echo_total_;
  SourceBudget error_budget_;
  SourceBudget error_total_;
  SourceBudget report_budget_;
  uint64_t ip_id_state_;
  std::vector<uint8_t> frame_;  // where a frame is built
};

}  // namespace sotto::dataplane
