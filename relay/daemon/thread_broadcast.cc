// SPDX-License-Identifier: Apache-2.0
#include "relay/daemon/thread_broadcast.h"

#include <dirent.h>
#include <fmt/format.h>
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <set>
#include <thread>

namespace sotto {
namespace {

// The caller writes the first before it signals; handlers on all threads read it, and write the
// others.
std::atomic<int (*)()> g_step = nullptr;
std::atomic<int> g_done = 0;
std::atomic<int> g_error = 0;

void Handle(int) {
  const int saved = errno;
  if (int (*step)() = g_step.load(std::memory_order_acquire); step != nullptr) {
    const int error = step();
    if (error != 0) g_error.store(error, std::memory_order_relaxed);
    g_done.fetch_add(1, std::memory_order_release);
  }
  errno = saved;
}

std::set<pid_t> Threads() {
  std::set<pid_t> threads;
  DIR* folder = opendir("/proc/self/task");
  if (folder == nullptr) return threads;
  while (const dirent* entry = readdir(folder)) {
    if (const int tid = std::atoi(entry->d_name); tid > 0) threads.insert(tid);
  }
  closedir(folder);
  return threads;
}

}  // namespace

absl::Status RunOnEveryThread(int (*step)()) {
  const int signal = SIGRTMAX - 3;
  const auto self = static_cast<pid_t>(syscall(SYS_gettid));
  struct sigaction action = {};
  action.sa_handler = Handle;
  action.sa_flags = SA_RESTART;
  struct sigaction before = {};
  sigaction(signal, &action, &before);
  g_error.store(0);
  g_step.store(step, std::memory_order_release);

  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(5);
  absl::Status status;
  std::set<pid_t> asked = {self};
  int expected = 0;
  if (const int error = step(); error != 0) g_error.store(error);
  g_done.store(0);
  // A thread that hasn't run the step may start another in the meantime.
  for (bool found = true; found && status.ok();) {
    found = false;
    const std::set<pid_t> threads = Threads();
    if (threads.empty()) status = absl::ErrnoToStatus(errno, "can't list the process's threads");
    for (const pid_t thread : threads) {
      if (!asked.insert(thread).second) continue;
      found = true;
      if (syscall(SYS_tgkill, getpid(), thread, signal) == 0) ++expected;
    }
    while (g_done.load(std::memory_order_acquire) < expected) {
      std::this_thread::sleep_for(std::chrono::microseconds(100));
      if (std::chrono::steady_clock::now() > deadline) {
        status = absl::DeadlineExceededError("a thread of the process does not respond to signals");
        break;
      }
    }
  }
  g_step.store(nullptr);
  sigaction(signal, &before, nullptr);
  if (status.ok() && g_error.load() != 0) {
    status = absl::ErrnoToStatus(g_error.load(), "a step failed on one of the process's threads");
  }
  return status;
}

}  // namespace sotto
