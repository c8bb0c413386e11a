// SPDX-License-Identifier: Apache-2.0
// Integers in network byte order: Load and Store functions read and write host integers at any
// address.
#pragma once

#include <bit>
#include <cstdint>
#include <cstring>

namespace sotto {

static_assert(std::endian::native == std::endian::little,
              "Sotto is built for little-endian machines (x86-64, AArch64)");

constexpr uint16_t ByteSwap(uint16_t v) { return __builtin_bswap16(v); }
constexpr uint32_t ByteSwap(uint32_t v) { return __builtin_bswap32(v); }
constexpr uint64_t ByteSwap(uint64_t v) { return __builtin_bswap64(v); }

// Reads a host integer from big-endian bytes; `p` needs no alignment.
inline uint16_t LoadBe16(const uint8_t* p) {
  uint16_t v;
  std::memcpy(&v, p, sizeof(v));
  return ByteSwap(v);
}
inline uint32_t LoadBe32(const uint8_t* p) {
  uint32_t v;
  std::memcpy(&v, p, sizeof(v));
  return ByteSwap(v);
}
inline uint64_t LoadBe64(const uint8_t* p) {
  uint64_t v;
  std::memcpy(&v, p, sizeof(v));
  return ByteSwap(v);
}

// Writes a host integer as big-endian bytes; `p` needs no alignment.
inline void StoreBe16(uint8_t* p, uint16_t v) {
  v = ByteSwap(v);
  std::memcpy(p, &v, sizeof(v));
}
inline void StoreBe32(uint8_t* p, uint32_t v) {
  v = ByteSwap(v);
  std::memcpy(p, &v, sizeof(v));
}
inline void StoreBe64(uint8_t* p, uint64_t v) {
  v = ByteSwap(v);
  std::memcpy(p, &v, sizeof(v));
}

}  // namespace sotto
