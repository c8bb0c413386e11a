// SPDX-License-Identifier: Apache-2.0
// Which packets of one leg have arrived, as far as the last 64 tell. 16 bytes, for millions of
// legs.
#pragma once

#include <cstdint>

namespace sotto::tools {

class SequenceWindow {
 public:
  enum class Arrival : uint8_t {
    kInOrder,
    kReordered,  // a later one was here first (RFC 4737, section 3.3)
    kDuplicate,  // of one of the last 64; an older one counts as reordered
    kStale,      // from before Start()
  };

  // Packets from `sequence` on count. Sequence numbers go round.
  void Start(uint32_t sequence) {
    first_ = next_ = sequence;
    seen_ = 0;
  }

  Arrival Note(uint32_t sequence) {
    const auto ahead = static_cast<int32_t>(sequence - next_);
    if (ahead >= 0) {
      const uint32_t shift = static_cast<uint32_t>(ahead) + 1;
      seen_ = (shift < 64 ? seen_ << shift : 0) | 1;
      next_ = sequence + 1;
      return Arrival::kInOrder;
    }
    if (static_cast<int32_t>(sequence - first_) < 0) return Arrival::kStale;
    const uint32_t back = next_ - 1 - sequence;
    if (back >= 64) return Arrival::kReordered;
    const uint64_t bit = uint64_t{1} << back;
    if ((seen_ & bit) != 0) return Arrival::kDuplicate;
    seen_ |= bit;
    return Arrival::kReordered;
  }

 private:
  uint32_t first_ = 0;
  uint32_t next_ = 0;  // one more than the highest that has arrived
  uint64_t seen_ = 0;  // bit i: next_ - 1 - i
};
static_assert(sizeof(SequenceWindow) == 16);

}  // namespace sotto::tools
