// SPDX-License-Identifier: Apache-2.0
// The loop of `sotto-loadgen wire`: one lcore sends and receives on all queues of the port, in
// bursts, without allocation, lock or system call of its own.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "absl/status/status.h"
#include "tools/loadgen/wire/legs.h"
#include "tools/loadgen/wire/options.h"
#include "tools/loadgen/wire/packet.h"
#include "tools/loadgen/wire/port.h"
#include "tools/loadgen/wire/report.h"
#include "tools/loadgen/wire/sequence_window.h"

struct rte_mbuf;

namespace sotto::tools {

class WireEngine {
 public:
  // The port and `stop` outlive it.
  WireEngine(const WireOptions& options, WirePort& port, const std::atomic<bool>& stop);
  ~WireEngine();

  // Finds the server's MAC address, brings all legs to where media can flow, and prepares their
  // packets. CANCELLED when `stop` became true.
  absl::Status SetUp(WireReport& report);
  // Sends for `seconds` at a rate (0: as fast as possible), waits for what is on its way, counts.
  absl::Status RunTrial(double pps, double seconds, WireTrial& trial);
  // Keeps the allocations for a moment of about a millisecond, while no trial runs.
  absl::Status Idle();
  // Writes the next packets of all legs, and sends none.
  absl::Status WritePcap(WireReport& report);
  // Ends the allocations; gives up after a while in which none ended.
  void Release(WireReport& report);

 private:
  static constexpr uint16_t kBurst = 32;

  // Of what is to arrive at a leg.
  struct Flow {
    SequenceWindow window;
  };
  // A burst that waits until the port takes all of it.
  struct Pending {
    rte_mbuf* packets[kBurst];
    uint16_t first = 0;
    uint16_t count = 0;
  };

  uint64_t NowMs() const;
  absl::Status ResolveServer();
  // A frame of TURN or ARP: waits for FlushFrames(), which what calls this does in the end.
  void SendFrame(std::span<const uint8_t> frame);
  void FlushFrames();
  void SendFromLeg(uint32_t leg, std::span<const uint8_t> datagram);
  uint32_t NextLeg(uint16_t queue);
  void ChooseLegs(uint16_t queue);
  // Builds `count` packets for a queue whose last burst is gone; false if there are no buffers.
  bool Build(uint16_t queue, uint16_t count);
  // How many of the queue's burst the port took.
  uint16_t Transmit(uint16_t queue);
  // Receives until the queues are empty or a few bursts have come. Returns how many packets came.
  uint32_t Receive();
  void Handle(const rte_mbuf& packet, uint64_t now);
  absl::Status Housekeep(uint32_t most_clients);

  const WireOptions& options_;
  WirePort& port_;
  const std::atomic<bool>& stop_;
  WirePlan plan_;
  std::unique_ptr<WirePackets> packets_;
  std::unique_ptr<WireLegs> legs_;
  std::vector<WireTemplate> templates_;
  std::vector<Flow> flows_;
  std::vector<rte_mbuf*> frames_;                     // up to kBurst, for queue 0
  std::vector<Pending> pending_;                      // by queue
  std::vector<std::array<uint32_t, kBurst>> chosen_;  // by queue: legs of its next burst
  uint64_t random_;
  std::vector<uint32_t> round_;  // by queue
  WireCounts counts_;
  LatencyHistogram latency_;
  uint64_t ticks_per_s_;
};

}  // namespace sotto::tools
