// SPDX-License-Identifier: Apache-2.0
#include "dataplane/packet/parse.h"

#include <cstring>

#include "relay/base/big_endian.h"
#include "relay/base/checksum.h"

namespace sotto::dataplane {
namespace {

constexpr uint16_t kIpv4FragmentBits = 0x3FFF;  // more fragments, and the offset

bool SourceIsInvalidV4(const uint8_t* source) {
  return source[0] == 0 || source[0] == 127 || source[0] >= 224;
}

bool SourceIsInvalidV6(const uint8_t* source) {
  if (source[0] == 0xff) return true;
  static constexpr uint8_t kZeros[15] = {};
  return std::memcmp(source, kZeros, 15) == 0 && source[15] <= 1;  // unspecified, loopback
}

bool IsGroupV4(const uint8_t* destination) {
  return destination[0] >= 224;  // multicast, and the limited broadcast
}

// Solicited-node and all-nodes multicast: where neighbour discovery is heard (RFC 4291, 2.7.1).
bool IsNeighborMulticast(const uint8_t* destination) {
  return destination[0] == 0xff && destination[1] == 0x02;
}

void Drop(ParsedFrame& parsed, DropReason reason) {
  parsed.verdict = ParseVerdict::kDrop;
  parsed.drop = reason;
}

void ParseUdp(std::span<const uint8_t> frame, ParsedFrame& parsed) {
  const size_t ip_end = parsed.ip_offset + parsed.ip_size;
  if (parsed.udp_offset + kUdpHeaderSize > ip_end) return Drop(parsed, DropReason::kUdpTruncated);
  const uint8_t* udp = &frame[parsed.udp_offset];
  const size_t udp_size = LoadBe16(udp + 4);
  if (udp_size != ip_end - parsed.udp_offset) return Drop(parsed, DropReason::kUdpLengthLies);
  parsed.source_port = LoadBe16(udp);
  parsed.destination_port = LoadBe16(udp + 2);
  if (parsed.source_port == 0) return Drop(parsed, DropReason::kUdpSourcePortZero);
  if (!parsed.v4 && LoadBe16(udp + 6) == 0) return Drop(parsed, DropReason::kUdpNoChecksum);
  parsed.payload_size = static_cast<uint16_t>(udp_size - kUdpHeaderSize);
  parsed.verdict = ParseVerdict::kUdp;
  return;
}

void ParseIpv4(std::span<const uint8_t> frame, ParsedFrame& parsed, const FrameHints& hints,
               const LocalAddresses& locals) {
  parsed.v4 = true;
  if (parsed.ip_offset + kIpv4HeaderSize > frame.size()) {
    return Drop(parsed, DropReason::kIpTruncated);
  }
  const uint8_t* ip = &frame[parsed.ip_offset];
  const size_t header_size = (ip[0] & 0x0f) * 4u;
  if ((ip[0] >> 4) != 4 || header_size < kIpv4HeaderSize) {
    return Drop(parsed, DropReason::kIpBadHeader);
  }
  parsed.ip_size = LoadBe16(ip + 2);
  if (parsed.ip_size < header_size || parsed.ip_offset + parsed.ip_size > frame.size()) {
    return Drop(parsed, DropReason::kIpLengthLies);
  }
  if (!hints.ip_checksum_good && FoldSum(SumWords(ip, header_size)) != 0xffff) {
    return Drop(parsed, DropReason::kIpBadChecksum);
  }
  parsed.destination = locals.FindV4(ip + 16);
  if (parsed.destination == kNotLocal) {
    return Drop(parsed,
                IsGroupV4(ip + 16) ? DropReason::kMulticast : DropReason::kDestinationNotLocal);
  }
  if (SourceIsInvalidV4(ip + 12)) return Drop(parsed, DropReason::kSourceInvalid);
  if (locals.FindV4(ip + 12) != kNotLocal) return Drop(parsed, DropReason::kSourceIsRelay);
  parsed.udp_offset = static_cast<uint16_t>(parsed.ip_offset + header_size);
  if ((LoadBe16(ip + 6) & kIpv4FragmentBits) != 0) {
    parsed.verdict = ParseVerdict::kFragment;
    return;
  }
  if (ip[9] == kProtocolUdp) return ParseUdp(frame, parsed);
  if (ip[9] == kProtocolIcmp) {
    parsed.verdict = ParseVerdict::kNeighborhood;
    return;
  }
  return Drop(parsed, DropReason::kNotUdp);
}

void ParseIpv6(std::span<const uint8_t> frame, ParsedFrame& parsed, const LocalAddresses& locals) {
  if (parsed.ip_offset + kIpv6HeaderSize > frame.size()) {
    return Drop(parsed, DropReason::kIpTruncated);
  }
  const uint8_t* ip = &frame[parsed.ip_offset];
  if ((ip[0] >> 4) != 6) return Drop(parsed, DropReason::kIpBadHeader);
  const size_t size = kIpv6HeaderSize + LoadBe16(ip + 4);
  if (size > 0xffff || parsed.ip_offset + size > frame.size()) {
    return Drop(parsed, DropReason::kIpLengthLies);
  }
  parsed.ip_size = static_cast<uint16_t>(size);
  const uint8_t next_header = ip[6];
  parsed.destination = locals.FindV6(ip + 24);
  // Multicast listener queries come behind a hop-by-hop header (RFC 3810, section 5), duplicate
  // address detection from the unspecified address: control judges them.
  if ((next_header == kProtocolIcmpv6 || next_header == kProtocolHopByHop) &&
      IsNeighborMulticast(ip + 24)) {
    parsed.verdict = ParseVerdict::kNeighborhood;
    return;
  }
  if (parsed.destination == kNotLocal) {
    return Drop(parsed, ip[24] == 0xff ? DropReason::kMulticast : DropReason::kDestinationNotLocal);
  }
  if (next_header == kProtocolIcmpv6) {
    parsed.verdict = ParseVerdict::kNeighborhood;
    return;
  }
  if (SourceIsInvalidV6(ip + 8)) return Drop(parsed, DropReason::kSourceInvalid);
  if (locals.FindV6(ip + 8) != kNotLocal) return Drop(parsed, DropReason::kSourceIsRelay);
  parsed.udp_offset = static_cast<uint16_t>(parsed.ip_offset + kIpv6HeaderSize);
  switch (next_header) {
    case kProtocolUdp:
      return ParseUdp(frame, parsed);
    case kProtocolFragment:
      parsed.verdict = ParseVerdict::kFragment;
      return;
    case kProtocolHopByHop:
    case kProtocolRouting:
    case kProtocolDestinationOptions:
      return Drop(parsed, DropReason::kIpExtensionHeader);
    default:
      return Drop(parsed, DropReason::kNotUdp);
  }
}

// The sum of the UDP pseudo-header (RFC 768, RFC 8200 section 8.1).
uint64_t PseudoHeaderSumOf(const uint8_t* frame, const ParsedFrame& parsed) {
  const uint8_t* ip = frame + parsed.ip_offset;
  const uint64_t addresses = parsed.v4 ? SumWords(ip + 12, 8) : SumWords(ip + 8, 32);
  return addresses + SumWord(kProtocolUdp) +
         SumWord(static_cast<uint16_t>(parsed.payload_size + kUdpHeaderSize));
}

}  // namespace

void ParseFrame(std::span<const uint8_t> frame, const FrameHints& hints,
                const InterfaceTable& interfaces, const LocalAddresses& locals,
                ParsedFrame& parsed) {
  parsed = ParsedFrame();
  if (frame.size() < kEthernetHeaderSize) return Drop(parsed, DropReason::kFrameTruncated);
  uint16_t ether_type = LoadBe16(&frame[12]);
  parsed.ip_offset = kEthernetHeaderSize;
  uint16_t vlan = hints.stripped_vlan & 0x0fff;
  if (ether_type == kEtherTypeVlan) {
    if (frame.size() < kEthernetHeaderSize + kVlanTagSize) {
      return Drop(parsed, DropReason::kFrameTruncated);
    }
    vlan = LoadBe16(&frame[14]) & 0x0fff;
    ether_type = LoadBe16(&frame[16]);
    parsed.ip_offset += kVlanTagSize;
  }
  const std::optional<InterfaceId> interface = interfaces.FindPort(hints.port, vlan);
  if (!interface) return Drop(parsed, DropReason::kUnknownVlan);
  parsed.interface = *interface;
  const MacAddress& mac = interfaces.at(*interface).mac;
  if ((frame[0] & 1) == 0 && std::memcmp(frame.data(), mac.bytes.data(), 6) != 0) {
    return Drop(parsed, DropReason::kNotOurMac);
  }
  switch (ether_type) {
    case kEtherTypeIpv4:
      return ParseIpv4(frame, parsed, hints, locals);
    case kEtherTypeIpv6:
      return ParseIpv6(frame, parsed, locals);
    case kEtherTypeArp:
      parsed.verdict = ParseVerdict::kNeighborhood;
      return;
    default:
      return Drop(parsed, DropReason::kUnknownEtherType);
  }
}

IpAddress SourceOf(const uint8_t* frame, const ParsedFrame& parsed) {
  const uint8_t* ip = frame + parsed.ip_offset;
  if (parsed.v4) return IpAddress::V4(ip[12], ip[13], ip[14], ip[15]);
  return IpAddress::V6(std::span<const uint8_t, 16>(ip + 8, 16));
}

IpAddress DestinationOf(const uint8_t* frame, const ParsedFrame& parsed) {
  const uint8_t* ip = frame + parsed.ip_offset;
  if (parsed.v4) return IpAddress::V4(ip[16], ip[17], ip[18], ip[19]);
  return IpAddress::V6(std::span<const uint8_t, 16>(ip + 24, 16));
}

bool UdpChecksumHolds(const uint8_t* frame, const ParsedFrame& parsed) {
  const uint8_t* udp = frame + parsed.udp_offset;
  uint16_t field;
  std::memcpy(&field, udp + 6, sizeof(field));
  if (field == 0) return parsed.v4;
  const uint64_t sum =
      PseudoHeaderSumOf(frame, parsed) + SumWords(udp, parsed.payload_size + kUdpHeaderSize);
  return FoldSum(sum) == 0xffff;
}

void FinishUdpChecksum(uint8_t* frame, const ParsedFrame& parsed) {
  uint8_t* udp = frame + parsed.udp_offset;
  uint16_t field;
  std::memcpy(&field, udp + 6, sizeof(field));
  const uint16_t pseudo = FoldSum(PseudoHeaderSumOf(frame, parsed));
  if (field != pseudo || field == 0) return;
  // The unfinished sum stays in the field and is covered with the rest.
  const uint64_t sum = SumWords(udp, parsed.payload_size + kUdpHeaderSize);
  const uint16_t finished = UdpChecksumField(ChecksumOf(sum));
  std::memcpy(udp + 6, &finished, sizeof(finished));
}

}  // namespace sotto::dataplane
