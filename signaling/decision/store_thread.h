// SPDX-License-Identifier: Apache-2.0
// The thread that the store lives on. Work is queued to it from one thread, and batched: many jobs
// and decisions, one transaction, one sync of the disk. Within it they run in the order in which
// they were submitted, and see what those before them did. What a job's `done` and a decision's
// `decided` are told is handed to `post`, in that order too, after the commit that made it durable
// (or with the error that lost it).
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>

#include "relay/daemon/duration_histogram.h"
#include "signaling/decision/decider.h"
#include "signaling/decision/store_client.h"
#include "signaling/store/store.h"

namespace sotto::signaling {

struct StoreThreadOptions {
  size_t max_queue = 20'000;  // jobs and decisions together
  size_t max_batch = 256;
  // What came of a batch is handed out a whole number of these after the batch began: how long the
  // work took, which depends on what was decided, is told to nobody who waits behind it.
  std::chrono::microseconds release_every{0};
};

class StoreThread final : public StoreClient {
 public:
  // Runs a callback on the thread that submits (Asio's post).
  using Post = std::function<void(std::function<void()>)>;
  using UnixTime = std::function<int64_t()>;

  StoreThread(const StoreThreadOptions& options, const DeciderOptions& decider,
              const ServerKey& key, std::unique_ptr<Store> store, Post post, UnixTime unix_time);
  // Finishes what is queued, and posts what that leads to; nothing afterwards.
  ~StoreThread() override;

  bool Submit(Job job, Done done) override;
  bool Decide(DecisionRequest request, Decided decided) override;

  // Any thread. Sums since the start, for metrics.
  struct Counters {
    uint64_t batches = 0;
    uint64_t jobs = 0;
    uint64_t decisions = 0;
    uint64_t failures = 0;   // batches that were rolled back
    uint64_t overflows = 0;  // jobs and decisions that found the queue full
    size_t queued = 0;       // jobs and decisions that wait, at the moment
    size_t max_queue = 0;
    uint64_t notices_waiting = 0;  // in the store, at the moment
  };
  Counters counters() const;
  // Any thread. How long a batch's transaction took, its sync of the disk included; and how long a
  // decision took from Decide() until it was posted.
  const DurationHistogram& batch_times() const;
  const DurationHistogram& decision_times() const;

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace sotto::signaling
