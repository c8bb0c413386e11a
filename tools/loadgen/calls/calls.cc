// SPDX-License-Identifier: Apache-2.0
#include "tools/loadgen/calls/calls.h"

#include <fmt/format.h>
#include <openssl/rand.h>
#include <sys/resource.h>

#include <algorithm>
#include <functional>
#include <memory>
#include <thread>
#include <vector>

#include "tools/loadgen/calls/shard.h"

namespace sotto::tools {
namespace {

// CLOCK_REALTIME less CLOCK_MONOTONIC: constant, unless somebody sets the clock.
int64_t ClockOffset() {
  return static_cast<int64_t>(RealtimeNs()) - static_cast<int64_t>(MonotonicNs());
}
constexpr int64_t kMaxClockStepNs = 1'000'000;

void RaiseFileLimit() {
  rlimit limit;
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);
}

// Runs `work` for each shard on a thread of its own; the first error sets `failed` and is returned.
absl::Status OnEachShard(std::vector<std::unique_ptr<CallShard>>& shards, std::atomic<bool>& failed,
                         const std::function<absl::Status(CallShard&)>& work) {
  std::vector<absl::Status> statuses(shards.size());
  std::vector<std::thread> threads;
  for (size_t i = 0; i < shards.size(); ++i) {
    threads.emplace_back([&, i] {
      statuses[i] = work(*shards[i]);
      if (!statuses[i].ok()) failed = true;
    });
  }
  for (std::thread& thread : threads) thread.join();
  absl::Status first;
  for (const absl::Status& status : statuses) {
    // "Interrupted" is what the others report when one has failed.
    if (first.ok() || (absl::IsCancelled(first) && !status.ok())) first = status;
  }
  return first;
}

}  // namespace

absl::Status RunCalls(const CallsOptions& options, std::atomic<bool>& stop, CallsReport& report) {
  RaiseFileLimit();
  uint32_t run = 0;
  uint64_t key = 0;
  std::atomic<bool> failed = false;
  if (RAND_bytes(reinterpret_cast<uint8_t*>(&run), sizeof(run)) != 1 ||
      RAND_bytes(reinterpret_cast<uint8_t*>(&key), sizeof(key)) != 1) {
    return absl::InternalError("OpenSSL failed to generate random numbers");
  }
  std::vector<std::unique_ptr<CallShard>> shards;
  const uint32_t threads = std::min(options.threads, options.calls);
  for (uint32_t i = 0; i < threads; ++i) {
    const uint32_t first = static_cast<uint32_t>(uint64_t{options.calls} * i / threads);
    const uint32_t last = static_cast<uint32_t>(uint64_t{options.calls} * (i + 1) / threads);
    shards.push_back(
        std::make_unique<CallShard>(options, first, last - first, run, key, stop, failed));
  }
  absl::Status status;
  for (auto& shard : shards) {
    if (status = shard->Open(); !status.ok()) return status;
  }
  status = OnEachShard(shards, failed, [](CallShard& shard) { return shard.SetUp(); });
  int64_t clock_step = 0;
  if (status.ok()) {
    const int64_t offset = ClockOffset();
    const uint64_t start = MonotonicNs() + 2'000'000;
    // Shards send in turn: each begins a fraction of the packet interval after the one before.
    const uint64_t stagger = static_cast<uint64_t>(1e9 / options.pps);
    status = OnEachShard(shards, failed, [&](CallShard& shard) {
      const auto index = std::find_if(shards.begin(), shards.end(),
                                      [&](const auto& s) { return s.get() == &shard; }) -
                         shards.begin();
      return shard.Run(start + static_cast<uint64_t>(index) * stagger);
    });
    clock_step = ClockOffset() - offset;
  }
  report.interrupted = stop;
  OnEachShard(shards, failed, [](CallShard& shard) {
    shard.Release();
    return absl::OkStatus();
  }).IgnoreError();
  for (auto& shard : shards) report.Merge(shard->report());

  if (std::abs(clock_step) > kMaxClockStepNs) {
    report.errors.push_back(fmt::format(
        "the system clock was changed by {:+} microseconds during the run; latencies are wrong by "
        "as much",
        clock_step / 1000));
  }
  if (status.ok() && report.legs_released < 2 * options.calls) {
    report.errors.push_back(fmt::format(
        "{} of {} allocations were not confirmed to have ended; they end when their lifetime "
        "expires",
        2 * options.calls - report.legs_released, 2 * options.calls));
  }
  if (status.ok() && options.max_loss_percent >= 0 &&
      report.loss_percent() > options.max_loss_percent) {
    status =
        absl::DataLossError(fmt::format("{:.4f} % of the packets were lost, more than the {} % "
                                        "that --max-loss allows",
                                        report.loss_percent(), options.max_loss_percent));
  }
  if (!status.ok()) report.errors.insert(report.errors.begin(), std::string(status.message()));
  return status;
}

}  // namespace sotto::tools
