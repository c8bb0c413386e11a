// SPDX-License-Identifier: Apache-2.0
#include "dataplane/l3/neighbor_messages.h"

#include <algorithm>

#include "relay/base/byte_cursor.h"

namespace sotto::dataplane {
namespace {

constexpr uint16_t kHardwareEthernet = 1;
constexpr uint8_t kNeighborHopLimit = 255;
constexpr uint8_t kSourceLinkLayer = 1;
constexpr uint8_t kTargetLinkLayer = 2;
constexpr size_t kNeighborMessageSize = 24;
constexpr size_t kLinkLayerOptionSize = 8;
constexpr uint32_t kSolicitedFlag = 1u << 30;
constexpr uint32_t kOverrideFlag = 1u << 29;
constexpr uint8_t kModeIsExclude = 2;
constexpr uint8_t kChangeToExclude = 4;
constexpr size_t kGroupRecordSize = 20;
constexpr size_t kRouterAlertSize = 8;

MacAddress ToMac(std::span<const uint8_t> bytes) {
  MacAddress mac;
  std::copy_n(bytes.begin(), 6, mac.bytes.begin());
  return mac;
}

bool ReadMac(ByteReader& reader, MacAddress& out) {
  std::span<const uint8_t> bytes;
  if (!reader.ReadBytes(6, bytes)) return false;
  out = ToMac(bytes);
  return true;
}

bool ReadIpv4(ByteReader& reader, IpAddress& out) {
  std::span<const uint8_t> bytes;
  if (!reader.ReadBytes(4, bytes)) return false;
  out = IpAddress::V4(bytes.first<4>());
  return true;
}

// Reads what both messages have in common. `type` is the option that carries a MAC address.
L3Event ParseNeighborMessage(const IpPacket& packet, uint8_t type, NeighborMessage& out,
                             uint32_t& flags) {
  constexpr L3Event kBad = L3Event::kMalformedNeighborMessage;
  out = {};
  if (packet.hop_limit != kNeighborHopLimit || packet.has_fragment_header ||
      packet.payload.size() < kNeighborMessageSize) {
    return kBad;
  }
  if (IcmpChecksum(packet.source, packet.destination, packet.payload) != 0) {
    return L3Event::kBadIcmpChecksum;
  }
  ByteReader reader(packet.payload);
  uint8_t icmp_type = 0, code = 0;
  std::span<const uint8_t> target;
  reader.ReadU8(icmp_type);
  reader.ReadU8(code);
  reader.Skip(2);
  reader.ReadU32(flags);
  if (!reader.ReadBytes(16, target) || code != 0) return kBad;
  out.target = IpAddress::V6(target.first<16>());
  if (IsMulticast(out.target)) return kBad;
  while (reader.remaining() > 0) {
    uint8_t option = 0, units = 0;
    std::span<const uint8_t> body;
    if (!reader.ReadU8(option) || !reader.ReadU8(units) || units == 0 ||
        !reader.ReadBytes(units * size_t{8} - 2, body)) {
      return kBad;
    }
    if (option != type) continue;
    // RFC 2464, section 6: one unit on Ethernet.
    if (units != 1 || !ToMac(body).is_station()) return kBad;
    out.link_layer = ToMac(body);
  }
  return L3Event::kNone;
}

// Writes the headers of an ICMPv6 message of `size` bytes and returns where it begins.
size_t WriteIcmpv6Headers(ByteWriter& out, const Interface& from, const MacAddress& to,
                          const IpAddress& source, const IpAddress& destination, size_t size) {
  WriteEthernet(out, from, to, kEtherTypeIpv6);
  WriteIp(out, {.source = source,
                .destination = destination,
                .protocol = kProtocolIcmpv6,
                .hop_limit = kNeighborHopLimit,
                .payload_size = static_cast<uint16_t>(size)});
  return out.position();
}

void WriteLinkLayerOption(ByteWriter& out, uint8_t type, const MacAddress& mac) {
  out.WriteU8(type);
  out.WriteU8(1);
  out.WriteBytes(mac.bytes);
}

}  // namespace

std::optional<ArpMessage> ParseArp(std::span<const uint8_t> payload) {
  ByteReader reader(payload);
  uint16_t hardware = 0, protocol = 0;
  uint8_t hardware_size = 0, protocol_size = 0;
  ArpMessage message;
  reader.ReadU16(hardware);
  reader.ReadU16(protocol);
  reader.ReadU8(hardware_size);
  reader.ReadU8(protocol_size);
  reader.ReadU16(message.operation);
  ReadMac(reader, message.sender_mac);
  ReadIpv4(reader, message.sender_ip);
  ReadMac(reader, message.target_mac);
  if (!ReadIpv4(reader, message.target_ip)) return std::nullopt;
  if (hardware != kHardwareEthernet || protocol != kEtherTypeIpv4 || hardware_size != 6 ||
      protocol_size != 4 || !message.sender_mac.is_station() ||
      (message.operation != kArpRequest && message.operation != kArpReply)) {
    return std::nullopt;
  }
  const bool probe =
      message.operation == kArpRequest && message.sender_ip == IpAddress::V4(0, 0, 0, 0);
  if (!probe && (IsUnspecified(message.sender_ip) || IsLoopback(message.sender_ip) ||
                 message.sender_ip.bytes()[0] >= 224)) {
    return std::nullopt;
  }
  return message;
}

L3Event ParseSolicitation(const IpPacket& packet, NeighborMessage& out) {
  uint32_t flags = 0;
  const L3Event event = ParseNeighborMessage(packet, kSourceLinkLayer, out, flags);
  if (event != L3Event::kNone) return event;
  // Duplicate address detection (RFC 4862, section 5.4.2).
  if (IsUnspecified(packet.source) &&
      (out.link_layer || packet.destination != SolicitedNode(out.target))) {
    return L3Event::kMalformedNeighborMessage;
  }
  return L3Event::kNone;
}

L3Event ParseAdvertisement(const IpPacket& packet, NeighborMessage& out) {
  uint32_t flags = 0;
  const L3Event event = ParseNeighborMessage(packet, kTargetLinkLayer, out, flags);
  if (event != L3Event::kNone) return event;
  out.solicited = (flags & kSolicitedFlag) != 0;
  out.override = (flags & kOverrideFlag) != 0;
  if (out.solicited && IsMulticast(packet.destination)) {
    return L3Event::kMalformedNeighborMessage;
  }
  return L3Event::kNone;
}

SmallFrame BuildArp(const Interface& from, const MacAddress& to, const ArpMessage& message) {
  SmallFrame frame;
  ByteWriter out(frame.room());
  WriteEthernet(out, from, to, kEtherTypeArp);
  out.WriteU16(kHardwareEthernet);
  out.WriteU16(kEtherTypeIpv4);
  out.WriteU8(6);
  out.WriteU8(4);
  out.WriteU16(message.operation);
  out.WriteBytes(message.sender_mac.bytes);
  out.WriteBytes(message.sender_ip.bytes());
  out.WriteBytes(message.target_mac.bytes);
  out.WriteBytes(message.target_ip.bytes());
  frame.set_size(out.position());
  return frame;
}

SmallFrame BuildSolicitation(const Interface& from, const IpAddress& source,
                             const IpAddress& target, const MacAddress* to) {
  const IpAddress destination = to != nullptr ? target : SolicitedNode(target);
  SmallFrame frame;
  ByteWriter out(frame.room());
  const size_t start =
      WriteIcmpv6Headers(out, from, to != nullptr ? *to : MulticastMac(destination), source,
                         destination, kNeighborMessageSize + kLinkLayerOptionSize);
  out.WriteU8(kNeighborSolicitation);
  out.WriteZeros(7);
  out.WriteBytes(target.bytes());
  WriteLinkLayerOption(out, kSourceLinkLayer, from.mac);
  FinishIcmp(source, destination, out.written().subspan(start));
  frame.set_size(out.position());
  return frame;
}

SmallFrame BuildAdvertisement(const Interface& from, const MacAddress& to, const IpAddress& target,
                              const IpAddress& destination) {
  SmallFrame frame;
  ByteWriter out(frame.room());
  const size_t start = WriteIcmpv6Headers(out, from, to, target, destination,
                                          kNeighborMessageSize + kLinkLayerOptionSize);
  out.WriteU8(kNeighborAdvertisement);
  out.WriteZeros(3);
  out.WriteU32(kOverrideFlag | (IsMulticast(destination) ? 0 : kSolicitedFlag));
  out.WriteBytes(target.bytes());
  WriteLinkLayerOption(out, kTargetLinkLayer, from.mac);
  FinishIcmp(target, destination, out.written().subspan(start));
  frame.set_size(out.position());
  return frame;
}

SmallFrame BuildListenerReport(const Interface& from, std::span<const IpAddress> groups,
                               bool joining) {
  constexpr std::array<uint8_t, 16> kAllMldv2Routers = {0xff, 0x02, 0, 0, 0, 0, 0, 0,
                                                        0,    0,    0, 0, 0, 0, 0, 0x16};
  const IpAddress source = IpAddress::V6(std::array<uint8_t, 16>{});
  const IpAddress destination = IpAddress::V6(kAllMldv2Routers);
  groups = groups.first(std::min(groups.size(), kMaxGroupsPerReport));
  SmallFrame frame;
  ByteWriter out(frame.room());
  WriteEthernet(out, from, MulticastMac(destination), kEtherTypeIpv6);
  WriteIp(out, {.source = source,
                .destination = destination,
                .protocol = kProtocolHopByHop,
                .hop_limit = 1,
                .payload_size = static_cast<uint16_t>(kRouterAlertSize + kIcmpHeaderSize +
                                                      groups.size() * kGroupRecordSize)});
  // Router alert for MLD, and two bytes of padding (RFC 2711).
  constexpr std::array<uint8_t, kRouterAlertSize> kRouterAlert = {
      kProtocolIcmpv6, 0, 5, 2, 0, 0, 1, 0};
  out.WriteBytes(kRouterAlert);
  const size_t start = out.position();
  out.WriteU8(kListenerReportV2);
  out.WriteZeros(5);
  out.WriteU16(static_cast<uint16_t>(groups.size()));
  for (const IpAddress& group : groups) {
    out.WriteU8(joining ? kChangeToExclude : kModeIsExclude);
    out.WriteZeros(3);
    out.WriteBytes(group.bytes());
  }
  FinishIcmp(source, destination, out.written().subspan(start));
  frame.set_size(out.position());
  return frame;
}

}  // namespace sotto::dataplane
