// SPDX-License-Identifier: Apache-2.0
#include "dataplane/worker/idle_wait.h"

#include <gtest/gtest.h>
#include <sys/eventfd.h>

#include <chrono>

#include "dataplane/worker/doorbell.h"

namespace sotto::dataplane {
namespace {

constexpr uint64_t kHz = 1'000'000;  // a tick is a microsecond

bool Readable(int fd) {
  pollfd input = {.fd = fd, .events = POLLIN, .revents = 0};
  return poll(&input, 1, 0) == 1;
}

TEST(IdleWaitTest, SpinsThroughShortGapsAndCountsEachFromItsFirstEmptyRound) {
  IdleWait idle({}, kHz);
  EXPECT_FALSE(idle.Exhausted(0));
  EXPECT_FALSE(idle.Exhausted(IdleWait::kSpinUs - 1));
  idle.Reset();
  EXPECT_FALSE(idle.Exhausted(IdleWait::kSpinUs));
  EXPECT_FALSE(idle.Exhausted(2 * IdleWait::kSpinUs - 1));
  EXPECT_TRUE(idle.Exhausted(2 * IdleWait::kSpinUs));
}

TEST(IdleWaitTest, WithoutDescriptorsSleepsForAnEighthOfTheSilenceUpToABound) {
  IdleWait idle({}, kHz);
  idle.Exhausted(5000);
  idle.Exhausted(5000 + 800);
  EXPECT_EQ(idle.SleepUs(), 100u);
  idle.Exhausted(5000 + 60'000'000);
  EXPECT_EQ(idle.SleepUs(), IdleWait::kMaxSleepUs);
  idle.Reset();
  idle.Exhausted(70'000'000);
  EXPECT_EQ(idle.SleepUs(), 0u);
}

TEST(IdleWaitTest, WithDescriptorsSleepsUntilOneIsReadable) {
  using std::chrono::steady_clock;
  const int silent = eventfd(0, EFD_CLOEXEC);
  const int readable = eventfd(1, EFD_CLOEXEC);
  IdleWait idle({silent, readable}, kHz);
  constexpr int kSleeps = 100;
  auto began = steady_clock::now();
  for (int i = 0; i < kSleeps; ++i) idle.Sleep();
  const std::chrono::milliseconds whole(IdleWait::kMaxPollMs);
  EXPECT_LT(steady_clock::now() - began, kSleeps * whole / 2);

  IdleWait undisturbed({silent}, kHz);
  began = steady_clock::now();
  undisturbed.Sleep();
  EXPECT_GE(steady_clock::now() - began, whole - std::chrono::milliseconds(1));
  close(silent);
  close(readable);
}

TEST(DoorbellTest, IsSilentWhileNobodySleepsAndRingsOnceForWhoDoes) {
  Doorbell doorbell;
  doorbell.Ring();
  EXPECT_FALSE(Readable(doorbell.fd()));
  doorbell.StartWaiting();
  EXPECT_FALSE(Readable(doorbell.fd()));
  doorbell.Ring();
  doorbell.Ring();
  EXPECT_TRUE(Readable(doorbell.fd()));
  doorbell.StopWaiting();
  EXPECT_FALSE(Readable(doorbell.fd()));
  doorbell.StartWaiting();
  doorbell.StopWaiting();  // nobody rang
  doorbell.Ring();
  EXPECT_FALSE(Readable(doorbell.fd()));
}

}  // namespace
}  // namespace sotto::dataplane
