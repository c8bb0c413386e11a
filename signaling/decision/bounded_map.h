// SPDX-License-Identifier: Apache-2.0
// A hash map that holds at most so many entries: a new one takes the place of the one that was put
// in longest ago. For what is worth remembering, and no harm to forget. One thread at a time.
#pragma once

#include <cstddef>
#include <list>
#include <utility>

#include "absl/container/flat_hash_map.h"

namespace sotto::signaling {

template <typename Key, typename Value>
class BoundedMap {
 public:
  // `max_size` is 1 at least.
  explicit BoundedMap(size_t max_size) : max_size_(max_size) {}

  // Null if there is none. Good until the next Put() or Erase().
  Value* Find(const Key& key) {
    const auto found = index_.find(key);
    return found == index_.end() ? nullptr : &found->second->second;
  }
  // The newest entry from now on, also if there was one.
  Value& Put(const Key& key, Value value) {
    Erase(key);
    if (index_.size() == max_size_) {
      index_.erase(entries_.front().first);
      entries_.pop_front();
    }
    entries_.emplace_back(key, std::move(value));
    index_.emplace(key, std::prev(entries_.end()));
    return entries_.back().second;
  }
  void Erase(const Key& key) {
    const auto found = index_.find(key);
    if (found == index_.end()) return;
    entries_.erase(found->second);
    index_.erase(found);
  }
  size_t size() const { return index_.size(); }

 private:
  const size_t max_size_;
  std::list<std::pair<Key, Value>> entries_;  // the oldest first
  absl::flat_hash_map<Key, typename std::list<std::pair<Key, Value>>::iterator> index_;
};

}  // namespace sotto::signaling
