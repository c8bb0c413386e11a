// SPDX-License-Identifier: Apache-2.0
// The thread on which a RelayFleet talks to its relays: what it is given to do, at once or later,
// in order. Holders of a shared_ptr may post to it even when it has ended (gRPC's callbacks come
// when they come); nothing runs then.
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <mutex>
#include <thread>

namespace sotto::signaling {

class FleetThread {
 public:
  using Work = std::function<void()>;
  using Clock = std::chrono::steady_clock;

  FleetThread() : thread_([this] { Run(); }) {}
  ~FleetThread() { Stop(); }

  void Post(Work work) {
    std::lock_guard lock(mutex_);
    if (stopped_) return;
    work_.push_back(std::move(work));
    changed_.notify_one();
  }
  // Not before `delay` has passed.
  void PostAfter(std::chrono::milliseconds delay, Work work) {
    std::lock_guard lock(mutex_);
    if (stopped_) return;
    later_.emplace(Clock::now() + delay, std::move(work));
    changed_.notify_one();
  }

  // From another thread; once. What has not run by then never will.
  void Stop() {
    if (!thread_.joinable()) return;
    {
      std::lock_guard lock(mutex_);
      stopped_ = true;
      changed_.notify_one();
    }
    thread_.join();
    work_.clear();
    later_.clear();
  }

 private:
  void Run() {
    std::unique_lock lock(mutex_);
    while (!stopped_) {
      const Clock::time_point now = Clock::now();
      while (!later_.empty() && later_.begin()->first <= now) {
        work_.push_back(std::move(later_.begin()->second));
        later_.erase(later_.begin());
      }
      if (work_.empty()) {
        if (later_.empty()) {
          changed_.wait(lock);
        } else {
          changed_.wait_until(lock, Clock::time_point(later_.begin()->first));
        }
        continue;
      }
      std::deque<Work> work;
      work.swap(work_);
      lock.unlock();
      for (const Work& run : work) run();
      work.clear();
      lock.lock();
    }
  }

  std::mutex mutex_;
  std::condition_variable changed_;
  // Under mutex_:
  std::deque<Work> work_;
  std::multimap<Clock::time_point, Work> later_;
  bool stopped_ = false;
  std::thread thread_;
};

}  // namespace sotto::signaling
