// SPDX-License-Identifier: Apache-2.0
// Wakes a thread that sleeps until there is something in its rings: control, or a worker.
//
// While it is awake, ringing costs the others one load; the system call happens only for the first
// packet after it went to sleep.
#pragma once

#include <sys/eventfd.h>
#include <unistd.h>

#include <atomic>
#include <cstdint>

namespace sotto::dataplane {

class Doorbell {
 public:
  Doorbell() : fd_(eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)) {}
  ~Doorbell() { close(fd_); }
  Doorbell(const Doorbell&) = delete;
  Doorbell& operator=(const Doorbell&) = delete;

  // Any other thread, after it has put something into a ring.
  void Ring() {
    std::atomic_thread_fence(std::memory_order_seq_cst);
    if (waiting_.load(std::memory_order_relaxed) && waiting_.exchange(false)) {
      const uint64_t one = 1;
      [[maybe_unused]] const ssize_t written = write(fd_, &one, sizeof(one));
    }
  }

  // The sleeper: says that it is about to sleep. It must look at the rings once more afterwards,
  // and sleep until fd() is readable only if they are empty.
  void StartWaiting() {
    waiting_.store(true, std::memory_order_relaxed);
    std::atomic_thread_fence(std::memory_order_seq_cst);
  }
  void StopWaiting() {
    waiting_.store(false, std::memory_order_relaxed);
    uint64_t count;
    [[maybe_unused]] const ssize_t taken = read(fd_, &count, sizeof(count));
  }
  int fd() const { return fd_; }

 private:
  int fd_;
  std::atomic<bool> waiting_ = false;  // the sleeper sets, who rings clears
};

}  // namespace sotto::dataplane
