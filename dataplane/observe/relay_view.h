// SPDX-License-Identifier: Apache-2.0
// The running relay as those see it who report on it: its workers, ports, packet buffers,
// neighbours and tables as plain values, without DPDK. The daemon has the real one
// (relayd/live_relay.h), tests have theirs.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "dataplane/l3/event.h"
#include "dataplane/l3/interface.h"
#include "dataplane/l3/neighbors.h"
#include "dataplane/port/statistics.h"
#include "dataplane/worker/counters.h"
#include "relay/forwarding.h"

namespace sotto::dataplane {

struct WorkerView {
  uint32_t index = 0;
  uint32_t lcore = 0;
  uint32_t numa_node = 0;
  const WorkerCounters* counters = nullptr;  // live; as long as the relay
  // Packets in the rings to control, and how many those take.
  uint32_t requests_waiting = 0;
  uint32_t requests_capacity = 0;
  uint32_t others_waiting = 0;
  uint32_t others_capacity = 0;
};

struct PortView {
  std::string name;
  std::string driver;
  MacAddress mac;
  uint16_t queues = 0;
  bool rss = false;
  bool rx_checksum_offload = false;
  std::vector<Interface> interfaces;
  PortStatistics statistics;
};

struct PoolView {
  uint32_t in_use = 0;  // mbufs; those in the caches of lcores count as free
  uint32_t size = 0;
};

// What control alone knows.
struct ControlView {
  uint64_t retired_records = 0;  // taken out of the tables, and not let go of by every worker
  uint32_t fused_channels = 0;
  L3Counters l3 = {};
  NeighborCounters neighbor = {};
  uint32_t neighbors = 0;
  uint32_t held_frames = 0;  // that wait for their next hop's MAC address
  uint32_t pending_reassemblies = 0;
};

class RelayView {
 public:
  virtual ~RelayView() = default;

  // Any thread.
  virtual std::vector<WorkerView> Workers() const = 0;
  virtual const WorkerCounters& control_counters() const = 0;  // of what control dropped; live
  virtual uint64_t tsc_hz() const = 0;
  virtual PoolView Pool() const = 0;
  virtual uint32_t port_count() const = 0;
  // Asks the devices, one caller at a time: some take milliseconds, so control never does.
  virtual std::vector<PortView> Ports(bool extended) const = 0;

  // The control thread.
  virtual ControlView OfControl() const = 0;
  virtual void ForEachNeighbor(const std::function<void(const NeighborInfo&)>& visit) const = 0;
  virtual const Interface& InterfaceOf(InterfaceId id) const = 0;
  // Whether the leg's channel goes to the other leg in one rewrite.
  virtual bool IsFused(relay::LegId leg, uint16_t channel) const = 0;
};

// Sums over the workers, and what control dropped.
struct PacketSums {
  uint64_t rx_packets = 0;
  uint64_t rx_bytes = 0;
  uint64_t tx_packets = 0;
  uint64_t tx_bytes = 0;
  std::array<uint64_t, kCountOf<PacketPath>> paths = {};
  std::array<uint64_t, kCountOf<DropReason>> drops = {};
  std::array<uint64_t, LatencyHistogram::kBuckets> latency = {};
  uint64_t latency_ns = 0;
};
PacketSums SumOf(const RelayView& relay);

}  // namespace sotto::dataplane
