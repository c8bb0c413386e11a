// SPDX-License-Identifier: Apache-2.0
// The control thread of sotto-relayd, on the main lcore: it owns the TURN server, is the only
// writer of the tables, and answers what workers hand to it. It starts the workers and ends them.
//
// Read Run() first.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "absl/status/statusor.h"
#include "dataplane/l3/l3.h"
#include "dataplane/l3/reassembly.h"
#include "dataplane/port/port.h"
#include "dataplane/relayd/config/config.h"
#include "dataplane/table/compiler.h"
#include "dataplane/table/tables.h"
#include "dataplane/worker/counters.h"
#include "dataplane/worker/doorbell.h"
#include "dataplane/worker/tsc_clock.h"
#include "dataplane/worker/worker.h"
#include "relay/turn/server.h"
#include "relay/turn/server_tasks.h"

struct rte_mempool;

namespace sotto::dataplane {

class Control final : private FrameSender {
 public:
  // Builds everything and starts nothing. The ports are started, in the order of
  // config.interfaces' first mention of each; the pool's mbufs have kMbufPrivateSize. Both must
  // outlive the object.
  static absl::StatusOr<std::unique_ptr<Control>> Create(const RelaydConfig& config,
                                                         std::span<const Port> ports,
                                                         rte_mempool* pool);
  ~Control() override;

  // Launches a worker on each worker lcore and announces the relay's addresses.
  absl::Status Start();

  // Serves until `stop_fd` is readable. Calls `every_second` about once a second (the watchdog).
  void Run(int stop_fd, const std::function<void()>& every_second);

  // Ends the workers and waits for them. The ports may be closed afterwards.
  void Stop();

  // Bytes of EAL memory that tables for the configuration take.
  static uint64_t TableMemory(const RelaydConfig& config);

  // What other threads want done on this one, while it runs.
  relay::ServerTasks& tasks() { return tasks_; }
  relay::Server& server() { return *server_; }
  Now CurrentTime() const { return At(clock_.NowMs()); }
  const L3& l3() const { return *l3_; }
  // What the workers enforce of them.
  void SetLimits(const relay::LimitOptions& limits);

  // For LiveRelay; const, and of what lives as long as the object.
  struct Parts {
    const std::vector<std::unique_ptr<Worker>>& workers;
    const std::vector<std::unique_ptr<WorkerRings>>& rings;
    const WorkerCounters& counters;  // control's own drops
    const InterfaceTable& interfaces;
    const L3& l3;
    const Tables& tables;
    const ForwardingCompiler& compiler;
    const Reassembler& reassembler;
    const ForwarderContext& context;
    rte_mempool* pool;
  };
  Parts parts() const {
    return {workers_, rings_,     counters_,     interfaces_, *l3_,
            *tables_, *compiler_, *reassembler_, *context_,   pool_};
  }

 private:
  Control(const RelaydConfig& config, InterfaceTable interfaces, rte_mempool* pool);
  absl::Status Build(const RelaydConfig& config, std::span<const Port> ports);

  uint32_t Serve(uint64_t now_ms);  // how many packets and tasks
  void Housekeep(uint64_t now_ms);  // what is due by time
  void WakeWorkers();
  void Handle(uint32_t worker, rte_mbuf* mbuf, uint64_t now_ms);
  void HandleStunRequest(uint32_t worker, rte_mbuf* mbuf, uint64_t now_ms);
  void HandleFragment(uint32_t worker, rte_mbuf* mbuf, uint64_t now_ms);
  void HandleUnresolved(rte_mbuf* mbuf);
  void OnIcmpReport(const IcmpReport& report);
  void SendFrame(InterfaceId interface, std::span<const uint8_t> frame) override;
  // A UDP datagram of the relay's own accord.
  void SendDatagram(const TransportAddress& from, const TransportAddress& to,
                    std::span<const uint8_t> payload);
  void ToWorker(uint32_t worker, rte_mbuf* mbuf, PuntKind kind);
  void Drop(rte_mbuf* mbuf, DropReason reason);
  Now At(uint64_t now_ms) const;

  const TscClock clock_;
  const InterfaceTable interfaces_;
  const LocalAddresses locals_;
  rte_mempool* const pool_;
  NextHopTable next_hops_;
  std::unique_ptr<L3> l3_;
  std::unique_ptr<Tables> tables_;
  std::unique_ptr<ForwarderContext> context_;
  std::unique_ptr<ForwardingCompiler> compiler_;
  std::unique_ptr<relay::Server> server_;
  std::unique_ptr<Reassembler> reassembler_;
  Doorbell doorbell_;
  relay::ServerTasks tasks_;
  std::vector<std::unique_ptr<WorkerRings>> rings_;
  std::vector<std::unique_ptr<Worker>> workers_;
  std::vector<bool> to_wake_;       // by worker: something is in its ring since it was last woken
  std::atomic<bool> stop_ = false;  // control writes, workers read
  bool running_ = false;
  WorkerCounters counters_;  // control's own drops
  Keystream random_;
  std::vector<uint8_t> answer_;  // where the server builds what is to be sent
};

}  // namespace sotto::dataplane
