// SPDX-License-Identifier: Apache-2.0
// How often one account calls one other, within a window: in memory alone, as keyed hashes under a
// key that the process forgets, for a bounded number of pairs (the ones whose window began last).
//
// One thread at a time.
#pragma once

#include <array>
#include <cstdint>
#include <optional>

#include "absl/container/flat_hash_map.h"
#include "signaling/decision/bounded_map.h"
#include "signaling/identity/account.h"

namespace sotto::signaling {

class PairRate {
 public:
  // At most `calls` in each window of `window_s`.
  PairRate(uint32_t calls, uint32_t window_s, size_t max_pairs = 131'072);

  // Counts a call; whether it's one of those that the window allows.
  bool Take(const AccountId& caller, const AccountId& recipient, int64_t unix_s);

  // Keeps what was counted since the last of these two, or takes it back.
  void Committed() { undo_.clear(); }
  void RolledBack();

 private:
  using Hash = std::array<uint8_t, 16>;
  struct Window {
    int64_t began_unix_s = 0;
    uint32_t calls = 0;
  };
  Hash HashOf(const AccountId& caller, const AccountId& recipient) const;

  const uint32_t calls_;
  const uint32_t window_s_;
  std::array<uint8_t, 32> key_;
  BoundedMap<Hash, Window> windows_;
  absl::flat_hash_map<Hash, std::optional<Window>> undo_;  // as it was before
};

}  // namespace sotto::signaling
