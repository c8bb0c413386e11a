// SPDX-License-Identifier: Apache-2.0
// What the tests of this folder share: a link to speak on, and packets as others would make them.
#pragma once

#include <cstdint>
#include <cstring>
#include <span>
#include <string_view>
#include <vector>

#include "dataplane/l3/frame_sender.h"
#include "dataplane/l3/headers.h"
#include "dataplane/l3/interface.h"
#include "dataplane/l3/neighbor_messages.h"
#include "relay/base/byte_cursor.h"
#include "relay/base/checksum.h"

namespace sotto::dataplane::testing {

using Bytes = std::vector<uint8_t>;

class RecordingSender : public FrameSender {
 public:
  struct Sent {
    InterfaceId interface;
    Bytes frame;
  };
  void SendFrame(InterfaceId interface, std::span<const uint8_t> frame) override {
    sent.push_back({interface, Bytes(frame.begin(), frame.end())});
  }
  std::vector<Sent> Take() { return std::exchange(sent, {}); }

  std::vector<Sent> sent;
};

inline IpAddress Ip(std::string_view text) { return *IpAddress::Parse(text); }
inline IpPrefix Prefix(std::string_view text) { return *IpPrefix::Parse(text); }
inline MacAddress Mac(std::string_view text) { return *MacAddress::Parse(text); }

inline const MacAddress kRelayMac{{0x02, 0, 0, 0, 0, 0x01}};
inline const MacAddress kVlanMac{{0x02, 0, 0, 0, 0, 0x02}};
inline const MacAddress kPeerMac{{0x02, 0, 0, 0, 0, 0xaa}};
inline const MacAddress kOtherMac{{0x02, 0, 0, 0, 0, 0xbb}};

// Interface 0: untagged, both families, gateways of both (the IPv6 one link-local).
// Interface 1: VLAN 7 of the same port, both families.
inline InterfaceTable TwoInterfaces() {
  Interface first{.name = "port0",
                  .port = 0,
                  .vlan = 0,
                  .mac = kRelayMac,
                  .mtu = 1500,
                  .addresses = {{Ip("192.0.2.10"), Prefix("192.0.2.0/24")},
                                {Ip("2001:db8::10"), Prefix("2001:db8::/64")}},
                  .gateways = {Ip("192.0.2.1"), Ip("fe80::1")}};
  Interface second{.name = "port0.7",
                   .port = 0,
                   .vlan = 7,
                   .mac = kVlanMac,
                   .mtu = 1400,
                   .addresses = {{Ip("198.51.100.1"), Prefix("198.51.100.0/25")},
                                 {Ip("2001:db8:7::1"), Prefix("2001:db8:7::/64")}},
                   .gateways = {}};
  return *InterfaceTable::Create({first, second});
}

// A station on the link: its frames are written by the same writers, from its own "interface".
inline Interface Station(const MacAddress& mac, uint16_t vlan = 0) {
  return {.name = "station",
          .port = 0,
          .vlan = vlan,
          .mac = mac,
          .mtu = 9000,
          .addresses = {},
          .gateways = {}};
}

inline Bytes ToBytes(const SmallFrame& frame) {
  return Bytes(frame.bytes().begin(), frame.bytes().end());
}

inline Bytes EthernetOf(const Interface& from, const MacAddress& to, uint16_t ether_type,
                        std::span<const uint8_t> payload) {
  Bytes frame(EthernetSize(from) + payload.size());
  ByteWriter out(frame);
  WriteEthernet(out, from, to, ether_type);
  out.WriteBytes(payload);
  return frame;
}

inline Bytes IpOf(IpHeader header, std::span<const uint8_t> payload) {
  header.payload_size = static_cast<uint16_t>(payload.size());
  Bytes packet(IpHeaderSize(header.source.family()) + payload.size());
  ByteWriter out(packet);
  WriteIp(out, header);
  out.WriteBytes(payload);
  return packet;
}

inline Bytes IpFrame(const Interface& from, const MacAddress& to, const IpHeader& header,
                     std::span<const uint8_t> payload) {
  return EthernetOf(from, to, EtherTypeOf(header.source.family()), IpOf(header, payload));
}

// An ICMP or ICMPv6 message with its checksum right.
inline Bytes IcmpOf(const IpAddress& source, const IpAddress& destination, uint8_t type,
                    uint8_t code, uint32_t data, std::span<const uint8_t> body) {
  Bytes message(kIcmpHeaderSize + body.size());
  ByteWriter out(message);
  out.WriteU8(type);
  out.WriteU8(code);
  out.WriteU16(0);
  out.WriteU32(data);
  out.WriteBytes(body);
  FinishIcmp(source, destination, message);
  return message;
}

inline Bytes UdpOf(const IpAddress& source, uint16_t source_port, const IpAddress& destination,
                   uint16_t destination_port, std::span<const uint8_t> data) {
  Bytes datagram(kUdpHeaderSize + data.size());
  ByteWriter out(datagram);
  out.WriteU16(source_port);
  out.WriteU16(destination_port);
  out.WriteU16(static_cast<uint16_t>(datagram.size()));
  out.WriteU16(0);
  out.WriteBytes(data);
  const uint64_t sum =
      PseudoHeaderSum(source, destination, kProtocolUdp, static_cast<uint32_t>(datagram.size())) +
      SumWords(datagram);
  const uint16_t checksum = UdpChecksumField(ChecksumOf(sum));
  std::memcpy(&datagram[6], &checksum, sizeof(checksum));
  return datagram;
}

// The IPv4 header checksum of a frame whose header was changed.
inline void FixIpv4Checksum(Bytes& frame, size_t ip_offset = kEthernetHeaderSize) {
  const size_t size = (frame[ip_offset] & 0x0f) * size_t{4};
  frame[ip_offset + 10] = frame[ip_offset + 11] = 0;
  const uint16_t checksum = ChecksumOf(SumWords(&frame[ip_offset], size));
  std::memcpy(&frame[ip_offset + 10], &checksum, sizeof(checksum));
}

}  // namespace sotto::dataplane::testing
