// SPDX-License-Identifier: Apache-2.0
#include "relay/auth/quota.h"

namespace sotto::relay {
namespace {

// The Abseil in use knows its own string_view as a key for look-up, not the standard one.
absl::string_view Key(std::string_view name) { return {name.data(), name.size()}; }

}  // namespace

void AllocationQuota::SetLimit(uint32_t limit, size_t names) {
  limit_ = limit;
  if (limit == 0 || counts_) return;
  counts_ = true;
  held_.reserve(names);
}

bool AllocationQuota::Reached(std::string_view name) const {
  if (limit_ == 0) return false;
  const auto found = held_.find(Key(name));
  return found != held_.end() && found->second >= limit_;
}

void AllocationQuota::Take(std::string_view name) {
  if (!counts_) return;
  ++held_[Key(name)];
}

void AllocationQuota::Release(std::string_view name) {
  if (!counts_) return;
  const auto found = held_.find(Key(name));
  if (found != held_.end() && --found->second == 0) held_.erase(found);
}

}  // namespace sotto::relay
