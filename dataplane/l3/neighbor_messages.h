// SPDX-License-Identifier: Apache-2.0
// The messages by which neighbors find each other: ARP (RFC 826), neighbor solicitation and
// advertisement (RFC 4861, sections 4.3 and 4.4), and the listener reports (MLDv2, RFC 3810) that
// make switches deliver solicitations.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>

#include "dataplane/l3/event.h"
#include "dataplane/l3/headers.h"
#include "dataplane/l3/interface.h"
#include "relay/base/ip_address.h"

namespace sotto::dataplane {

constexpr uint8_t kListenerQuery = 130;
constexpr uint8_t kNeighborSolicitation = 135;
constexpr uint8_t kNeighborAdvertisement = 136;
constexpr uint8_t kListenerReportV2 = 143;

constexpr uint16_t kArpRequest = 1;
constexpr uint16_t kArpReply = 2;

struct ArpMessage {
  uint16_t operation = 0;  // kArpRequest or kArpReply
  MacAddress sender_mac;
  IpAddress sender_ip;  // 0.0.0.0: an address probe (RFC 5227)
  MacAddress target_mac;
  IpAddress target_ip;
};

// Nothing if it isn't an Ethernet/IPv4 request or reply from a station with an address of its own.
std::optional<ArpMessage> ParseArp(std::span<const uint8_t> payload);

struct NeighborMessage {
  IpAddress target;
  bool solicited = false;  // advertisements
  bool override = false;
  // Source link-layer address of a solicitation, target link-layer address of an advertisement.
  std::optional<MacAddress> link_layer;
};

// kNone: the message passes every check of RFC 4861, section 7.1 (and RFC 6980: no fragments), and
// `out` is filled in. kMalformedNeighborMessage, kBadIcmpChecksum.
L3Event ParseSolicitation(const IpPacket& packet, NeighborMessage& out);
L3Event ParseAdvertisement(const IpPacket& packet, NeighborMessage& out);

// A frame of bounded size.
class SmallFrame {
 public:
  std::span<const uint8_t> bytes() const { return {bytes_.data(), size_}; }
  std::span<uint8_t> room() { return bytes_; }
  void set_size(size_t size) { size_ = size; }

 private:
  std::array<uint8_t, 1280> bytes_;
  size_t size_ = 0;
};

SmallFrame BuildArp(const Interface& from, const MacAddress& to, const ArpMessage& message);
// Asks `to` (unicast), or the target's solicited-node group if `to` is null.
SmallFrame BuildSolicitation(const Interface& from, const IpAddress& source,
                             const IpAddress& target, const MacAddress* to);
// Override is set, and the target link-layer address given. Solicited unless `destination` is a
// group.
SmallFrame BuildAdvertisement(const Interface& from, const MacAddress& to, const IpAddress& target,
                              const IpAddress& destination);

constexpr size_t kMaxGroupsPerReport = 50;
// RFC 3810, section 5.2: "listens to these groups, whatever the source"; `joining` for a change of
// state, else the answer to a query. The source is unspecified, as the relay has no link-local
// address: switches that snoop go by it (RFC 4541, section 2.1.1), and routers don't need it.
SmallFrame BuildListenerReport(const Interface& from, std::span<const IpAddress> groups,
                               bool joining);

}  // namespace sotto::dataplane
