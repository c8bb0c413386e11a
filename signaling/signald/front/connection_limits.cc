// SPDX-License-Identifier: Apache-2.0
#include "signaling/signald/front/connection_limits.h"

#include <algorithm>

namespace sotto::signaling {

std::optional<ConnectionLimits::Place> ConnectionLimits::Take(const IpAddress& source,
                                                              MonotonicMs now) {
  const IpAddress key = IpPrefix(source, source.is_v4() ? 32 : 64).address();
  if (taken_ >= most_) return std::nullopt;
  // A flood from many prefixes must not fill the memory with what each has opened.
  if (prefixes_.size() >= 2 * size_t{most_} && !prefixes_.contains(key)) Sweep(now);
  Prefix& prefix = prefixes_[key];
  Refill(prefix, now);
  if (prefix.taken >= most_of_prefix_ || prefix.opened + kMinuteMs > OpenedMost()) {
    return std::nullopt;
  }
  prefix.opened += kMinuteMs;
  ++prefix.taken;
  ++taken_;
  return Place(shared_from_this(), key);
}

void ConnectionLimits::Refill(Prefix& prefix, MonotonicMs now) const {
  const uint64_t elapsed = std::min(now - prefix.at, kMinuteMs);
  prefix.opened -= std::min(prefix.opened, elapsed * kTurnover * most_of_prefix_);
  prefix.at = now;
}

void ConnectionLimits::Sweep(MonotonicMs now) {
  absl::erase_if(prefixes_, [&](auto& entry) {
    Refill(entry.second, now);
    return entry.second.taken == 0 && entry.second.opened == 0;
  });
  if (prefixes_.size() < 2 * size_t{most_}) return;
  // Too many at once to remember them all: those who have nothing here are forgotten.
  absl::erase_if(prefixes_, [](const auto& entry) { return entry.second.taken == 0; });
}

}  // namespace sotto::signaling
