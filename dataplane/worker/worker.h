// SPDX-License-Identifier: Apache-2.0
// A worker: one lcore that polls its own receive queue of every port, takes each packet through the
// forwarder, and sends what comes out on its own transmit queues. Run to completion: no packet
// waits for another thread, but for what goes to control and comes back.
#pragma once

#include <rte_ring.h>

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "dataplane/table/tables.h"
#include "dataplane/worker/counters.h"
#include "dataplane/worker/doorbell.h"
#include "dataplane/worker/forwarder.h"
#include "dataplane/worker/idle_wait.h"
#include "dataplane/worker/tsc_clock.h"

namespace sotto::dataplane {

// The rings between one worker and control; each has one producer and one consumer.
class WorkerRings {
 public:
  static absl::StatusOr<std::unique_ptr<WorkerRings>> Create(uint32_t worker, int socket);
  ~WorkerRings();  // frees what is left in them
  WorkerRings(const WorkerRings&) = delete;
  WorkerRings& operator=(const WorkerRings&) = delete;

  // STUN requests have a ring apart, so that a flood of them keeps no ARP from being answered.
  rte_ring* requests() const { return requests_; }
  rte_ring* others() const { return others_; }
  rte_ring* from_control() const { return from_control_; }
  // Control rings it when it has put something into from_control().
  Doorbell& doorbell() { return doorbell_; }

 private:
  WorkerRings() = default;
  rte_ring* requests_ = nullptr;      // worker to control
  rte_ring* others_ = nullptr;        // worker to control
  rte_ring* from_control_ = nullptr;  // control to worker
  Doorbell doorbell_;
};

struct WorkerOptions {
  uint32_t index = 0;  // its queue number on every port, and its number as a reader of the tables
  std::vector<uint16_t> ports;
  bool adaptive = true;  // sleep when idle
  // A descriptor for each of the ports that is readable when its queue has packets; empty if one
  // has none. See IdleWait.
  std::vector<int> wake_fds;
};

class Worker {
 public:
  Worker(const WorkerOptions& options, const ForwarderContext& context,
         const ForwarderOptions& forwarder, Tables& tables, WorkerRings& rings, Doorbell& doorbell);

  // Polls until `stop` is set. On its own lcore.
  void Run(const std::atomic<bool>& stop, const TscClock& clock);

  // One round over all ports; returns how many packets came in. For tests; Run() knows the TSC.
  uint32_t PollOnce(uint64_t now_ms) { return Poll(now_ms, rte_rdtsc()); }

  const WorkerCounters& counters() const { return counters_; }
  // Any thread.
  void SetBudgets(const ForwarderBudgets& budgets) { forwarder_.SetBudgets(budgets); }
  // Where a capture of this worker's packets begins.
  CaptureTap& capture_tap() { return capture_tap_; }

 private:
  uint32_t Poll(uint64_t now_ms, uint64_t now_tsc);
  uint32_t FromControl(uint64_t now_ms);
  // A burst's journey from its arrival to the ports; `from_port`, or from control.
  void Handle(rte_mbuf* const mbufs[], uint32_t count, uint64_t now_ms, bool from_port);
  void HandleCaptured(rte_mbuf* const mbufs[], uint32_t count, uint64_t now_ms, bool from_port);
  void Flush();
  void FlushPunts();
  void Idle(IdleWait& idle);

  const WorkerOptions options_;
  Tables& tables_;
  WorkerRings& rings_;
  Doorbell& doorbell_;             // control's
  bool control_has_work_ = false;  // was handed something since it last had its turn
  const TscSpan tsc_span_;
  WorkerCounters counters_;
  CaptureTap capture_tap_;
  Forwarder forwarder_;
};

}  // namespace sotto::dataplane
