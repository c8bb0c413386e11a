// SPDX-License-Identifier: Apache-2.0
// Ethernet, 802.1Q, IPv4 and IPv6 headers, read and written by the control thread's IP layer.
//
//   Ethernet  dst(6) src(6) [0x8100 tci(2)] type(2)
//   IPv4      RFC 791, section 3.1        IPv6  RFC 8200, sections 3 and 4
#pragma once

#include <cstdint>
#include <optional>
#include <span>

#include "dataplane/l3/event.h"
#include "dataplane/l3/interface.h"
#include "relay/base/byte_cursor.h"
#include "relay/base/ip_address.h"

namespace sotto::dataplane {

constexpr size_t kEthernetHeaderSize = 14;
constexpr size_t kVlanTagSize = 4;
constexpr size_t kIpv4HeaderSize = 20;  // without options
constexpr size_t kIpv6HeaderSize = 40;
constexpr size_t kUdpHeaderSize = 8;
constexpr size_t kIcmpHeaderSize = 8;

constexpr uint16_t kEtherTypeIpv4 = 0x0800;
constexpr uint16_t kEtherTypeArp = 0x0806;
constexpr uint16_t kEtherTypeVlan = 0x8100;
constexpr uint16_t kEtherTypeIpv6 = 0x86dd;

constexpr uint8_t kProtocolHopByHop = 0;
constexpr uint8_t kProtocolIcmp = 1;
constexpr uint8_t kProtocolUdp = 17;
constexpr uint8_t kProtocolRouting = 43;
constexpr uint8_t kProtocolFragment = 44;
constexpr uint8_t kProtocolIcmpv6 = 58;
constexpr uint8_t kProtocolDestinationOptions = 60;

constexpr uint8_t kDefaultTtl = 64;

struct EthernetFrame {
  MacAddress destination;
  MacAddress source;
  uint16_t vlan = 0;                 // 0: untagged or priority tagged
  uint16_t ether_type = 0;           // behind the tag
  std::span<const uint8_t> payload;  // views the frame; may have Ethernet padding behind it
};

// Nothing if the header is cut off. One 802.1Q tag is understood.
std::optional<EthernetFrame> ParseEthernet(std::span<const uint8_t> frame);

struct IpPacket {
  IpAddress source;
  IpAddress destination;
  uint8_t protocol = 0;   // of the payload: IPv6 extension headers are walked over
  uint8_t hop_limit = 0;  // IPv4: TTL
  bool dont_fragment = false;
  bool more_fragments = false;
  bool has_fragment_header = false;  // IPv6
  uint16_t fragment_offset = 0;      // bytes
  // Both view the packet that was parsed, trimmed to the length that the header gives.
  std::span<const uint8_t> datagram;
  std::span<const uint8_t> payload;

  bool is_fragment() const { return more_fragments || fragment_offset != 0; }
};

// Parses an IPv4 or IPv6 packet, by its version. kNone: `out` is filled in; else kMalformedIp or
// kBadIpChecksum. Behind the first fragment's header lies what its extension headers lead to;
// behind a later fragment's header lies `payload`, whatever it is.
L3Event ParseIp(std::span<const uint8_t> packet, IpPacket& out);

struct IpHeader {
  IpAddress source;
  IpAddress destination;  // of the same family
  uint8_t protocol = 0;
  uint8_t hop_limit = kDefaultTtl;
  uint16_t payload_size = 0;
  bool dont_fragment = false;  // IPv4
  uint16_t id = 0;             // IPv4; of no meaning with dont_fragment (RFC 6864, section 4.1)
};

constexpr size_t IpHeaderSize(IpFamily family) {
  return family == IpFamily::kV4 ? kIpv4HeaderSize : kIpv6HeaderSize;
}
inline size_t EthernetSize(const Interface& interface) {
  return kEthernetHeaderSize + (interface.vlan != 0 ? kVlanTagSize : 0);
}

bool WriteEthernet(ByteWriter& out, const Interface& from, const MacAddress& to,
                   uint16_t ether_type);
bool WriteIp(ByteWriter& out, const IpHeader& header);
uint16_t EtherTypeOf(IpFamily family);

// A sum over a pseudo-header (RFC 768; RFC 8200, section 8.1), in memory order as in
// relay/wire/checksum.h.
uint64_t PseudoHeaderSum(const IpAddress& source, const IpAddress& destination, uint8_t protocol,
                         uint32_t size);

// The checksum field, in memory order, of an ICMP or ICMPv6 message whose field is zero; over a
// message with its field in place the result is zero if the field is right.
uint16_t IcmpChecksum(const IpAddress& source, const IpAddress& destination,
                      std::span<const uint8_t> message);
// Computes and stores it: the field is the message's third and fourth byte.
void FinishIcmp(const IpAddress& source, const IpAddress& destination, std::span<uint8_t> message);

// ff02::1:ffXX:XXXX (RFC 4291, section 2.7.1).
IpAddress SolicitedNode(const IpAddress& ip);
IpAddress AllNodes();                             // ff02::1
MacAddress MulticastMac(const IpAddress& group);  // IPv6 (RFC 2464, section 7)

}  // namespace sotto::dataplane
