// SPDX-License-Identifier: Apache-2.0
// When something is next due, for many objects: an ordered set that is touched rarely.
//
// A deadline that moves away (a heartbeat, on each frame) costs nothing: the entry stays where it
// was, comes out too early, and its owner schedules it anew. One thread.
#pragma once

#include <cstdint>
#include <utility>
#include <vector>

#include "absl/container/btree_set.h"
#include "relay/base/clock.h"

namespace sotto {

template <typename Id>
class Deadlines {
 public:
  // Where an object's entry stands; kept in the object.
  using Entry = MonotonicMs;

  // `id` comes out at `at`, or before. `entry` is kNever at first.
  void Schedule(const Id& id, Entry& entry, MonotonicMs at) {
    if (at >= entry) return;
    if (entry != kNever) set_.erase({entry, id});
    entry = at;
    if (at != kNever) set_.insert({at, id});
  }
  void Remove(const Id& id, Entry& entry) {
    if (entry != kNever) set_.erase({entry, id});
    entry = kNever;
  }

  // Takes out whatever is due; the entries of those are to be set to kNever.
  std::vector<Id> TakeDue(MonotonicMs now) {
    std::vector<Id> due;
    while (!set_.empty() && set_.begin()->first <= now) {
      due.push_back(set_.begin()->second);
      set_.erase(set_.begin());
    }
    return due;
  }

  MonotonicMs Next() const { return set_.empty() ? kNever : set_.begin()->first; }

 private:
  absl::btree_set<std::pair<MonotonicMs, Id>> set_;
};

}  // namespace sotto
