// SPDX-License-Identifier: Apache-2.0
// How operators name an allocation. A LegId is used again as soon as its allocation ends; what an
// operator saw must not name the next one, so a digest of what the allocation is belongs to its
// name.
#pragma once

#include <cstdint>

#include "absl/hash/hash.h"
#include "relay/turn/server.h"

namespace sotto::dataplane {

// Never 0, and grows with the LegId. Of two allocations that have one LegId after the other, all
// but one in sixteen million differ; where one client comes back from the same port within a second
// and gets the same relayed address, it's the same to an operator too. Of no use beyond the
// process.
inline uint64_t OperatorId(const relay::AllocationInfo& info) {
  const TransportAddress none;
  const uint64_t digest = absl::HashOf(info.path, info.relayed_v4.value_or(none),
                                       info.relayed_v6.value_or(none), info.created_at);
  return (uint64_t{info.id} + 1) << 24 | (digest & 0xffffff);
}

// The LegId that an operator's id is about; UINT32_MAX, which is none, for what is no id.
inline relay::LegId LegIdOf(uint64_t operator_id) {
  const uint64_t place = operator_id >> 24;
  return place == 0 || place > UINT32_MAX ? UINT32_MAX : static_cast<relay::LegId>(place - 1);
}

}  // namespace sotto::dataplane
