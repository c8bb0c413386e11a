// SPDX-License-Identifier: Apache-2.0
// The internet checksum (RFC 1071) and its incremental update (RFC 1624).
//
// A partial sum is kept as a uint64_t over 16-bit words read in *memory* order (not converted to
// host order): one's-complement addition is byte-order independent, so sums, differences and the
// stored checksum field all stay in that one form, and no byte swap happens on the hot path.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>

namespace sotto {

// Sums `bytes` as 16-bit words; an odd last byte counts as if followed by a zero byte. The bytes
// must begin at an even offset of the datagram that the checksum covers.
inline uint64_t SumWords(const uint8_t* bytes, size_t size) {
  uint64_t sum = 0;
  while (size >= 4) {
    uint32_t word;
    std::memcpy(&word, bytes, 4);
    sum += word;
    bytes += 4;
    size -= 4;
  }
  if (size >= 2) {
    uint16_t word;
    std::memcpy(&word, bytes, 2);
    sum += word;
    bytes += 2;
    size -= 2;
  }
  if (size == 1) sum += *bytes;  // little-endian: the byte stands first, in the low half
  return sum;
}
inline uint64_t SumWords(std::span<const uint8_t> bytes) {
  return SumWords(bytes.data(), bytes.size());
}

// Folds a sum to 16 bits (one's complement).
inline uint16_t FoldSum(uint64_t sum) {
  sum = (sum & 0xffffffff) + (sum >> 32);
  sum = (sum & 0xffffffff) + (sum >> 32);
  sum = (sum & 0xffff) + (sum >> 16);
  sum = (sum & 0xffff) + (sum >> 16);
  return static_cast<uint16_t>(sum);
}

// What must be added in place of subtracting the words whose folded sum is `folded`.
inline uint16_t NegateSum(uint16_t folded) { return static_cast<uint16_t>(~folded); }

// The checksum field (as stored in memory) for a sum over everything it covers.
inline uint16_t ChecksumOf(uint64_t sum) { return static_cast<uint16_t>(~FoldSum(sum)); }

// RFC 1624, equation 3: the field for data that changed by `delta`, where `delta` is the sum of
// the words added and of the complements of the words removed.
inline uint16_t UpdateChecksum(uint16_t field, uint64_t delta) {
  return ChecksumOf(static_cast<uint64_t>(static_cast<uint16_t>(~field)) + delta);
}

// UDP: a computed zero is sent as 0xffff (RFC 768); zero means "no checksum".
inline uint16_t UdpChecksumField(uint16_t checksum) { return checksum == 0 ? 0xffff : checksum; }

// A word as it adds to a sum in memory order.
inline uint16_t SumWord(uint16_t host) { return __builtin_bswap16(host); }

}  // namespace sotto
