// SPDX-License-Identifier: Apache-2.0
// How a worker waits when nothing comes in: it spins through short gaps between packets, then
// sleeps. With poll = "adaptive"; docs/performance.md has what it costs and what it saves.
//
// Where every queue of the worker has a descriptor that becomes readable with a packet
// (FindWakeFd), it sleeps in poll() until then. Else it sleeps for an eighth of the silence so
// far, and so is late by an eighth of the gap between two packets at most, up to 200 us.
#pragma once

#include <poll.h>

#include <cstdint>
#include <vector>

namespace sotto::dataplane {

class IdleWait {
 public:
  // So that from 3,500 packets a second on a worker never sleeps.
  static constexpr uint64_t kSpinUs = 300;
  static constexpr uint64_t kMaxSleepUs = 200;
  // Descriptors say when to wake up; this is against what nobody has thought of.
  static constexpr int kMaxPollMs = 10;

  // `wake_fds`: one of each queue that the worker polls, and that of its doorbell; empty if a queue
  // has none. Must stay open. Tells the scheduler what the thread needs, so: on the worker's
  // thread.
  IdleWait(const std::vector<int>& wake_fds, uint64_t tsc_hz);

  // Something came in.
  void Reset() { silent_ = false; }
  // Nothing did, up to `tsc`. True when it is time to sleep.
  bool Exhausted(uint64_t tsc);
  // Until a descriptor is readable or kMaxPollMs are over; without descriptors, for SleepUs().
  void Sleep();
  uint64_t SleepUs() const;

 private:
  std::vector<pollfd> fds_;
  const uint64_t ticks_per_us_;
  bool silent_ = false;
  uint64_t silent_since_ = 0;  // TSC
  uint64_t silence_ = 0;       // ticks
};

}  // namespace sotto::dataplane
