// SPDX-License-Identifier: Apache-2.0
// The IP and UDP headers of one flow, made once by control and copied by workers.
//
// A new header is made, never forwarded: TTL, IP id, options and DSCP of one leg tell the other
// leg nothing.
#pragma once

#include <cstdint>
#include <cstring>
#include <span>

#include "dataplane/l3/next_hop.h"
#include "dataplane/packet/local_addresses.h"
#include "dataplane/packet/parse.h"
#include "relay/base/big_endian.h"
#include "relay/base/checksum.h"
#include "relay/base/ip_address.h"

namespace sotto::dataplane {

struct HeaderTemplate {
  NextHopId next_hop = kNoNextHop;
  // Folded sum, in memory order, of what the UDP checksum covers of the addresses and ports.
  uint16_t sum = 0;
  uint8_t ip_header_size = 0;  // 20 or 40; 0: no template
  // IPv4 (20) or IPv6 (40), then UDP (8). Length fields, the IPv4 id and the UDP checksum are
  // zero; the IPv4 header checksum is right for that.
  uint8_t bytes[kIpv6HeaderSize + kUdpHeaderSize] = {};

  HeaderTemplate() = default;
  HeaderTemplate(const TransportAddress& source, const TransportAddress& destination,
                 NextHopId hop);

  bool v4() const { return ip_header_size == kIpv4HeaderSize; }
  size_t size() const { return ip_header_size + kUdpHeaderSize; }

  bool operator==(const HeaderTemplate&) const = default;

  // Writes the headers for `payload_size` bytes of UDP payload at `out`, which holds size() bytes.
  // `udp_checksum` is the field as stored in memory; `ip_id` is used with IPv4, and `changed` is
  // the sum of what the caller puts into the IPv4 header afterwards, where the template has zeros.
  void Write(uint8_t* out, uint16_t payload_size, uint16_t udp_checksum, uint16_t ip_id,
             bool dont_fragment, uint64_t changed = 0) const {
    const uint16_t udp_size = static_cast<uint16_t>(payload_size + kUdpHeaderSize);
    uint8_t* udp = out + ip_header_size;
    if (v4()) {
      std::memcpy(out, bytes, kIpv4HeaderSize + kUdpHeaderSize);
      const uint16_t total = static_cast<uint16_t>(udp_size + kIpv4HeaderSize);
      const uint16_t flags = dont_fragment ? 0x4000 : 0;
      StoreBe16(out + 2, total);
      StoreBe16(out + 4, ip_id);
      StoreBe16(out + 6, flags);
      uint16_t checksum;
      std::memcpy(&checksum, bytes + 10, 2);
      checksum =
          UpdateChecksum(checksum, changed + SumWord(total) + SumWord(ip_id) + SumWord(flags));
      std::memcpy(out + 10, &checksum, 2);
    } else {
      std::memcpy(out, bytes, kIpv6HeaderSize + kUdpHeaderSize);
      StoreBe16(out + 4, udp_size);
    }
    StoreBe16(udp + 4, udp_size);
    std::memcpy(udp + 6, &udp_checksum, 2);
  }
};

static_assert(sizeof(HeaderTemplate) == 56);

// Where a datagram goes, and as whose, for DerivedHeader.
struct Flow {
  NextHopId next_hop = kNoNextHop;
  uint8_t destination[16] = {};  // IPv4: the first 4
  uint16_t destination_port = 0;
  uint16_t source_port = 0;
  uint16_t sum = 0;               // as in HeaderTemplate
  LocalIndex source = kNotLocal;  // the source address; kNotLocal: this is no flow

  Flow() = default;
  Flow(LocalIndex from, const TransportAddress& source_address, const TransportAddress& to,
       NextHopId hop)
      : next_hop(hop), destination_port(to.port), source_port(source_address.port), source(from) {
    std::memcpy(destination, to.ip.raw().data(), 16);
    sum = FoldSum(SumWords(source_address.ip.bytes()) + SumWords(to.ip.bytes()) + SumWord(to.port) +
                  SumWord(source_address.port));
  }
  bool operator==(const Flow&) const = default;
};

// The same headers, made for one packet: from a template that names the source address alone, and a
// destination and ports that a record holds anyway. Costs a few cycles more than a template of the
// flow's own, and saves its memory. Views what it is made from.
class DerivedHeader {
 public:
  // `source` is the SourceTemplate() of the flow's.
  DerivedHeader(const HeaderTemplate& source, const Flow& flow)
      : next_hop(flow.next_hop),
        sum(flow.sum),
        source_(source),
        destination_(flow.destination),
        destination_sum_(SumOf(source, flow.destination)),
        ports_(PortsOf(flow.source_port, flow.destination_port)) {}
  // `source` is made with SourceTemplate(); `destination` has the 4 or 16 bytes of its family.
  DerivedHeader(const HeaderTemplate& source, uint16_t source_port, const uint8_t* destination,
                uint16_t destination_port, NextHopId hop)
      : next_hop(hop),
        source_(source),
        destination_(destination),
        destination_sum_(SumOf(source, destination)),
        ports_(PortsOf(source_port, destination_port)) {
    sum = FoldSum(source.sum + destination_sum_ + ports_);
  }
  static HeaderTemplate SourceTemplate(const IpAddress& source) {
    const IpAddress nobody =
        source.is_v4() ? IpAddress() : IpAddress::V6(std::array<uint8_t, 16>{});
    return HeaderTemplate({source, 0}, {nobody, 0}, kNoNextHop);
  }

  NextHopId next_hop;
  uint16_t sum;  // as in HeaderTemplate

  bool v4() const { return source_.v4(); }
  size_t size() const { return source_.size(); }
  void Write(uint8_t* out, uint16_t payload_size, uint16_t udp_checksum, uint16_t ip_id,
             bool dont_fragment) const {
    source_.Write(out, payload_size, udp_checksum, ip_id, dont_fragment, destination_sum_);
    if (v4()) {
      std::memcpy(out + 16, destination_, 4);
    } else {
      std::memcpy(out + 24, destination_, 16);
    }
    std::memcpy(out + source_.ip_header_size, &ports_, 4);
  }

 private:
  static uint64_t SumOf(const HeaderTemplate& source, const uint8_t* destination) {
    return source.v4() ? SumWords(destination, 4) : SumWords(destination, 16);
  }
  static uint32_t PortsOf(uint16_t source, uint16_t destination) {
    return SumWord(source) | uint32_t{SumWord(destination)} << 16;
  }

  const HeaderTemplate& source_;
  const uint8_t* destination_;
  uint64_t destination_sum_;
  uint32_t ports_;  // as they stand in the UDP header
};

// The UDP checksum field, as stored in memory, of `payload` behind headers whose `sum` it is: in
// full.
inline uint16_t FullChecksum(uint16_t sum, std::span<const uint8_t> payload) {
  const uint16_t udp_size = static_cast<uint16_t>(payload.size() + kUdpHeaderSize);
  return UdpChecksumField(ChecksumOf(SumWords(payload) + sum + SumWord(kProtocolUdp) +
                                     2 * uint64_t{SumWord(udp_size)}));
}

}  // namespace sotto::dataplane
