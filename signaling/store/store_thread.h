// The thread that the store lives on. Work is queued to it from one thread, in order, and batched:
// many jobs, one transaction, one fsync. A job's `done` is handed to `post` after the commit that
// made its work durable (or with the error that lost it).
#pragma once

#include <cstdint>
#include <functional>
#include <memory>

#include "absl/status/status.h"
#include "signaling/decision/decider.h"
#include "signaling/notice/notice_box.h"
#include "signaling/store/store.h"

namespace sotto::signaling {

// What jobs work with. Lives on the store's thread.
struct StoreContext {
  Store& store;
  NoticeBox& notices;
  Decider& decider;
};

struct StoreThreadOptions {
  size_t max_queue = 20'000;  // jobs and decisions together
  size_t max_batch = 256;
};

class StoreThread {
 public:
  // Runs a callback on the thread that submits (Asio's post).
  using Post = std::function<void(std::function<void()>)>;
  // RESOURCE_EXHAUSTED leaves the batch's other jobs alone; any other error rolls all of it back, and
  // each job's `done` gets the error.
  using Job = std::function<absl::Status(StoreContext&)>;
  using Done = std::function<void(const absl::Status&)>;
  using Decided = std::function<void(const absl::StatusOr<Decision>&)>;
  using UnixTime = std::function<int64_t()>;

  StoreThread(const StoreThreadOptions& options, const DeciderOptions& decider,
              const ServerKey& key, std::unique_ptr<Store> store, Post post, UnixTime unix_time);
  // Finishes what is queued. No callback is posted afterwards.
  ~StoreThread();

  // From one thread. False, and nothing is done, when the queue is full.
  bool Submit(Job job, Done done);
  bool Decide(DecisionRequest request, Decided decided);

  // Any thread. Sums since the start, for metrics.
  struct Counters {
    uint64_t batches = 0;
    uint64_t jobs = 0;
    uint64_t decisions = 0;
    uint64_t failures = 0;
  };
  Counters counters() const;

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace sotto::signaling
