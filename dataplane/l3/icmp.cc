// SPDX-License-Identifier: Apache-2.0
#include "dataplane/l3/icmp.h"

#include <algorithm>
#include <array>

#include "dataplane/l3/headers.h"
#include "relay/base/big_endian.h"
#include "relay/base/byte_cursor.h"

namespace sotto::dataplane {
namespace {

constexpr uint8_t kEchoReplyV4 = 0;
constexpr uint8_t kUnreachableV4 = 3;
constexpr uint8_t kSourceQuenchV4 = 4;
constexpr uint8_t kRedirectV4 = 5;
constexpr uint8_t kEchoRequestV4 = 8;
constexpr uint8_t kTimeExceededV4 = 11;
constexpr uint8_t kParameterProblemV4 = 12;
constexpr uint8_t kFragmentationNeededCode = 4;

constexpr uint8_t kUnreachableV6 = 1;
constexpr uint8_t kPacketTooBig = 2;
constexpr uint8_t kTimeExceededV6 = 3;
constexpr uint8_t kFirstInformationalV6 = 128;
constexpr uint8_t kEchoRequestV6 = 128;
constexpr uint8_t kEchoReplyV6 = 129;
constexpr uint8_t kRedirectV6 = 137;

// What every link carries (RFC 791; RFC 8200, section 5).
constexpr uint16_t kMinMtuV4 = 68;
constexpr uint16_t kMinMtuV6 = 1280;
// The largest error that is sent (RFC 1812, section 4.3.2.3; RFC 4443, section 2.4).
constexpr size_t kMaxErrorV4 = 576;
constexpr size_t kMaxErrorV6 = 1280;

bool IsIcmp(const IpPacket& packet) {
  return packet.protocol == (packet.source.is_v4() ? kProtocolIcmp : kProtocolIcmpv6);
}

// Whether the packet is an ICMP error, or could be: its type is cut off.
bool IsIcmpError(const IpPacket& packet) {
  if (!IsIcmp(packet)) return false;
  if (packet.payload.empty()) return true;
  const uint8_t type = packet.payload[0];
  if (packet.source.is_v6()) return type < kFirstInformationalV6 || type == kRedirectV6;
  return type == kUnreachableV4 || type == kSourceQuenchV4 || type == kRedirectV4 ||
         type == kTimeExceededV4 || type == kParameterProblemV4;
}

// The transport addresses of the UDP datagram at the start of which `quote` stands. A quote is cut
// off by the rules of whoever sent the error, and its checksums may be anything.
struct Quote {
  TransportAddress source;
  TransportAddress destination;
};
std::optional<Quote> ReadQuote(std::span<const uint8_t> quote) {
  if (quote.empty()) return std::nullopt;
  Quote out;
  ByteReader reader(quote);
  std::span<const uint8_t> header;
  if (quote[0] >> 4 == 4) {
    const size_t size = (quote[0] & 0x0f) * size_t{4};
    if (size < kIpv4HeaderSize || !reader.ReadBytes(size, header)) return std::nullopt;
    const bool first_fragment = (LoadBe16(&header[6]) & 0x1fff) == 0;
    if (header[9] != kProtocolUdp || !first_fragment) return std::nullopt;
    out.source.ip = IpAddress::V4(header.subspan<12, 4>());
    out.destination.ip = IpAddress::V4(header.subspan<16, 4>());
  } else {
    // The relay sends no extension headers.
    if (quote[0] >> 4 != 6 || !reader.ReadBytes(kIpv6HeaderSize, header) ||
        header[6] != kProtocolUdp) {
      return std::nullopt;
    }
    out.source.ip = IpAddress::V6(header.subspan<8, 16>());
    out.destination.ip = IpAddress::V6(header.subspan<24, 16>());
  }
  reader.ReadU16(out.source.port);
  if (!reader.ReadU16(out.destination.port)) return std::nullopt;
  return out;
}

}  // namespace

Icmp::Icmp(const InterfaceTable& interfaces, FrameSender& sender, const IcmpOptions& options)
    : interfaces_(interfaces),
      sender_(sender),
      echo_budget_(options.echo_rate, options.echo_burst, options.secret),
      echo_total_(options.echo_total_rate, options.echo_total_rate, options.secret, 1),
      error_budget_(options.error_rate, options.error_burst, options.secret + 1),
      error_total_(options.error_total_rate, options.error_total_rate, options.secret, 1),
      report_budget_(options.report_rate, options.report_burst, options.secret + 2),
      ip_id_state_(options.secret) {}

L3Event Icmp::CheckAnswerable(InterfaceId interface, const EthernetFrame& frame,
                              const IpPacket& packet) const {
  if (frame.destination.is_multicast() || IsMulticast(packet.destination) ||
      interfaces_.IsBroadcast(packet.destination)) {
    return L3Event::kBroadcastRefused;
  }
  const Interface& own = interfaces_.at(interface);
  if (frame.destination != own.mac || interfaces_.FindLocal(packet.destination) != interface) {
    return L3Event::kNotForUs;
  }
  if (!frame.source.is_station() || frame.source == own.mac || IsUnspecified(packet.source) ||
      IsLoopback(packet.source) || (packet.source.is_v4() && packet.source.bytes()[0] >= 224) ||
      IsMulticast(packet.source) || interfaces_.IsBroadcast(packet.source) ||
      interfaces_.FindLocal(packet.source)) {
    return L3Event::kMartianSource;
  }
  return L3Event::kNone;
}

L3Event Icmp::Handle(InterfaceId interface, const EthernetFrame& frame, const IpPacket& packet,
                     uint64_t now_ms, std::optional<IcmpReport>& report) {
  report.reset();
  if (!IsIcmp(packet)) return L3Event::kUnhandledProtocol;
  if (packet.is_fragment()) return L3Event::kFragment;
  const L3Event refused = CheckAnswerable(interface, frame, packet);
  if (refused != L3Event::kNone) return refused;
  if (packet.payload.size() < kIcmpHeaderSize) return L3Event::kMalformedIcmp;
  if (IcmpChecksum(packet.source, packet.destination, packet.payload) != 0) {
    return L3Event::kBadIcmpChecksum;
  }
  const uint8_t type = packet.payload[0];
  if (packet.source.is_v4()) {
    if (type == kEchoRequestV4) return AnswerEcho(interface, frame, packet, now_ms);
    if (type == kUnreachableV4 || type == kTimeExceededV4) {
      return ReadError(packet, now_ms, report);
    }
  } else {
    if (type == kEchoRequestV6) return AnswerEcho(interface, frame, packet, now_ms);
    if (type == kUnreachableV6 || type == kPacketTooBig || type == kTimeExceededV6) {
      return ReadError(packet, now_ms, report);
    }
  }
  return L3Event::kIcmpIgnored;
}

L3Event Icmp::AnswerEcho(InterfaceId interface, const EthernetFrame& frame, const IpPacket& packet,
                         uint64_t now_ms) {
  if (packet.payload[1] != 0) return L3Event::kMalformedIcmp;
  if (IpHeaderSize(packet.source.family()) + packet.payload.size() >
      interfaces_.at(interface).mtu) {
    return L3Event::kReplyTooBig;
  }
  if (!echo_budget_.Spend(packet.source, 1, now_ms) || !echo_total_.Spend({}, 1, now_ms)) {
    return L3Event::kRateLimited;
  }
  const uint8_t type = packet.source.is_v4() ? kEchoReplyV4 : kEchoReplyV6;
  const std::array<uint8_t, 4> head = {type, 0, 0, 0};
  Answer(interface, frame.source, packet, head, packet.payload.subspan(head.size()));
  return L3Event::kEchoAnswered;
}

L3Event Icmp::ReadError(const IpPacket& packet, uint64_t now_ms,
                        std::optional<IcmpReport>& report) {
  if (!report_budget_.Spend(packet.source, 1, now_ms)) return L3Event::kRateLimited;
  const std::optional<Quote> quote = ReadQuote(packet.payload.subspan(kIcmpHeaderSize));
  // The error comes back to the address that the datagram came from.
  if (!quote || quote->source.ip != packet.destination) return L3Event::kErrorNotOurs;
  relay::IcmpError error = {.type = packet.payload[0], .code = packet.payload[1], .data = 0};
  if (packet.source.is_v4()) {
    if (error.type == kUnreachableV4 && error.code == kFragmentationNeededCode) {
      error.data = LoadBe16(&packet.payload[6]);
      // Zero is a router from before RFC 1191, which doesn't say; less than a link must carry is a
      // lie, told to make us send many small packets.
      if (error.data != 0 && error.data < kMinMtuV4) return L3Event::kMalformedIcmp;
    }
  } else if (error.type == kPacketTooBig) {
    error.data = LoadBe32(&packet.payload[4]);
    if (error.data < kMinMtuV6) return L3Event::kMalformedIcmp;  // RFC 8201, section 4
  }
  report = IcmpReport{.relayed = quote->source,
                      .peer = quote->destination,
                      .reporter = packet.source,
                      .error = error};
  return L3Event::kErrorReported;
}

L3Event Icmp::SendTooBig(InterfaceId interface, std::span<const uint8_t> frame, uint16_t mtu,
                         uint64_t now_ms) {
  const std::optional<EthernetFrame> ethernet = ParseEthernet(frame);
  if (!ethernet) return L3Event::kMalformedFrame;
  IpPacket packet;
  const L3Event malformed = ParseIp(ethernet->payload, packet);
  if (malformed != L3Event::kNone) return malformed;
  const L3Event refused = CheckAnswerable(interface, *ethernet, packet);
  if (refused != L3Event::kNone) return refused;
  if (packet.fragment_offset != 0) return L3Event::kFragment;
  if (IsIcmpError(packet)) return L3Event::kErrorAboutError;
  if (!error_budget_.Spend(packet.source, 1, now_ms) || !error_total_.Spend({}, 1, now_ms)) {
    return L3Event::kRateLimited;
  }

  const bool v4 = packet.source.is_v4();
  std::array<uint8_t, kIcmpHeaderSize> head = {};
  head[0] = v4 ? kUnreachableV4 : kPacketTooBig;
  head[1] = v4 ? kFragmentationNeededCode : 0;
  StoreBe32(&head[4], std::max(mtu, v4 ? kMinMtuV4 : kMinMtuV6));
  const size_t room =
      (v4 ? kMaxErrorV4 : kMaxErrorV6) - IpHeaderSize(packet.source.family()) - head.size();
  Answer(interface, ethernet->source, packet, head,
         packet.datagram.first(std::min(packet.datagram.size(), room)));
  return L3Event::kTooBigSent;
}

void Icmp::Answer(InterfaceId interface_id, const MacAddress& to, const IpPacket& packet,
                  std::span<const uint8_t> head, std::span<const uint8_t> body) {
  const Interface& interface = interfaces_.at(interface_id);
  const IpHeader header = {.source = packet.destination,
                           .destination = packet.source,
                           .protocol = packet.source.is_v4() ? kProtocolIcmp : kProtocolIcmpv6,
                           .payload_size = static_cast<uint16_t>(head.size() + body.size()),
                           .id = NextIpId()};
  frame_.resize(EthernetSize(interface) + IpHeaderSize(header.source.family()) +
                header.payload_size);
  ByteWriter out(frame_);
  WriteEthernet(out, interface, to, EtherTypeOf(header.source.family()));
  WriteIp(out, header);
  const size_t start = out.position();
  out.WriteBytes(head);
  out.WriteBytes(body);
  FinishIcmp(header.source, header.destination, out.written().subspan(start));
  sender_.SendFrame(interface_id, out.written());
}

// Answers may be fragmented on their way, so their ids differ, and tell nothing about how many are
// sent (RFC 7739, section 5).
uint16_t Icmp::NextIpId() {
  ip_id_state_ += 0x9e3779b97f4a7c15ULL;
  uint64_t x = ip_id_state_;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ULL;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebULL;
  return static_cast<uint16_t>(x >> 32);
}

}  // namespace sotto::dataplane
