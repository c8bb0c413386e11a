// SPDX-License-Identifier: Apache-2.0
#include "dataplane/packet/data_indication.h"

#include <cstring>

#include "relay/base/big_endian.h"

namespace sotto::dataplane {

void WriteDataIndicationHeader(uint8_t* out, const TransportAddress& peer,
                               const relay::TransactionId& transaction_id, uint16_t data_size) {
  uint8_t address[20];
  const size_t address_size = relay::EncodeXorAddress(peer, transaction_id, address);
  StoreBe16(out, relay::EncodeStunType(relay::StunMethod::kData, relay::StunClass::kIndication));
  StoreBe16(out + 2, static_cast<uint16_t>(4 + address_size + 4 + data_size +
                                           DataIndicationPadding(data_size)));
  StoreBe32(out + 4, relay::kStunMagicCookie);
  std::memcpy(out + 8, transaction_id.data(), transaction_id.size());
  uint8_t* attribute = out + relay::kStunHeaderSize;
  StoreBe16(attribute, static_cast<uint16_t>(relay::StunAttributeType::kXorPeerAddress));
  StoreBe16(attribute + 2, static_cast<uint16_t>(address_size));
  std::memcpy(attribute + 4, address, address_size);
  attribute += 4 + address_size;
  StoreBe16(attribute, static_cast<uint16_t>(relay::StunAttributeType::kData));
  StoreBe16(attribute + 2, data_size);
}

}  // namespace sotto::dataplane
