// SPDX-License-Identifier: Apache-2.0
// The Data indication that wraps what a peer without a channel sent (RFC 8656, section 11.4):
// STUN header, XOR-PEER-ADDRESS, and the header of DATA, in front of the application's bytes.
#pragma once

#include <cstdint>

#include "relay/base/ip_address.h"
#include "relay/stun/message.h"

namespace sotto::dataplane {

constexpr uint16_t DataIndicationHeaderSize(IpFamily peer_family) {
  return peer_family == IpFamily::kV4 ? 36 : 48;
}

// Zero bytes that must follow `data_size` bytes of application data.
constexpr uint16_t DataIndicationPadding(uint16_t data_size) { return (4 - data_size % 4) % 4; }

// Writes DataIndicationHeaderSize() bytes at `out`.
void WriteDataIndicationHeader(uint8_t* out, const TransportAddress& peer,
                               const relay::TransactionId& transaction_id, uint16_t data_size);

}  // namespace sotto::dataplane
