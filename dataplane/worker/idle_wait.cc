// SPDX-License-Identifier: Apache-2.0
#include "dataplane/worker/idle_wait.h"

#include <sched.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <utility>

namespace sotto::dataplane {
namespace {

// sched_setattr(2); this libc declares neither it nor its argument.
struct SchedAttributes {
  uint32_t size = sizeof(SchedAttributes);
  uint32_t policy = 0;
  uint64_t flags = 0;
  int32_t nice = 0;
  uint32_t priority = 0;
  uint64_t runtime_ns = 0;
  uint64_t deadline_ns = 0;
  uint64_t period_ns = 0;
};

// Who asks for short turns gets one the sooner after waking up (Linux 6.12 and later; no share of
// the CPU is lost by it). Where that can't be had, nothing is.
void AskForShortTurns() {
  constexpr uint64_t kTurnNs = 100'000;
  SchedAttributes attributes;
  if (syscall(SYS_sched_getattr, 0, &attributes, sizeof(attributes), 0) != 0) return;
  if (attributes.policy != SCHED_OTHER) return;
  attributes.runtime_ns = kTurnNs;
  (void)syscall(SYS_sched_setattr, 0, &attributes, 0);
}

}  // namespace

IdleWait::IdleWait(const std::vector<int>& wake_fds, uint64_t tsc_hz)
    : ticks_per_us_(tsc_hz / 1'000'000) {
  for (const int fd : wake_fds) fds_.push_back({fd, POLLIN, 0});
  prctl(PR_SET_TIMERSLACK, 1);  // a nanosecond: sleeps are as short as they say
  AskForShortTurns();
}

bool IdleWait::Exhausted(uint64_t tsc) {
  if (!std::exchange(silent_, true)) silent_since_ = tsc;
  silence_ = tsc - silent_since_;
  return silence_ >= kSpinUs * ticks_per_us_;
}

void IdleWait::Sleep() {
  if (!fds_.empty()) {
    poll(fds_.data(), fds_.size(), kMaxPollMs);
    return;
  }
  const timespec sleep = {0, static_cast<long>(1000 * SleepUs())};
  nanosleep(&sleep, nullptr);
}

uint64_t IdleWait::SleepUs() const { return std::min(silence_ / ticks_per_us_ / 8, kMaxSleepUs); }

}  // namespace sotto::dataplane
