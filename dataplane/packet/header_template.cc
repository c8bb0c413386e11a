// SPDX-License-Identifier: Apache-2.0
#include "dataplane/packet/header_template.h"

#include <algorithm>

namespace sotto::dataplane {

HeaderTemplate::HeaderTemplate(const TransportAddress& source, const TransportAddress& destination,
                               NextHopId hop)
    : next_hop(hop) {
  const std::span<const uint8_t> from = source.ip.bytes();
  const std::span<const uint8_t> to = destination.ip.bytes();
  if (source.ip.is_v4()) {
    ip_header_size = kIpv4HeaderSize;
    bytes[0] = 0x45;
    bytes[8] = kDefaultTtl;
    bytes[9] = kProtocolUdp;
    std::copy(from.begin(), from.end(), bytes + 12);
    std::copy(to.begin(), to.end(), bytes + 16);
    const uint16_t checksum = ChecksumOf(SumWords(bytes, kIpv4HeaderSize));
    std::memcpy(bytes + 10, &checksum, 2);
  } else {
    ip_header_size = kIpv6HeaderSize;
    bytes[0] = 0x60;
    bytes[6] = kProtocolUdp;
    bytes[7] = kDefaultTtl;
    std::copy(from.begin(), from.end(), bytes + 8);
    std::copy(to.begin(), to.end(), bytes + 24);
  }
  uint8_t* udp = bytes + ip_header_size;
  StoreBe16(udp, source.port);
  StoreBe16(udp + 2, destination.port);
  sum = FoldSum(SumWords(from) + SumWords(to) + SumWords(udp, 4));
}

}  // namespace sotto::dataplane
