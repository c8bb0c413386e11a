// SPDX-License-Identifier: Apache-2.0
#include "dataplane/port/statistics.h"

#include <rte_ethdev.h>

#include "dataplane/port/port.h"

namespace sotto::dataplane {
namespace {

std::vector<std::pair<std::string, uint64_t>> ReadExtended(uint16_t port) {
  const int count = rte_eth_xstats_get_names(port, nullptr, 0);
  if (count <= 0) return {};
  std::vector<rte_eth_xstat_name> names(static_cast<size_t>(count));
  std::vector<rte_eth_xstat> values(static_cast<size_t>(count));
  const auto size = static_cast<unsigned>(count);
  // A device whose statistics grew in the meantime answers how many there are, and fills in
  // nothing.
  if (rte_eth_xstats_get_names(port, names.data(), size) != count ||
      rte_eth_xstats_get(port, values.data(), size) != count) {
    return {};
  }
  std::vector<std::pair<std::string, uint64_t>> out;
  out.reserve(values.size());
  for (const rte_eth_xstat& value : values) {
    if (value.id < names.size()) out.emplace_back(names[value.id].name, value.value);
  }
  return out;
}

}  // namespace

PortStatistics ReadPortStatistics(const Port& port, bool extended) {
  PortStatistics out;
  rte_eth_link link = {};
  if (rte_eth_link_get_nowait(port.id, &link) == 0) {
    out.link_up = link.link_status == RTE_ETH_LINK_UP;
    if (link.link_speed != RTE_ETH_SPEED_NUM_UNKNOWN) out.link_mbps = link.link_speed;
  }
  rte_eth_stats stats = {};
  if (rte_eth_stats_get(port.id, &stats) == 0) {
    out.rx_packets = stats.ipackets;
    out.rx_bytes = stats.ibytes;
    out.tx_packets = stats.opackets;
    out.tx_bytes = stats.obytes;
    out.rx_missed = stats.imissed;
    out.rx_errors = stats.ierrors;
    out.tx_errors = stats.oerrors;
    out.rx_no_mbuf = stats.rx_nombuf;
  }
  if (extended) out.extended = ReadExtended(port.id);
  return out;
}

}  // namespace sotto::dataplane
