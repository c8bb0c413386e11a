// SPDX-License-Identifier: Apache-2.0
#include "tools/media/media_packet.h"

#include <cstring>

#include "relay/base/big_endian.h"

namespace sotto::tools {
namespace {

constexpr size_t kTagOffset = 24;
constexpr uint8_t kDirectionFlag = 0x01;
constexpr uint8_t kCountsFlag = 0x02;

// SplitMix64.
uint64_t Mix(uint64_t x) {
  x ^= x >> 30;
  x *= 0xbf58476d1ce4e5b9ULL;
  x ^= x >> 27;
  x *= 0x94d049bb133111ebULL;
  return x ^ (x >> 31);
}

uint64_t TagOf(const uint8_t* header, uint64_t key) {
  uint64_t tag = key;
  for (size_t i = 0; i < kTagOffset; i += 8) {
    tag = Mix(tag + 0x9e3779b97f4a7c15ULL + LoadBe64(header + i));
  }
  return tag;
}

// Calls `word(bytes, fill, size)` for each eight bytes of the fill; the last may be shorter. Stops
// when it returns false.
template <typename Byte, typename Visitor>
bool ForEachFillWord(std::span<Byte> bytes, uint64_t seed, Visitor word) {
  size_t offset = kMinMediaPacketSize;
  while (offset < bytes.size()) {
    seed += 0x9e3779b97f4a7c15ULL;
    const uint64_t fill = Mix(seed);
    const size_t size = bytes.size() - offset < 8 ? bytes.size() - offset : 8;
    if (!word(&bytes[offset], fill, size)) return false;
    offset += size;
  }
  return true;
}

}  // namespace

void WriteMediaPacket(const MediaPacket& packet, uint64_t key, std::span<uint8_t> out) {
  StoreBe32(&out[0], packet.run);
  StoreBe32(&out[4], packet.call);
  StoreBe32(&out[8], packet.sequence);
  StoreBe64(&out[12], packet.send_time_ns);
  StoreBe32(&out[20],
            uint32_t{packet.direction} << 24 | (packet.counts ? uint32_t{kCountsFlag} << 24 : 0));
  const uint64_t tag = TagOf(out.data(), key);
  StoreBe64(&out[kTagOffset], tag);
  ForEachFillWord(out, tag, [](uint8_t* bytes, uint64_t fill, size_t size) {
    std::memcpy(bytes, &fill, size);
    return true;
  });
}

std::optional<MediaPacket> ReadMediaPacket(std::span<const uint8_t> bytes, uint64_t key) {
  if (bytes.size() < kMinMediaPacketSize) return std::nullopt;
  const uint64_t tag = TagOf(bytes.data(), key);
  if (LoadBe64(&bytes[kTagOffset]) != tag) return std::nullopt;
  if (!ForEachFillWord(bytes, tag, [](const uint8_t* word, uint64_t fill, size_t size) {
        return std::memcmp(word, &fill, size) == 0;
      })) {
    return std::nullopt;
  }
  MediaPacket packet;
  packet.run = LoadBe32(&bytes[0]);
  packet.call = LoadBe32(&bytes[4]);
  packet.sequence = LoadBe32(&bytes[8]);
  packet.send_time_ns = LoadBe64(&bytes[12]);
  packet.direction = bytes[20] & kDirectionFlag;
  packet.counts = (bytes[20] & kCountsFlag) != 0;
  return packet;
}

}  // namespace sotto::tools
