// SPDX-License-Identifier: Apache-2.0
// DPDK ports: found, set up, started and ended.
//
//   FindPort     looks the device up and says what it can do; changes nothing
//   CreatePool   one packet pool for all ports, sized from what they can do (pool.h)
//   StartPort    configures queues and offloads, starts, waits a moment for the link
//   ClosePort    stops and closes; the port's virtual device is gone after it
//
// All from the main lcore, while no worker polls the port.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "dataplane/l3/interface.h"

struct rte_mempool;

namespace sotto::dataplane {

// 14 bytes of Ethernet header, two 802.1Q tags, and the frame check sequence that some devices
// count: what a frame may have beyond its IP packet.
constexpr uint16_t kFrameOverhead = 26;

struct PortOptions {
  std::string name;     // ethdev name or PCI address
  uint16_t queues = 1;  // receive queues, and as many transmit queues
  uint16_t rx_descriptors = 1024;
  uint16_t tx_descriptors = 1024;
  uint16_t mtu = 0;                    // bytes of IP packet; 0: the device's
  std::optional<MacAddress> mac = {};  // none: the device's
};

struct Port {
  uint16_t id = 0;     // DPDK's
  std::string name;    // as it was asked for
  std::string driver;  // "net_af_packet", "net_ixgbe", ...
  MacAddress mac;      // what the relay sends from and takes frames for
  uint16_t mtu = 1500;
  uint16_t queues = 1;
  uint16_t rx_descriptors = 0;  // of each queue, as the device has them
  uint16_t tx_descriptors = 0;
  uint16_t min_rx_buffer = 0;  // bytes of data room that the device needs, headroom excluded
  bool rx_ipv4_cksum = false;  // RTE_MBUF_F_RX_IP_CKSUM_* of received mbufs mean something
  bool rx_udp_cksum = false;   // RTE_MBUF_F_RX_L4_CKSUM_* of received mbufs mean something
  bool rss = false;            // else frames come to queues as the device or the kernel likes
  // All mbufs that are sent must be from the one pool, and have one reference.
  bool fast_free = false;
  // The kernel is on the other side (af_packet, af_xdp, tap): its own senders may leave a UDP
  // checksum unfinished, and it must be passed on as it is.
  bool kernel_checksums = false;
  // Closing the port undoes changes of the kernel's (an XDP program), which needs CAP_NET_ADMIN
  // and CAP_SYS_ADMIN.
  bool privileged_close = false;
  int socket = -1;               // NUMA node; -1: any
  std::string kernel_interface;  // that the port sits on; empty: none
  int membership_fd = -1;        // keeps the kernel interface open to multicast
};

// NOT_FOUND with the ports that there are; FAILED_PRECONDITION if the device can't do what is
// asked. `eal_errors`: what DPDK logged, for a port that is missing because its device failed.
absl::StatusOr<Port> FindPort(const PortOptions& options, std::string_view eal_errors);

struct LinkReport {
  bool up = false;
  uint32_t speed_mbps = 0;  // 0: unknown
};
// The pool must outlive the port. On an error the port is as after ClosePort().
absl::StatusOr<LinkReport> StartPort(Port& port, const PortOptions& options, rte_mempool* pool,
                                     std::chrono::milliseconds link_wait);

void ClosePort(Port& port);

// Kernel interfaces of this network namespace that own one of the addresses, which two owners would
// answer for: "192.0.2.10 on eth0".
std::vector<std::string> AddressesOfKernel(std::span<const IpAddress> addresses);

}  // namespace sotto::dataplane
