// SPDX-License-Identifier: Apache-2.0
// How many connections there may be: in all, and from one source prefix (IPv4 /32, IPv6 /64), so
// that one host can't take them all, nor spend the server's CPU on handshakes. One thread; time is
// passed in.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>

#include "absl/container/flat_hash_map.h"
#include "relay/base/deadlines.h"
#include "relay/base/ip_address.h"

namespace sotto::signaling {

class ConnectionLimits : public std::enable_shared_from_this<ConnectionLimits> {
 public:
  // A connection's place; given back when it ends.
  class Place {
   public:
    Place(Place&& other) noexcept = default;
    Place& operator=(Place&&) = delete;
    ~Place() {
      if (limits_ != nullptr) limits_->GiveBack(prefix_);
    }

   private:
    friend class ConnectionLimits;
    Place(std::shared_ptr<ConnectionLimits> limits, const IpAddress& prefix)
        : limits_(std::move(limits)), prefix_(prefix) {}
    std::shared_ptr<ConnectionLimits> limits_;
    IpAddress prefix_;
  };

  // A prefix may open kTurnover times `most_of_prefix` connections at once after a pause, and as
  // many a minute in the long run. To be held by a shared_ptr: places keep it alive.
  static constexpr uint64_t kTurnover = 4;
  ConnectionLimits(uint32_t most, uint32_t most_of_prefix)
      : most_(most), most_of_prefix_(most_of_prefix) {}

  // For connections to come.
  void Set(uint32_t most, uint32_t most_of_prefix) {
    most_ = most;
    most_of_prefix_ = most_of_prefix;
  }
  std::optional<Place> Take(const IpAddress& source, MonotonicMs now);
  uint32_t taken() const { return taken_; }
  size_t prefixes() const { return prefixes_.size(); }

 private:
  struct Prefix {
    uint32_t taken = 0;
    uint64_t opened = 0;  // lately: kMinuteMs for each, less what time has taken off
    MonotonicMs at = 0;   // when `opened` was right
  };
  static constexpr uint64_t kMinuteMs = 60'000;
  uint64_t OpenedMost() const { return kTurnover * most_of_prefix_ * kMinuteMs; }
  void Refill(Prefix& prefix, MonotonicMs now) const;
  void GiveBack(const IpAddress& prefix) {
    --taken_;
    --prefixes_.find(prefix)->second.taken;
  }
  void Sweep(MonotonicMs now);

  uint32_t most_;
  uint32_t most_of_prefix_;
  uint32_t taken_ = 0;
  absl::flat_hash_map<IpAddress, Prefix> prefixes_;
};

}  // namespace sotto::signaling
