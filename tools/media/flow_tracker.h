// SPDX-License-Identifier: Apache-2.0
// Which packets of one call and direction have arrived: one bit each.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace sotto::tools {

class FlowTracker {
 public:
  enum class Arrival : uint8_t {
    kInOrder,
    kReordered,  // a later one was here first (RFC 4737, section 3.3)
    kDuplicate,
  };

  Arrival Note(uint32_t sequence) {
    const size_t word = sequence / 64;
    if (word >= seen_.size()) seen_.resize(word + 1 + word / 2);
    const uint64_t bit = uint64_t{1} << (sequence % 64);
    if ((seen_[word] & bit) != 0) return Arrival::kDuplicate;
    seen_[word] |= bit;
    if (sequence < next_) return Arrival::kReordered;
    next_ = uint64_t{sequence} + 1;
    return Arrival::kInOrder;
  }

 private:
  std::vector<uint64_t> seen_;
  uint64_t next_ = 0;  // one more than the highest that has arrived
};

}  // namespace sotto::tools
