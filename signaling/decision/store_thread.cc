// SPDX-License-Identifier: Apache-2.0
#include "signaling/decision/store_thread.h"

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <deque>
#include <mutex>
#include <thread>
#include <utility>
#include <variant>
#include <vector>

namespace sotto::signaling {

class StoreThread::Impl {
 public:
  Impl(const StoreThreadOptions& options, const DeciderOptions& decider, const ServerKey& key,
       std::unique_ptr<Store> store, Post post, UnixTime unix_time)
      : options_(options),
        store_(std::move(store)),
        notices_(*store_),
        decider_(decider, key, *store_, notices_),
        post_(std::move(post)),
        unix_time_(std::move(unix_time)),
        notices_waiting_(store_->notices_waiting()),
        thread_([this] { Loop(); }) {}

  ~Impl() {
    {
      const std::lock_guard lock(mutex_);
      stopping_ = true;
    }
    work_.notify_one();
    thread_.join();
  }

  struct JobItem {
    Job job;
    Done done;
    absl::Status outcome = {};
  };
  struct DecisionItem {
    DecisionRequest request;
    Decided decided;
    std::chrono::steady_clock::time_point submitted = std::chrono::steady_clock::now();
    absl::StatusOr<Decision> outcome = Decision();
  };
  using Item = std::variant<JobItem, DecisionItem>;

  bool Push(Item item) {
    {
      const std::lock_guard lock(mutex_);
      if (queue_.size() >= options_.max_queue) {
        ++overflows_;
        return false;
      }
      queue_.push_back(std::move(item));
    }
    work_.notify_one();
    return true;
  }

  Counters counters() const {
    const std::lock_guard lock(mutex_);
    return {.batches = batches_.load(std::memory_order_relaxed),
            .jobs = jobs_.load(std::memory_order_relaxed),
            .decisions = decisions_.load(std::memory_order_relaxed),
            .failures = failures_.load(std::memory_order_relaxed),
            .overflows = overflows_,
            .queued = queue_.size(),
            .max_queue = options_.max_queue,
            .notices_waiting = notices_waiting_.load(std::memory_order_relaxed)};
  }
  const DurationHistogram& batch_times() const { return batch_times_; }
  const DurationHistogram& decision_times() const { return decision_times_; }

 private:
  using Batch = std::vector<Item>;

  void Loop() {
    for (;;) {
      auto batch = std::make_shared<Batch>(Take());
      if (batch->empty()) return;
      const auto began = std::chrono::steady_clock::now();
      RunBatch(*batch);
      batch_times_.Record(std::chrono::steady_clock::now() - began);
      AwaitRelease(began);
      CountDecisions(*batch);
      post_([batch] {
        for (Item& item : *batch) {
          std::visit(
              [](auto& one) {
                if constexpr (std::is_same_v<std::decay_t<decltype(one)>, JobItem>) {
                  one.done(one.outcome);
                } else {
                  one.decided(one.outcome);
                }
              },
              item);
        }
      });
    }
  }

  void CountDecisions(const Batch& batch) {
    const auto now = std::chrono::steady_clock::now();
    for (const Item& item : batch) {
      if (const auto* decision = std::get_if<DecisionItem>(&item)) {
        decision_times_.Record(now - decision->submitted);
      }
    }
  }

  void AwaitRelease(std::chrono::steady_clock::time_point began) const {
    const auto every = options_.release_every;
    if (every.count() == 0) return;
    const auto took = std::chrono::steady_clock::now() - began;
    std::this_thread::sleep_until(began + (took / every + 1) * every);
  }

  // Waits for work; nothing once there is none and none will come.
  Batch Take() {
    std::unique_lock lock(mutex_);
    work_.wait(lock, [this] { return stopping_ || !queue_.empty(); });
    Batch batch;
    while (!queue_.empty() && batch.size() < options_.max_batch) {
      batch.push_back(std::move(queue_.front()));
      queue_.pop_front();
    }
    return batch;
  }

  void RunBatch(Batch& batch) {
    absl::Status status = TryBatch(batch);
    if (status.ok()) {
      decider_.Committed();
      notices_.Committed();
    } else {
      store_->Rollback();
      decider_.RolledBack();
      notices_.RolledBack();
      for (Item& item : batch) {
        std::visit([&](auto& one) { one.outcome = status; }, item);
      }
      failures_.fetch_add(1, std::memory_order_relaxed);
    }
    notices_waiting_.store(store_->notices_waiting(), std::memory_order_relaxed);
    batches_.fetch_add(1, std::memory_order_relaxed);
    for (const Item& item : batch) {
      (std::holds_alternative<JobItem>(item) ? jobs_ : decisions_)
          .fetch_add(1, std::memory_order_relaxed);
    }
  }

  absl::Status TryBatch(Batch& batch) {
    const int64_t unix_s = unix_time_();
    if (absl::Status status = store_->Begin(); !status.ok()) return status;
    for (Item& item : batch) {
      if (auto* job = std::get_if<JobItem>(&item)) {
        StoreContext context = {*store_, notices_, decider_};
        job->outcome = job->job(context);
        if (!job->outcome.ok() && !absl::IsResourceExhausted(job->outcome) &&
            !absl::IsNotFound(job->outcome)) {
          return job->outcome;
        }
      } else {
        auto& decision = std::get<DecisionItem>(item);
        decision.outcome = decider_.DecideWithin(decision.request, unix_s);
        if (!decision.outcome.ok()) return decision.outcome.status();
      }
    }
    return store_->Commit();
  }

  const StoreThreadOptions options_;
  // The store's thread alone.
  const std::unique_ptr<Store> store_;
  NoticeBox notices_;
  Decider decider_;
  const Post post_;
  const UnixTime unix_time_;

  mutable std::mutex mutex_;
  std::condition_variable work_;
  std::deque<Item> queue_;  // by mutex_
  uint64_t overflows_ = 0;  // by mutex_
  bool stopping_ = false;   // by mutex_

  // Written by the store's thread, read by any.
  std::atomic<uint64_t> batches_ = 0;
  std::atomic<uint64_t> jobs_ = 0;
  std::atomic<uint64_t> decisions_ = 0;
  std::atomic<uint64_t> failures_ = 0;
  std::atomic<uint64_t> notices_waiting_;
  DurationHistogram batch_times_;
  DurationHistogram decision_times_;

  std::thread thread_;  // last: it uses all of the above
};

StoreThread::StoreThread(const StoreThreadOptions& options, const DeciderOptions& decider,
                         const ServerKey& key, std::unique_ptr<Store> store, Post post,
                         UnixTime unix_time)
    : impl_(std::make_unique<Impl>(options, decider, key, std::move(store), std::move(post),
                                   std::move(unix_time))) {}
StoreThread::~StoreThread() = default;

bool StoreThread::Submit(Job job, Done done) {
  return impl_->Push(Impl::JobItem{.job = std::move(job), .done = std::move(done)});
}
bool StoreThread::Decide(DecisionRequest request, Decided decided) {
  return impl_->Push(
      Impl::DecisionItem{.request = std::move(request), .decided = std::move(decided)});
}
StoreThread::Counters StoreThread::counters() const { return impl_->counters(); }
const DurationHistogram& StoreThread::batch_times() const { return impl_->batch_times(); }
const DurationHistogram& StoreThread::decision_times() const { return impl_->decision_times(); }

}  // namespace sotto::signaling
