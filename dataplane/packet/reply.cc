// SPDX-License-Identifier: Apache-2.0
#include "dataplane/packet/reply.h"

#include <algorithm>

#include "dataplane/packet/header_template.h"

namespace sotto::dataplane {

size_t ReplySize(const ParsedFrame& parsed, size_t payload_size) {
  return parsed.ip_offset + (parsed.v4 ? kIpv4HeaderSize : kIpv6HeaderSize) + kUdpHeaderSize +
         payload_size;
}

size_t WriteReply(uint8_t* frame, const ParsedFrame& parsed, const MacAddress& own_mac,
                  std::span<const uint8_t> payload, uint16_t ip_id) {
  const TransportAddress from{DestinationOf(frame, parsed), parsed.destination_port};
  const TransportAddress to{SourceOf(frame, parsed), parsed.source_port};
  std::copy_n(frame + 6, 6, frame);
  std::copy(own_mac.bytes.begin(), own_mac.bytes.end(), frame + 6);
  const HeaderTemplate header(from, to, kNoNextHop);
  uint8_t* ip = frame + parsed.ip_offset;
  std::copy(payload.begin(), payload.end(), ip + header.size());
  header.Write(ip, static_cast<uint16_t>(payload.size()), FullChecksum(header.sum, payload), ip_id,
               false);
  return ReplySize(parsed, payload.size());
}

}  // namespace sotto::dataplane
