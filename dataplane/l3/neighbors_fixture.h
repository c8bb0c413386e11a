// SPDX-License-Identifier: Apache-2.0
// A relay's Neighbors on a link where a test plays the stations.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <optional>
#include <utility>
#include <vector>

#include "dataplane/l3/neighbors.h"
#include "dataplane/l3/test_support.h"

namespace sotto::dataplane::testing {

using Sent = RecordingSender::Sent;

inline constexpr const char* kPeerV4 = "192.0.2.77";
inline constexpr const char* kPeerV6 = "2001:db8::77";

// A station on interface 0, speaking ARP and neighbor discovery, with hostile variations.
class NeighborsFixture : public ::testing::Test {
 protected:
  explicit NeighborsFixture(uint32_t capacity = 64, NeighborOptions options = {})
      : next_hops_(capacity), neighbors_(interfaces_, next_hops_, sender_, options) {}

  // Resolves the gateways, so that they don't get in the way.
  void SetUp() override {
    Tick(1000);
    Arp(kArpReply, kOtherMac, "192.0.2.1", "192.0.2.10");
    Advertise(kOtherMac, "fe80::1", "2001:db8::10", true, true);
    sender_.Take();
    gateway_solicitations_ = neighbors_.counters().solicitations;
  }

  void Tick(uint64_t now_ms) {
    now_ms_ = now_ms;
    neighbors_.Tick(now_ms);
  }
  // Time passes in small steps; returns what was sent meanwhile, but for what concerns gateways.
  std::vector<Sent> Pass(uint64_t ms) {
    sender_.Take();
    for (const uint64_t end = now_ms_ + ms; now_ms_ < end;) Tick(now_ms_ + 10);
    std::vector<Sent> sent;
    for (Sent& one : sender_.Take()) {
      const Bytes& f = one.frame;
      const bool gateway = (f.size() == 42 && f[41] == 1) || TargetV6(f) == Ip("fe80::1");
      if (!gateway) sent.push_back(std::move(one));
    }
    return sent;
  }

  static std::optional<IpAddress> TargetV6(const Bytes& frame) {
    if (frame.size() < 78 || frame[20] != kProtocolIcmpv6) return std::nullopt;
    return IpAddress::V6(std::span<const uint8_t, 16>(&frame[62], 16));
  }

  static Bytes ArpFrame(uint16_t operation, const MacAddress& sender, const char* sender_ip,
                        const char* target_ip, const MacAddress& to) {
    return ToBytes(BuildArp(Station(sender), to,
                            {.operation = operation,
                             .sender_mac = sender,
                             .sender_ip = Ip(sender_ip),
                             .target_mac = {},
                             .target_ip = Ip(target_ip)}));
  }
  L3Event Arp(uint16_t operation, const MacAddress& sender, const char* sender_ip,
              const char* target_ip, std::optional<MacAddress> to = std::nullopt) {
    const MacAddress destination =
        to.value_or(operation == kArpReply ? kRelayMac : MacAddress::Broadcast());
    const Bytes frame = ArpFrame(operation, sender, sender_ip, target_ip, destination);
    return neighbors_.HandleArp(0, *ParseEthernet(frame));
  }

  // An advertisement with flags as said; `link_layer` false: without the option.
  L3Event Advertise(const MacAddress& sender, const char* target, const char* destination,
                    bool solicited, bool override, bool link_layer = true) {
    Bytes body(16);
    std::ranges::copy(Ip(target).bytes(), body.begin());
    if (link_layer) {
      body.insert(body.end(), {2, 1});
      body.insert(body.end(), sender.bytes.begin(), sender.bytes.end());
    }
    const uint32_t flags = (solicited ? 1u << 30 : 0) | (override ? 1u << 29 : 0);
    const Bytes message =
        IcmpOf(Ip(target), Ip(destination), kNeighborAdvertisement, 0, flags, body);
    return HandleNd(sender, Ip(target), Ip(destination), message);
  }
  L3Event HandleNd(const MacAddress& sender, const IpAddress& source, const IpAddress& destination,
                   const Bytes& message, uint8_t hop_limit = 255) {
    const Bytes frame = IpFrame(
        Station(sender), IsMulticast(destination) ? MulticastMac(destination) : kRelayMac,
        {.source = source, .destination = destination, .protocol = 58, .hop_limit = hop_limit},
        message);
    return HandleNdFrame(frame);
  }
  L3Event HandleNdFrame(const Bytes& frame) {
    const EthernetFrame ethernet = *ParseEthernet(frame);
    IpPacket packet;
    const L3Event event = ParseIp(ethernet.payload, packet);
    if (event != L3Event::kNone) return event;
    if (packet.payload.empty()) return L3Event::kMalformedIcmp;
    return packet.payload[0] == kNeighborSolicitation
               ? neighbors_.HandleSolicitation(0, ethernet, packet)
               : neighbors_.HandleAdvertisement(0, ethernet, packet);
  }
  static Bytes SolicitationFrame(const MacAddress& sender, const char* source, const char* target) {
    return ToBytes(BuildSolicitation(Station(sender), Ip(source), Ip(target), nullptr));
  }

  NeighborInfo Info(NextHopId id) {
    NeighborInfo found;
    neighbors_.ForEach([&](const NeighborInfo& info) {
      if (info.id == id) found = info;
    });
    return found;
  }
  NeighborState State(NextHopId id) { return Info(id).state; }
  MacAddress WorkerSees(NextHopId id) {
    const NextHopTable::Hop hop = next_hops_.Read(id);
    return hop.resolved() ? hop.mac() : MacAddress{};
  }
  NextHopId Resolved(const char* ip) {
    const NextHopId id = *neighbors_.Acquire(Ip(ip));
    if (Ip(ip).is_v4()) {
      Arp(kArpReply, kPeerMac, ip, "192.0.2.10");
    } else {
      Advertise(kPeerMac, ip, "2001:db8::10", true, true);
    }
    sender_.Take();
    return id;
  }
  bool IsUnicastTo(const Sent& sent, const MacAddress& mac) {
    return ParseEthernet(sent.frame)->destination == mac;
  }

  InterfaceTable interfaces_ = TwoInterfaces();
  RecordingSender sender_;
  NextHopTable next_hops_;
  Neighbors neighbors_;
  uint64_t now_ms_ = 0;
  uint64_t gateway_solicitations_ = 0;
};

}  // namespace sotto::dataplane::testing
