// SPDX-License-Identifier: Apache-2.0
// What the load generator sends in place of media: who sent it to whom, when, and a fill of which
// every byte can be checked.
//
//    0       4       8       12              20      21       24              32
//   |  run  | call  |  seq  |  send time ns  | flags |  zero  |      tag      | fill ...
//
// All integers are big-endian. Flags: bit 0 is the direction (0: from leg A to leg B), bit 1 says
// that the packet counts (it isn't warm-up). The tag is a keyed hash of the 24 bytes before it, and
// the fill a pseudo-random stream seeded with the tag: a change of any bit is noticed (with a
// probability of 1 - 2^-64 in the header). The hash finds accidents, not attacks.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

namespace sotto::tools {

// The least payload that the load generator can send.
constexpr size_t kMinMediaPacketSize = 32;

struct MediaPacket {
  uint32_t run = 0;  // random for each run, so that stragglers of another run don't count
  uint32_t call = 0;
  uint32_t sequence = 0;      // of its call and direction
  uint64_t send_time_ns = 0;  // CLOCK_REALTIME
  uint8_t direction = 0;
  bool counts = true;

  bool operator==(const MediaPacket&) const = default;
};

// Fills `out`, which holds kMinMediaPacketSize bytes at least.
void WriteMediaPacket(const MediaPacket& packet, uint64_t key, std::span<uint8_t> out);

// Nothing if a single bit isn't as it was written.
std::optional<MediaPacket> ReadMediaPacket(std::span<const uint8_t> bytes, uint64_t key);

}  // namespace sotto::tools
