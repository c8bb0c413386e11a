// The IP and UDP headers of one flow, made once by control and copied by workers.
//
// A new header is made, never forwarded: TTL, IP id, options and DSCP of one leg tell the other
// leg nothing.
#pragma once

#include <cstdint>
#include <cstring>
#include <span>

#include "dataplane/l3/next_hop.h"
#include "dataplane/packet/parse.h"
#include "relay/wire/big_endian.h"
#include "relay/wire/checksum.h"
#include "relay/wire/ip_address.h"

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
  HeaderTemplate(const relay::TransportAddress& source, const relay::TransportAddress& destination,
                 NextHopId hop);

  bool v4() const { return ip_header_size == kIpv4HeaderSize; }
  size_t size() const { return ip_header_size + kUdpHeaderSize; }

  // Puts another destination port into a template that was made for port 0.
  void SetDestinationPort(uint16_t port) {
    relay::StoreBe16(bytes + ip_header_size + 2, port);
    sum = relay::FoldSum(uint64_t{sum} + relay::SumWord(port));
  }

  // The UDP checksum field, as stored in memory, of `payload` behind these headers: in full.
  uint16_t FullChecksum(std::span<const uint8_t> payload) const {
    const uint16_t udp_size = static_cast<uint16_t>(payload.size() + kUdpHeaderSize);
    return relay::UdpChecksumField(relay::ChecksumOf(relay::SumWords(payload) + sum +
                                                     relay::SumWord(kProtocolUdp) +
                                                     2 * uint64_t{relay::SumWord(udp_size)}));
  }

  // Writes the headers for `payload_size` bytes of UDP payload at `out`, which holds size() bytes.
  // `udp_checksum` is the field as stored in memory; `ip_id` is used with IPv4.
  void Write(uint8_t* out, uint16_t payload_size, uint16_t udp_checksum, uint16_t ip_id,
             bool dont_fragment) const {
    const uint16_t udp_size = static_cast<uint16_t>(payload_size + kUdpHeaderSize);
    uint8_t* udp = out + ip_header_size;
    if (v4()) {
      std::memcpy(out, bytes, kIpv4HeaderSize + kUdpHeaderSize);
      const uint16_t total = static_cast<uint16_t>(udp_size + kIpv4HeaderSize);
      const uint16_t flags = dont_fragment ? 0x4000 : 0;
      relay::StoreBe16(out + 2, total);
      relay::StoreBe16(out + 4, ip_id);
      relay::StoreBe16(out + 6, flags);
      uint16_t checksum;
      std::memcpy(&checksum, bytes + 10, 2);
      checksum = relay::UpdateChecksum(checksum, uint64_t{relay::SumWord(total)} +
                                                     relay::SumWord(ip_id) + relay::SumWord(flags));
      std::memcpy(out + 10, &checksum, 2);
    } else {
      std::memcpy(out, bytes, kIpv6HeaderSize + kUdpHeaderSize);
      relay::StoreBe16(out + 4, udp_size);
    }
    relay::StoreBe16(udp + 4, udp_size);
    std::memcpy(udp + 6, &udp_checksum, 2);
  }
};

static_assert(sizeof(HeaderTemplate) == 56);

}  // namespace sotto::dataplane
