// SPDX-License-Identifier: Apache-2.0
// Ends allocations, or counts them, a bounded piece at a time, so that control's other work isn't
// kept waiting by however many there are. Control thread only.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <utility>

#include "relay/turn/server.h"

namespace sotto::dataplane {

class AllocationSweep {
 public:
  // Places of allocations that a step looks at, and so allocations that it may end.
  static constexpr uint32_t kPlacesAtOnce = 512;

  struct Options {
    relay::LegId first = 0;
    bool single = false;    // looks at `first` alone
    bool bindings = false;  // `matches` is told of permissions and channels
    uint32_t limit = 0;     // 0: none
    bool dry_run = false;   // counts, and ends none
  };
  using Matches = std::function<bool(const relay::AllocationInfo& info, MonotonicMs now)>;

  AllocationSweep(const Options& options, Matches matches)
      : options_(options), matches_(std::move(matches)), next_(options.first) {}

  // The next piece. How many were ended (with dry_run: would be) once there is no more; what is
  // made between two steps may go on.
  std::optional<uint32_t> Step(relay::Server& server, const Now& now);

 private:
  const Options options_;
  const Matches matches_;
  relay::LegId next_;
  uint32_t ended_ = 0;
};

}  // namespace sotto::dataplane
