// SPDX-License-Identifier: Apache-2.0
// The calls of peer policy `call`: which legs stand on which side, and whether data may flow.
//
// A call comes into being with its first leg or when it is armed, and ends with its last leg; an
// armed call without legs is remembered for a while, because its legs may be on their way, or
// reconnecting. One thread only.
#pragma once

#include <cstdint>
#include <string_view>

#include "absl/container/flat_hash_set.h"
#include "absl/container/inlined_vector.h"
#include "absl/hash/hash.h"
#include "absl/strings/string_view.h"
#include "relay/forwarding.h"
#include "relay/turn/compact_string.h"
#include "relay/turn/slab.h"

namespace sotto::relay {

// How long an armed call without legs is remembered.
constexpr MonotonicMs kIdleCallMs = 600'000;

struct Call {
  struct Leg {
    LegId id = 0;
    uint8_t side = 0;
  };
  CompactString name;
  bool armed : 1 = false;
  MonotonicMs forgotten_at : 63 = 0;  // while it has no legs
  absl::InlinedVector<Leg, 2> legs = {};

  uint32_t LegsOf(uint8_t side) const;
};

class CallTable {
 public:
  // At most `max_idle` calls without legs are remembered.
  explicit CallTable(uint32_t max_idle)
      : max_idle_(max_idle), by_name_(0, NameHash{&slab_}, NameEqual{&slab_}) {}
  CallTable(const CallTable&) = delete;
  CallTable& operator=(const CallTable&) = delete;

  // A call's number, 0 if it isn't known. Numbers are used again once a call is forgotten.
  uint32_t Find(std::string_view name, MonotonicMs now) const;
  Call* Get(uint32_t number) { return number == 0 ? nullptr : slab_.Get(number - 1); }
  const Call* Get(uint32_t number) const { return const_cast<CallTable*>(this)->Get(number); }

  // The number of the call, made if need be.
  uint32_t AddLeg(std::string_view name, LegId leg, uint8_t side, bool arm, MonotonicMs now);
  void RemoveLeg(uint32_t number, LegId leg, MonotonicMs now);
  // Remembers an armed call that has no legs; 0 if there are too many of them.
  uint32_t AddIdle(std::string_view name, MonotonicMs now);
  void Forget(uint32_t number);
  void SetArmed(Call& call, bool armed);

  // Forgets idle calls whose time is over; looks at up to `budget` calls.
  void Tick(MonotonicMs now, uint32_t budget);

  uint32_t size() const { return slab_.size(); }
  uint32_t slots() const { return slab_.slots(); }  // numbers are 1 to this
  uint32_t idle() const { return idle_; }
  uint32_t armed() const { return armed_; }

 private:
  // The set holds numbers alone and reads the names from the slab.
  struct NameHash {
    using is_transparent = void;
    const Slab<Call>* slab;
    size_t operator()(uint32_t number) const { return (*this)(slab->Get(number - 1)->name.view()); }
    size_t operator()(std::string_view name) const {
      return absl::Hash<absl::string_view>()({name.data(), name.size()});
    }
  };
  struct NameEqual {
    using is_transparent = void;
    const Slab<Call>* slab;
    bool operator()(uint32_t a, uint32_t b) const { return a == b; }
    bool operator()(uint32_t number, std::string_view name) const {
      return slab->Get(number - 1)->name.view() == name;
    }
    bool operator()(std::string_view name, uint32_t number) const { return (*this)(number, name); }
  };

  uint32_t Create(std::string_view name);

  uint32_t max_idle_;
  uint32_t idle_ = 0;
  uint32_t armed_ = 0;
  uint32_t scan_ = 0;
  Slab<Call> slab_;
  absl::flat_hash_set<uint32_t, NameHash, NameEqual> by_name_;
};

}  // namespace sotto::relay
