// SPDX-License-Identifier: Apache-2.0
// What other threads want done by the one thread that may touch a daemon's state, its owner: with
// what that thread passes to each task.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <mutex>
#include <utility>

namespace sotto {

template <typename... Passed>
class TaskQueue {
 public:
  using Task = std::function<void(Passed...)>;

  // Holds up to `most` tasks. `wake` is called, on the posting thread, after each one.
  TaskQueue(size_t most, std::function<void()> wake) : most_(most), wake_(std::move(wake)) {}

  // Any thread. False, and the task will never run, if there are too many or no more are taken.
  bool Post(Task task) { return Add(std::move(task), most_); }
  // For what goes on with a task that ran, and is bounded by its caller: finds room always.
  bool PostMore(Task task) { return Add(std::move(task), SIZE_MAX); }

  // The owner. Runs up to `budget` tasks; returns how many.
  size_t Run(Passed... passed, size_t budget) {
    if (size_.load(std::memory_order_acquire) == 0) return 0;
    std::deque<Task> taken;
    {
      std::lock_guard lock(mutex_);
      if (tasks_.size() <= budget) {
        taken.swap(tasks_);
      } else {
        const auto end = tasks_.begin() + static_cast<ptrdiff_t>(budget);
        taken.assign(std::move_iterator(tasks_.begin()), std::move_iterator(end));
        tasks_.erase(tasks_.begin(), end);
      }
      size_.store(tasks_.size(), std::memory_order_relaxed);
    }
    for (const Task& task : taken) task(passed...);
    return taken.size();
  }

  // The owner, at its end: takes no more, and runs what there is.
  void Close(Passed... passed) {
    {
      std::lock_guard lock(mutex_);
      closed_ = true;
    }
    while (Run(passed..., SIZE_MAX) > 0) {
    }
  }

 private:
  bool Add(Task task, size_t most) {
    {
      std::lock_guard lock(mutex_);
      if (closed_ || tasks_.size() >= most) return false;
      tasks_.push_back(std::move(task));
      size_.store(tasks_.size(), std::memory_order_release);
    }
    wake_();
    return true;
  }

  const size_t most_;
  const std::function<void()> wake_;
  std::mutex mutex_;
  std::deque<Task> tasks_;  // under mutex_
  bool closed_ = false;     // under mutex_
  // Of tasks_: written under mutex_, read by the owner without, so that an idle turn costs one
  // load.
  std::atomic<size_t> size_ = 0;
};

}  // namespace sotto
