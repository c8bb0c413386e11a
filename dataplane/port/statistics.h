// SPDX-License-Identifier: Apache-2.0
// What a port's device says of its link and has counted since it was started.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace sotto::dataplane {

struct Port;  // dataplane/port/port.h

struct PortStatistics {
  bool link_up = false;
  uint32_t link_mbps = 0;  // 0: the device doesn't say
  uint64_t rx_packets = 0;
  uint64_t rx_bytes = 0;
  uint64_t tx_packets = 0;
  uint64_t tx_bytes = 0;
  uint64_t rx_missed = 0;   // there was no free descriptor: workers are too slow
  uint64_t rx_errors = 0;   // broken frames
  uint64_t tx_errors = 0;   // frames that the device didn't take
  uint64_t rx_no_mbuf = 0;  // there was no packet buffer
  std::vector<std::pair<std::string, uint64_t>> extended;  // the driver's own, by its names
};

// A started port. Asks the device, which may take milliseconds; never waits for a link. What the
// device doesn't answer is zero. Any thread, one at a time for each port.
PortStatistics ReadPortStatistics(const Port& port, bool extended);

}  // namespace sotto::dataplane
