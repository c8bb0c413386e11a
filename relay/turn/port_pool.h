// SPDX-License-Identifier: Apache-2.0
// The free ports of one relay address. Which port comes next can't be guessed (RFC 6056), and
// finding one takes the same few steps whether the pool is empty or nearly full.
#pragma once

#include <cstdint>
#include <optional>
#include <utility>
#include <vector>

#include "relay/base/random.h"

namespace sotto::relay {

class PortPool {
 public:
  // The ports `range.first` to `range.second`, both included.
  explicit PortPool(std::pair<uint16_t, uint16_t> range);

  // Nothing if no port of the kind is free.
  std::optional<uint16_t> TakeAny(Random& random);
  std::optional<uint16_t> TakeEven(Random& random);
  // An even port, and the odd one above it; both are then in use.
  std::optional<uint16_t> TakePair(Random& random);
  // `port` must be in use.
  void Release(uint16_t port);

  uint32_t in_use() const { return in_use_; }
  bool Contains(uint16_t port) const { return port >= first_ && port <= last_; }
  bool InUse(uint16_t port) const;

 private:
  enum class Kind : uint8_t { kAny, kEven, kPair };

  // A bit for each port of word `index` at which a port of the kind could be taken.
  uint64_t Candidates(uint32_t index, Kind kind) const;
  std::optional<uint16_t> Find(Kind kind, Random& random) const;
  void Mark(uint16_t port);

  uint16_t first_;
  uint16_t last_;
  uint32_t first_word_;
  // Bit `port % 64` of word `port / 64 - first_word_`: free. An even port and the one above it
  // always share a word.
  std::vector<uint64_t> free_;
  uint32_t in_use_ = 0;
};

}  // namespace sotto::relay
