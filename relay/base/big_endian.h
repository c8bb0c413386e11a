// SPDX-License-Identifier: Apache-2.0
// Integers in network byte order.
//
// be16_t and be32_t hold bytes as they are on the wire; they can't be mixed with host integers by
// accident, have an alignment of one, and so may stand in a struct laid over packet bytes at any
// offset. Load and Store functions read and write host integers at any address.
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

// A 16-bit integer in network byte order, of alignment one.
class be16_t {
 public:
  be16_t() = default;
  explicit be16_t(uint16_t host) { StoreBe16(bytes_, host); }
  uint16_t value() const { return LoadBe16(bytes_); }
  bool operator==(const be16_t&) const = default;

 private:
  uint8_t bytes_[2];
};

// A 32-bit integer in network byte order, of alignment one.
class be32_t {
 public:
  be32_t() = default;
  explicit be32_t(uint32_t host) { StoreBe32(bytes_, host); }
  uint32_t value() const { return LoadBe32(bytes_); }
  bool operator==(const be32_t&) const = default;

 private:
  uint8_t bytes_[4];
};

static_assert(sizeof(be16_t) == 2 && alignof(be16_t) == 1);
static_assert(sizeof(be32_t) == 4 && alignof(be32_t) == 1);

}  // namespace sotto
