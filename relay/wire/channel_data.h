// SPDX-License-Identifier: Apache-2.0
// ChannelData framing (RFC 8656, section 12.4):
//
//    0                   1                   2                   3
//   |         Channel Number        |            Length             |
//   /                       Application Data                        /
//   (over UDP: padding to a multiple of 4 may follow, and is not counted in Length)
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include "relay/base/big_endian.h"

namespace sotto::relay {

constexpr size_t kChannelDataHeaderSize = 4;
// RFC 8656, section 12: 0x5000-0xFFFF are reserved.
constexpr uint16_t kMinChannelNumber = 0x4000;
constexpr uint16_t kMaxChannelNumber = 0x4FFF;

constexpr bool IsChannelNumber(uint16_t number) {
  return number >= kMinChannelNumber && number <= kMaxChannelNumber;
}

struct ChannelData {
  uint16_t number = 0;
  std::span<const uint8_t> data;  // views the datagram
};

// Whether a datagram at a listening port is ChannelData by its first byte (RFC 8656, section 12).
inline bool LooksLikeChannelData(std::span<const uint8_t> datagram) {
  return !datagram.empty() && datagram[0] >= 0x40 && datagram[0] <= 0x4F;
}

// Nothing if the datagram is too short, the number is out of range, or Length passes the end.
// Bytes behind Length are padding over UDP and are ignored.
inline std::optional<ChannelData> ParseChannelData(std::span<const uint8_t> datagram) {
  if (datagram.size() < kChannelDataHeaderSize) return std::nullopt;
  const uint16_t number = LoadBe16(datagram.data());
  const uint16_t length = LoadBe16(datagram.data() + 2);
  if (!IsChannelNumber(number) || length > datagram.size() - kChannelDataHeaderSize) {
    return std::nullopt;
  }
  return ChannelData{number, datagram.subspan(kChannelDataHeaderSize, length)};
}

// Writes the 4-byte header; `out` must hold it.
inline void WriteChannelDataHeader(uint8_t* out, uint16_t number, uint16_t length) {
  StoreBe16(out, number);
  StoreBe16(out + 2, length);
}

}  // namespace sotto::relay
