// SPDX-License-Identifier: Apache-2.0
// The RelayView of the running daemon.
#pragma once

#include <mutex>
#include <span>
#include <vector>

#include "dataplane/observe/relay_view.h"
#include "dataplane/port/port.h"
#include "dataplane/relayd/control.h"

namespace sotto::dataplane {

class LiveRelay final : public RelayView {
 public:
  // Once control has started its workers. `control` and the ports, which are started, must outlive
  // the object.
  LiveRelay(const Control& control, std::span<const Port> ports);

  std::vector<WorkerView> Workers() const override;
  const WorkerCounters& control_counters() const override { return parts_.counters; }
  uint64_t tsc_hz() const override;
  PoolView Pool() const override;
  uint32_t port_count() const override { return static_cast<uint32_t>(ports_.size()); }
  std::vector<PortView> Ports(bool extended) const override;
  ControlView OfControl() const override;
  void ForEachNeighbor(const std::function<void(const NeighborInfo&)>& visit) const override;
  const Interface& InterfaceOf(InterfaceId id) const override { return parts_.interfaces.at(id); }
  bool IsFused(relay::LegId leg, uint16_t channel) const override;

 private:
  const Control::Parts parts_;
  const std::span<const Port> ports_;
  mutable std::mutex ports_mutex_;  // devices are asked one at a time
};

}  // namespace sotto::dataplane
