// SPDX-License-Identifier: Apache-2.0
// Recent authenticated transactions whose repetition would be answered differently: errors to
// Allocate (a port may have become free since) and deletions (the allocation is gone). A client
// that sends such a request again gets the same answer for 40 seconds (RFC 8489, section 6.3.1).
//
// Holds a bounded number; the oldest goes first. One thread only.
#pragma once

#include <cstdint>
#include <list>
#include <optional>

#include "absl/container/flat_hash_map.h"
#include "relay/forwarding.h"
#include "relay/stun/message.h"

namespace sotto::relay {

class TransactionCache {
 public:
  explicit TransactionCache(size_t capacity) : capacity_(capacity) {}

  struct Key {
    ClientPath path;
    TransactionId id = {};
    StunMethod method{};

    bool operator==(const Key&) const = default;
    template <typename H>
    friend H AbslHashValue(H h, const Key& k) {
      return H::combine(std::move(h), k.path, k.id, k.method);
    }
  };
  // How the request was answered: an error, or (nothing) that the allocation was deleted.
  using Answer = std::optional<StunError>;

  void Remember(const Key& key, Answer answer, MonotonicMs now);
  std::optional<Answer> Find(const Key& key, MonotonicMs now) const;
  // Forgets up to `budget` transactions that are too old.
  void Tick(MonotonicMs now, uint32_t budget);
  size_t size() const { return by_age_.size(); }

 private:
  struct Entry {
    Key key;
    Answer answer;
    MonotonicMs expires_at = 0;
  };
  size_t capacity_;
  std::list<Entry> by_age_;  // oldest first
  absl::flat_hash_map<Key, std::list<Entry>::iterator> by_key_;
};

}  // namespace sotto::relay
