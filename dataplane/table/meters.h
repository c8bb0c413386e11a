// SPDX-License-Identifier: Apache-2.0
// What each leg and each user may still let pass: the rates of relay/forwarding.h. Control sets
// them, workers spend. Takes no memory before there is a rate; from then on it knows each leg's
// user, so that a later rate meets no leg with the user of another that had its number.
#pragma once

#include <rte_prefetch.h>

#include <atomic>
#include <cstdint>
#include <optional>

#include "dataplane/packet/drop_reason.h"
#include "dataplane/table/records.h"
#include "dataplane/table/table_memory.h"
#include "relay/forwarding.h"

namespace sotto::dataplane {

class Meters {
 public:
  // Where a packet came in.
  enum class Side : uint8_t { kClient, kPeer };

  // For legs with record numbers from 1 to `legs`, and as many users.
  explicit Meters(uint32_t legs);
  bool valid() const { return memory_.data() != nullptr; }

  // --- Control ---------------------------------------------------------------------------------

  void SetRates(const relay::ForwardingRates& rates);
  // The leg is new, and has spent nothing.
  void Start(RecordNumber leg, relay::UserNumber user);
  void SetUser(RecordNumber leg, relay::UserNumber user);

  // --- Workers ---------------------------------------------------------------------------------

  // What Pass() will read: the leg's, and when that is there, its user's.
  void PrefetchLeg(RecordNumber leg) const { rte_prefetch0(&legs_[leg - 1]); }
  void PrefetchUser(RecordNumber leg) const {
    const relay::UserNumber user = legs_[leg - 1].user.load(std::memory_order_relaxed);
    if (user != 0) rte_prefetch0(&users_[user - 1]);
  }
  // Whether there is any rate.
  bool on() const { return on_.load(std::memory_order_relaxed); }
  // Why a packet of so many bytes may not pass, if so; else it is spent, unless `spend` is false.
  std::optional<DropReason> Pass(RecordNumber leg, Side side, uint32_t bytes, uint64_t now_ms,
                                 bool spend) const;

 private:
  // Nanoseconds on the workers' clock up to which a rate is spent (the theoretical arrival time of
  // the generic cell rate algorithm). Workers write, whichever gets the packet.
  using SpentUntil = std::atomic<uint64_t>;

  struct alignas(32) Leg {
    SpentUntil packets[2];                    // by Side
    std::atomic<relay::UserNumber> user = 0;  // control writes, workers read
  };
  struct User {
    SpentUntil bytes[2];  // by Side
  };

  const uint32_t size_;
  const TableMemory memory_;
  Leg* const legs_;    // by number - 1
  User* const users_;  // by number - 1
  bool used_ = false;  // control's: there has been a rate
  // Control writes, workers read. 0: no such rate.
  std::atomic<bool> on_ = false;
  std::atomic<uint64_t> packet_ns_ = 0;   // what a packet takes
  std::atomic<uint64_t> byte_units_ = 0;  // what a byte takes, in fractions of a nanosecond
};

}  // namespace sotto::dataplane
