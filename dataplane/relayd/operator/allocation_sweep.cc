// SPDX-License-Identifier: Apache-2.0
#include "dataplane/relayd/operator/allocation_sweep.h"

#include <vector>

namespace sotto::dataplane {

std::optional<uint32_t> AllocationSweep::Step(relay::Server& server, const Now& now) {
  // The table mustn't change while it is looked through.
  std::vector<relay::LegId> found;
  const auto enough = [&] {
    return options_.limit != 0 && ended_ + found.size() >= options_.limit;
  };
  next_ = server.ForEachAllocation(next_, options_.single ? 1 : kPlacesAtOnce, options_.bindings,
                                   [&](const relay::AllocationInfo& info) {
                                     if (!enough() && matches_(info, now.monotonic_ms)) {
                                       found.push_back(info.id);
                                     }
                                   });
  const bool over = next_ == 0 || options_.single || enough();
  if (!options_.dry_run) {
    for (const relay::LegId leg : found) server.EndAllocation(leg, now).IgnoreError();
  }
  ended_ += static_cast<uint32_t>(found.size());
  return over ? std::optional(ended_) : std::nullopt;
}

}  // namespace sotto::dataplane
