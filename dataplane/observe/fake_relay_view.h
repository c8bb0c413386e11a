// SPDX-License-Identifier: Apache-2.0
// A relay for tests of those who report on one: two workers, a port, and what a test writes there.
#pragma once

#include <array>
#include <set>
#include <utility>
#include <vector>

#include "dataplane/observe/relay_view.h"

namespace sotto::dataplane {

class FakeRelayView final : public RelayView {
 public:
  std::array<WorkerCounters, 2> workers;
  WorkerCounters control;
  std::vector<PortView> ports{1};
  PoolView pool = {.in_use = 100, .size = 1000};
  ControlView of_control;
  std::vector<NeighborInfo> neighbors;
  Interface interface;
  std::set<std::pair<relay::LegId, uint16_t>> fused;

  FakeRelayView() {
    ports[0].name = interface.name = "port0";
    ports[0].driver = "net_fake";
  }

  std::vector<WorkerView> Workers() const override {
    std::vector<WorkerView> views;
    for (uint32_t i = 0; i < workers.size(); ++i) {
      views.push_back({.index = i,
                       .lcore = i + 1,
                       .counters = &workers[i],
                       .requests_waiting = 3,
                       .requests_capacity = 1023,
                       .others_waiting = 4,
                       .others_capacity = 1023});
    }
    return views;
  }
  const WorkerCounters& control_counters() const override { return control; }
  uint64_t tsc_hz() const override { return 1'000'000'000; }
  PoolView Pool() const override { return pool; }
  uint32_t port_count() const override { return static_cast<uint32_t>(ports.size()); }
  std::vector<PortView> Ports(bool) const override { return ports; }
  ControlView OfControl() const override { return of_control; }
  void ForEachNeighbor(const std::function<void(const NeighborInfo&)>& visit) const override {
    for (const NeighborInfo& neighbor : neighbors) visit(neighbor);
  }
  const Interface& InterfaceOf(InterfaceId) const override { return interface; }
  bool IsFused(relay::LegId leg, uint16_t channel) const override {
    return fused.contains({leg, channel});
  }
};

}  // namespace sotto::dataplane
