// SPDX-License-Identifier: Apache-2.0
#include "dataplane/relayd/live_relay.h"

#include <rte_cycles.h>
#include <rte_lcore.h>
#include <rte_mempool.h>

namespace sotto::dataplane {

LiveRelay::LiveRelay(const Control& control, std::span<const Port> ports)
    : parts_(control.parts()), ports_(ports) {}

std::vector<WorkerView> LiveRelay::Workers() const {
  std::vector<WorkerView> workers;
  unsigned lcore = rte_get_next_lcore(-1u, 1, 0);
  for (uint32_t i = 0; i < parts_.workers.size(); ++i) {
    const WorkerRings& rings = *parts_.rings[i];
    workers.push_back({.index = i,
                       .lcore = lcore,
                       .numa_node = rte_lcore_to_socket_id(lcore),
                       .counters = &parts_.workers[i]->counters(),
                       .requests_waiting = rte_ring_count(rings.requests()),
                       .requests_capacity = rte_ring_get_capacity(rings.requests()),
                       .others_waiting = rte_ring_count(rings.others()),
                       .others_capacity = rte_ring_get_capacity(rings.others())});
    lcore = rte_get_next_lcore(lcore, 1, 0);
  }
  return workers;
}

uint64_t LiveRelay::tsc_hz() const { return rte_get_tsc_hz(); }

PoolView LiveRelay::Pool() const {
  return {.in_use = rte_mempool_in_use_count(parts_.pool), .size = parts_.pool->size};
}

std::vector<PortView> LiveRelay::Ports(bool extended) const {
  const std::lock_guard lock(ports_mutex_);
  std::vector<PortView> views;
  for (const Port& port : ports_) {
    PortView& view =
        views.emplace_back(PortView{.name = port.name,
                                    .driver = port.driver,
                                    .mac = port.mac,
                                    .queues = port.queues,
                                    .rss = port.rss,
                                    .rx_checksum_offload = port.rx_ipv4_cksum && port.rx_udp_cksum,
                                    .interfaces = {},
                                    .statistics = ReadPortStatistics(port, extended)});
    for (size_t i = 0; i < parts_.interfaces.size(); ++i) {
      const Interface& interface = parts_.interfaces.at(static_cast<InterfaceId>(i));
      if (interface.port == port.id) view.interfaces.push_back(interface);
    }
  }
  return views;
}

ControlView LiveRelay::OfControl() const {
  const Neighbors& neighbors = parts_.l3.neighbors();
  return {.retired_records = parts_.tables.retired(),
          .fused_channels = parts_.compiler.fused_channels(),
          .l3 = parts_.l3.counters(),
          .neighbor = neighbors.counters(),
          .neighbors = neighbors.size(),
          .held_frames = neighbors.held(),
          .pending_reassemblies = parts_.reassembler.pending()};
}

void LiveRelay::ForEachNeighbor(const std::function<void(const NeighborInfo&)>& visit) const {
  parts_.l3.neighbors().ForEach(visit);
}

bool LiveRelay::IsFused(relay::LegId leg, uint16_t channel) const {
  return parts_.compiler.IsFused(leg, channel);
}

}  // namespace sotto::dataplane
