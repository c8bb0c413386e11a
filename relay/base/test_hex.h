// SPDX-License-Identifier: Apache-2.0
// Reads bytes that a test writes as hexadecimal digits. (absl::HexStringToBytes has one signature
// in Debian 12's Abseil and another in Debian 13's.)
#pragma once

#include <charconv>
#include <cstddef>
#include <cstdint>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

namespace sotto {

// Returns the bytes of `hex`, two digits each. Throws std::invalid_argument, which fails the test,
// if it holds anything else.
inline std::vector<uint8_t> BytesFromHex(std::string_view hex) {
  std::vector<uint8_t> bytes(hex.size() / 2);
  for (size_t i = 0; i < bytes.size(); ++i) {
    const char* digits = hex.data() + 2 * i;
    if (std::from_chars(digits, digits + 2, bytes[i], 16).ptr != digits + 2) {
      throw std::invalid_argument("not hexadecimal: " + std::string(hex));
    }
  }
  if (hex.size() % 2 != 0) {
    throw std::invalid_argument("an odd number of digits: " + std::string(hex));
  }
  return bytes;
}

}  // namespace sotto
