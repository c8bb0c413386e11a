// SPDX-License-Identifier: Apache-2.0
// MESSAGE-INTEGRITY, MESSAGE-INTEGRITY-SHA256 and FINGERPRINT (RFC 8489, sections 14.5 to 14.7).
#pragma once

#include <cstdint>
#include <span>

#include "relay/stun/message.h"

namespace sotto::relay {

// Whether the message carries the attribute and its MAC is right under `key`. The comparison
// takes the same time wherever the MACs differ. Attributes behind it don't enter the MAC.
bool VerifyIntegrity(const StunMessage& message, std::span<const uint8_t> key);
bool VerifyIntegritySha256(const StunMessage& message, std::span<const uint8_t> key);

// Whether FINGERPRINT is the last attribute and right.
bool VerifyFingerprint(const StunMessage& message);

// HMACs over the concatenation of `parts`; `out` is 20 or 32 bytes.
void HmacSha1(std::span<const uint8_t> key, std::span<const std::span<const uint8_t>> parts,
              std::span<uint8_t, 20> out);
void HmacSha256(std::span<const uint8_t> key, std::span<const std::span<const uint8_t>> parts,
                std::span<uint8_t, 32> out);

// CRC-32 as FINGERPRINT uses it (before the XOR with 0x5354554e).
uint32_t Crc32(std::span<const uint8_t> bytes);

}  // namespace sotto::relay
