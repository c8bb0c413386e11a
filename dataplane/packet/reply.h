// SPDX-License-Identifier: Apache-2.0
// Turns a received UDP datagram into the answer to it, in the same buffer: the answer goes back to
// the station that sent the frame, with a new IP header.
#pragma once

#include <cstdint>
#include <span>

#include "dataplane/packet/parse.h"

namespace sotto::dataplane {

// Bytes that an answer with `payload_size` bytes of UDP payload takes as a frame.
size_t ReplySize(const ParsedFrame& parsed, size_t payload_size);

// Writes the answer over `frame`, which has room for ReplySize() bytes, and returns its size.
// `payload` must not overlap the frame. The VLAN tag of the request, if any, is kept.
size_t WriteReply(uint8_t* frame, const ParsedFrame& parsed, const MacAddress& own_mac,
                  std::span<const uint8_t> payload, uint16_t ip_id);

}  // namespace sotto::dataplane
