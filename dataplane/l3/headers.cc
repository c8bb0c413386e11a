// SPDX-License-Identifier: Apache-2.0
#include "dataplane/l3/headers.h"

#include <algorithm>
#include <cstring>

#include "relay/base/checksum.h"

namespace sotto::dataplane {
namespace {

constexpr uint16_t kVlanIdMask = 0x0fff;
constexpr uint16_t kDontFragment = 0x4000;
constexpr uint16_t kMoreFragments = 0x2000;
constexpr uint16_t kFragmentOffsetMask = 0x1fff;

// More extension headers than this are somebody's game.
constexpr int kMaxExtensionHeaders = 8;

MacAddress ToMac(std::span<const uint8_t> bytes) {
  MacAddress mac;
  std::copy_n(bytes.begin(), 6, mac.bytes.begin());
  return mac;
}

L3Event ParseIpv4(std::span<const uint8_t> packet, IpPacket& out) {
  if (packet.size() < kIpv4HeaderSize) return L3Event::kMalformedIp;
  const size_t header_size = (packet[0] & 0x0f) * size_t{4};
  const size_t total = LoadBe16(&packet[2]);
  if (header_size < kIpv4HeaderSize || total < header_size || total > packet.size()) {
    return L3Event::kMalformedIp;
  }
  if (ChecksumOf(SumWords(packet.first(header_size))) != 0) {
    return L3Event::kBadIpChecksum;
  }
  const uint16_t flags = LoadBe16(&packet[6]);
  out.source = IpAddress::V4(packet.subspan<12, 4>());
  out.destination = IpAddress::V4(packet.subspan<16, 4>());
  out.protocol = packet[9];
  out.hop_limit = packet[8];
  out.dont_fragment = (flags & kDontFragment) != 0;
  out.more_fragments = (flags & kMoreFragments) != 0;
  out.fragment_offset = static_cast<uint16_t>((flags & kFragmentOffsetMask) * 8);
  out.datagram = packet.first(total);
  out.payload = out.datagram.subspan(header_size);
  return L3Event::kNone;
}

L3Event ParseIpv6(std::span<const uint8_t> packet, IpPacket& out) {
  if (packet.size() < kIpv6HeaderSize) return L3Event::kMalformedIp;
  const size_t total = kIpv6HeaderSize + LoadBe16(&packet[4]);
  if (total > packet.size()) return L3Event::kMalformedIp;
  out.source = IpAddress::V6(packet.subspan<8, 16>());
  out.destination = IpAddress::V6(packet.subspan<24, 16>());
  out.hop_limit = packet[7];
  out.datagram = packet.first(total);

  uint8_t next = packet[6];
  ByteReader reader(out.datagram.subspan(kIpv6HeaderSize));
  for (int headers = 0;; ++headers) {
    const bool is_options = next == kProtocolHopByHop || next == kProtocolRouting ||
                            next == kProtocolDestinationOptions;
    if (!is_options && next != kProtocolFragment) break;
    if (headers == kMaxExtensionHeaders) return L3Event::kMalformedIp;
    uint8_t length = 0;
    const bool is_fragment_header = next == kProtocolFragment;
    if (!reader.ReadU8(next) || !reader.ReadU8(length)) return L3Event::kMalformedIp;
    if (is_fragment_header) {
      uint16_t offset = 0;
      uint32_t id = 0;
      if (out.has_fragment_header || !reader.ReadU16(offset) || !reader.ReadU32(id)) {
        return L3Event::kMalformedIp;
      }
      out.has_fragment_header = true;
      out.fragment_offset = offset & 0xfff8;
      out.more_fragments = (offset & 1) != 0;
      if (out.fragment_offset != 0) break;  // what follows is no header
    } else if (!reader.Skip(length * size_t{8} + 6)) {
      return L3Event::kMalformedIp;
    }
  }
  out.protocol = next;
  out.payload = out.datagram.last(reader.remaining());
  return L3Event::kNone;
}

}  // namespace

std::optional<EthernetFrame> ParseEthernet(std::span<const uint8_t> frame) {
  ByteReader reader(frame);
  std::span<const uint8_t> destination, source;
  EthernetFrame out;
  if (!reader.ReadBytes(6, destination) || !reader.ReadBytes(6, source) ||
      !reader.ReadU16(out.ether_type)) {
    return std::nullopt;
  }
  if (out.ether_type == kEtherTypeVlan) {
    uint16_t tag = 0;
    if (!reader.ReadU16(tag) || !reader.ReadU16(out.ether_type)) return std::nullopt;
    out.vlan = tag & kVlanIdMask;
  }
  out.destination = ToMac(destination);
  out.source = ToMac(source);
  out.payload = frame.subspan(reader.position());
  return out;
}

L3Event ParseIp(std::span<const uint8_t> packet, IpPacket& out) {
  out = {};
  if (packet.empty()) return L3Event::kMalformedIp;
  switch (packet[0] >> 4) {
    case 4:
      return ParseIpv4(packet, out);
    case 6:
      return ParseIpv6(packet, out);
    default:
      return L3Event::kMalformedIp;
  }
}

uint16_t EtherTypeOf(IpFamily family) {
  return family == IpFamily::kV4 ? kEtherTypeIpv4 : kEtherTypeIpv6;
}

bool WriteEthernet(ByteWriter& out, const Interface& from, const MacAddress& to,
                   uint16_t ether_type) {
  out.WriteBytes(to.bytes);
  out.WriteBytes(from.mac.bytes);
  if (from.vlan != 0) {
    out.WriteU16(kEtherTypeVlan);
    out.WriteU16(from.vlan);
  }
  return out.WriteU16(ether_type);
}

bool WriteIp(ByteWriter& out, const IpHeader& header) {
  const size_t start = out.position();
  if (header.source.is_v6()) {
    out.WriteU32(6u << 28);
    out.WriteU16(header.payload_size);
    out.WriteU8(header.protocol);
    out.WriteU8(header.hop_limit);
    out.WriteBytes(header.source.bytes());
    return out.WriteBytes(header.destination.bytes());
  }
  out.WriteU16(4u << 12 | (kIpv4HeaderSize / 4) << 8);
  out.WriteU16(static_cast<uint16_t>(kIpv4HeaderSize + header.payload_size));
  out.WriteU16(header.id);
  out.WriteU16(header.dont_fragment ? kDontFragment : 0);
  out.WriteU8(header.hop_limit);
  out.WriteU8(header.protocol);
  out.WriteU16(0);
  out.WriteBytes(header.source.bytes());
  if (!out.WriteBytes(header.destination.bytes())) return false;
  const std::span<uint8_t> bytes = out.written().subspan(start);
  const uint16_t checksum = ChecksumOf(SumWords(bytes));
  std::memcpy(&bytes[10], &checksum, sizeof(checksum));
  return true;
}

uint64_t PseudoHeaderSum(const IpAddress& source, const IpAddress& destination, uint8_t protocol,
                         uint32_t size) {
  return SumWords(source.bytes()) + SumWords(destination.bytes()) +
         SumWord(static_cast<uint16_t>(size >> 16)) + SumWord(static_cast<uint16_t>(size)) +
         SumWord(protocol);
}

uint16_t IcmpChecksum(const IpAddress& source, const IpAddress& destination,
                      std::span<const uint8_t> message) {
  uint64_t sum = SumWords(message);
  if (source.is_v6()) {
    sum += PseudoHeaderSum(source, destination, kProtocolIcmpv6,
                           static_cast<uint32_t>(message.size()));
  }
  return ChecksumOf(sum);
}

void FinishIcmp(const IpAddress& source, const IpAddress& destination, std::span<uint8_t> message) {
  std::memset(&message[2], 0, 2);
  const uint16_t checksum = IcmpChecksum(source, destination, message);
  std::memcpy(&message[2], &checksum, sizeof(checksum));
}

IpAddress SolicitedNode(const IpAddress& ip) {
  std::array<uint8_t, 16> bytes = {0xff, 0x02, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x01, 0xff};
  std::copy_n(ip.raw().begin() + 13, 3, bytes.begin() + 13);
  return IpAddress::V6(bytes);
}

IpAddress AllNodes() {
  constexpr std::array<uint8_t, 16> kBytes = {0xff, 0x02, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1};
  return IpAddress::V6(kBytes);
}

MacAddress MulticastMac(const IpAddress& group) {
  MacAddress mac{{0x33, 0x33}};
  std::copy_n(group.raw().begin() + 12, 4, mac.bytes.begin() + 2);
  return mac;
}

}  // namespace sotto::dataplane
