// SPDX-License-Identifier: Apache-2.0
// STUN from anybody: no read outside the message, and what parses can be rebuilt to the same
// attributes.
#include <cstdlib>
#include <cstring>
#include <vector>

#include "relay/stun/integrity.h"
#include "relay/stun/message.h"

using namespace sotto::relay;  // NOLINT(google-build-using-namespace): a one-function program

namespace {

void Require(bool ok) {
  if (!ok) std::abort();
}

// Reads every byte, so that a view outside the message is an error under AddressSanitizer.
uint32_t Touch(std::span<const uint8_t> bytes) {
  uint32_t sum = 0;
  for (uint8_t byte : bytes) sum += byte;
  return sum;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto message = StunMessage::Parse({data, size});
  if (!message) return 0;
  Require(LooksLikeStun({data, size}));
  Require(EncodeStunType(message->method(), message->message_class()) == (data[0] << 8 | data[1]));

  volatile uint32_t sum = 0;
  std::vector<uint8_t> buffer(size + 4);
  StunBuilder builder(buffer, message->method(), message->message_class(),
                      message->transaction_id());
  size_t attributes = 0;
  message->ForEach([&](const StunAttribute& attribute) {
    sum = sum + Touch(attribute.value);
    Require(message->Has(attribute.type));
    message->FindU32(attribute.type);
    if (const auto address = message->FindXorAddress(attribute.type)) {
      uint8_t value[20];
      const size_t length = EncodeXorAddress(*address, message->transaction_id(), value);
      // The first byte is ignored on receipt (RFC 8489, section 14.2).
      const auto found = message->Find(attribute.type)->value;
      Require(length == found.size() && std::memcmp(value + 1, &found[1], length - 1) == 0);
    }
    builder.Add(attribute.type, attribute.value);
    ++attributes;
    return true;
  });
  const uint8_t key[4] = {'k', 'e', 'y', 0};
  VerifyIntegrity(*message, key);
  VerifyIntegritySha256(*message, key);
  VerifyFingerprint(*message);

  const std::span<uint8_t> rebuilt = builder.Finish();
  const auto again = StunMessage::Parse(rebuilt);
  Require(again.has_value());
  size_t again_attributes = 0;
  again->ForEach([&](const StunAttribute&) {
    ++again_attributes;
    return true;
  });
  Require(again_attributes == attributes);
  return 0;
}
