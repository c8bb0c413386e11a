// SPDX-License-Identifier: Apache-2.0
// How many calls an account has placed within the last minute, as a sliding window of two halves:
// the count of this minute, and the share of the minute before that is still within 60 seconds. An
// account that places nothing is forgotten after two minutes, so the table is as large as the
// number of accounts that place calls. One thread only; time is passed in.
#pragma once

#include <cstdint>

#include "absl/container/flat_hash_map.h"
#include "signaling/identity/account.h"

namespace sotto::signaling {

class PlaceRate {
 public:
  explicit PlaceRate(uint32_t per_minute) : per_minute_(per_minute) {}

  // Counts one, unless the account has used up its minute.
  bool Spend(const AccountId& account, uint64_t monotonic_ms);

 private:
  using Counts = absl::flat_hash_map<AccountId, uint32_t>;
  const uint32_t per_minute_;
  uint64_t minute_ = 0;
  Counts current_;
  Counts previous_;
};

}  // namespace sotto::signaling
