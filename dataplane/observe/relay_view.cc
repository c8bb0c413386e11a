// SPDX-License-Identifier: Apache-2.0
#include "dataplane/observe/relay_view.h"

namespace sotto::dataplane {

PacketSums SumOf(const RelayView& relay) {
  PacketSums sums;
  for (const WorkerView& worker : relay.Workers()) {
    const WorkerCounters& counters = *worker.counters;
    sums.rx_packets += counters.rx_packets.Read();
    sums.rx_bytes += counters.rx_bytes.Read();
    sums.tx_packets += counters.tx_packets.Read();
    sums.tx_bytes += counters.tx_bytes.Read();
    for (size_t i = 0; i < kCountOf<PacketPath>; ++i) sums.paths[i] += counters.paths[i].Read();
    for (size_t i = 0; i < kCountOf<DropReason>; ++i) sums.drops[i] += counters.drops[i].Read();
    for (size_t i = 0; i < LatencyHistogram::kBuckets; ++i) {
      sums.latency[i] += counters.latency.Packets(i);
    }
    sums.latency_ns += counters.latency.sum_ns();
  }
  for (size_t i = 0; i < kCountOf<DropReason>; ++i) {
    sums.drops[i] += relay.control_counters().drops[i].Read();
  }
  return sums;
}

}  // namespace sotto::dataplane
