// SPDX-License-Identifier: Apache-2.0
#include "signaling/call/place_rate.h"

#include <utility>

namespace sotto::signaling {
namespace {

constexpr uint64_t kMinuteMs = 60'000;

}  // namespace

bool PlaceRate::Spend(const AccountId& account, uint64_t monotonic_ms) {
  const uint64_t minute = monotonic_ms / kMinuteMs;
  if (minute != minute_) {
    previous_ = minute == minute_ + 1 ? std::exchange(current_, {}) : Counts();
    current_.clear();
    minute_ = minute;
  }
  const auto before = previous_.find(account);
  const uint64_t still_counts = kMinuteMs - monotonic_ms % kMinuteMs;
  const uint64_t carried =
      before == previous_.end() ? 0 : (before->second * still_counts + kMinuteMs - 1) / kMinuteMs;
  uint32_t& count = current_[account];
  if (count + carried >= per_minute_) return false;
  ++count;
  return true;
}

}  // namespace sotto::signaling
