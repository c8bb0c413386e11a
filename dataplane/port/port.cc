// SPDX-License-Identifier: Apache-2.0
#include "dataplane/port/port.h"

#include <fmt/format.h>
#include <net/if.h>
#include <rte_errno.h>
#include <rte_ethdev.h>
#include <rte_mbuf.h>
#include <unistd.h>

#include <algorithm>
#include <thread>

#include "dataplane/eal/silence.h"
#include "dataplane/port/kernel_interface.h"

namespace sotto::dataplane {
namespace {

std::string Existing() {
  std::string names;
  uint16_t id;
  RTE_ETH_FOREACH_DEV(id) {
    char name[RTE_ETH_NAME_MAX_LEN];
    if (rte_eth_dev_get_name_by_port(id, name) != 0) continue;
    names += fmt::format("{}{}", names.empty() ? "" : ", ", name);
  }
  return names.empty() ? "there are no ports" : "there are " + names;
}

bool LooksLikePci(std::string_view name) {
  return name.find(':') != std::string_view::npos &&
         name.find_first_not_of("0123456789abcdefABCDEF:.") == std::string_view::npos;
}

// A port's name is what bus and driver made of it; "1:00.0" and "0000:01:00.0" are one device.
std::optional<uint16_t> Find(const std::string& name) {
  uint16_t id;
  if (rte_eth_dev_get_port_by_name(name.c_str(), &id) == 0) return id;
  if (!LooksLikePci(name)) return std::nullopt;
  rte_dev_iterator iterator;
  RTE_ETH_FOREACH_MATCHING_DEV(id, name.c_str(), &iterator) {
    rte_eth_iterator_cleanup(&iterator);
    return id;
  }
  return std::nullopt;
}

std::string QueueRemedy(std::string_view driver, uint16_t queues) {
  if (driver == "net_af_packet") return fmt::format("add qpairs={} to its --vdev", queues);
  if (driver == "net_af_xdp") {
    return fmt::format(
        "add queue_count={} to its --vdev, and give the interface as many channels with ethtool "
        "-L",
        queues);
  }
  return "lower [dataplane] workers";
}

bool HasKernel(std::string_view driver) {
  return driver == "net_af_packet" || driver == "net_af_xdp" || driver == "net_tap";
}

absl::Status Failure(const Port& port, std::string_view what, int error) {
  return absl::FailedPreconditionError(
      fmt::format("port {} ({}): {}: {}.", port.name, port.driver, what, rte_strerror(-error)));
}

// With net_tap, the port and the kernel's interface have one MAC address; two stations on a link
// need two.
MacAddress OtherEndOfTap(MacAddress mac) {
  mac.bytes[0] = static_cast<uint8_t>((mac.bytes[0] | 0x02) & ~0x01);  // locally administered
  mac.bytes[5] ^= 0x01;
  return mac;
}

absl::Status ChooseMtu(Port& port, const PortOptions& options, const rte_eth_dev_info& info) {
  uint16_t device_mtu = 0;
  if (!port.kernel_interface.empty()) {
    const auto interface = ReadKernelInterface(port.kernel_interface);
    if (!interface.ok()) return interface.status();
    // net_tap sets its interface up itself.
    if (!interface->up && port.driver != "net_tap") {
      return absl::FailedPreconditionError(
          fmt::format("port {}: interface {} is down; run ip link set {} up.", port.name,
                      port.kernel_interface, port.kernel_interface));
    }
    device_mtu = interface->mtu;
  } else if (rte_eth_dev_get_mtu(port.id, &device_mtu) != 0) {
    device_mtu = RTE_ETHER_MTU;
  }
  // net_af_packet doesn't say what fits its frames (framesz) beyond an ordinary one; an operator
  // who enlarges them says so with `mtu`.
  const bool ordinary = port.driver == "net_af_packet";
  port.mtu = options.mtu != 0 ? options.mtu
             : ordinary       ? std::min<uint16_t>(device_mtu, RTE_ETHER_MTU)
                              : device_mtu;
  // net_af_packet and net_af_xdp move what the kernel's interface can; net_tap and NICs are told.
  const bool settable = port.kernel_interface.empty() || port.driver == "net_tap";
  // A device without an idea of its MTU may have one of its frames.
  constexpr uint32_t kFrameBeyondMtu = RTE_ETHER_HDR_LEN + RTE_ETHER_CRC_LEN;
  const uint32_t fits = info.max_rx_pktlen > kFrameBeyondMtu && info.max_mtu == UINT16_MAX
                            ? info.max_rx_pktlen - kFrameBeyondMtu
                            : info.max_mtu;
  const auto most = static_cast<uint16_t>(settable ? std::min<uint32_t>(fits, info.max_mtu)
                                                   : std::min<uint32_t>(info.max_mtu, device_mtu));
  if (port.mtu > most || port.mtu < info.min_mtu) {
    return absl::FailedPreconditionError(
        fmt::format("port {} ({}): an MTU of {} is not possible; must be from {} to {}{}.",
                    port.name, port.driver, port.mtu, info.min_mtu, most,
                    settable ? "" : fmt::format(", or raise that of {}", port.kernel_interface)));
  }
  return absl::OkStatus();
}

// Makes the device deliver frames for its MAC address, and for all groups: neighbour discovery
// goes to solicited-node groups (RFC 4291, section 2.7.1).
absl::Status OpenFilters(Port& port, const PortOptions& options) {
  if (port.driver == "net_tap") return absl::OkStatus();  // all that the kernel sends comes
  if (!port.kernel_interface.empty()) {
    // A membership ends with its descriptor; an interface flag would outlive us, as a changed MAC
    // address would. A MAC address of our own needs all frames.
    auto fd = OpenMembership(port.kernel_interface, options.mac.has_value());
    if (!fd.ok()) return fd.status();
    port.membership_fd = *fd;
    return absl::OkStatus();
  }
  bool everything = false;
  if (options.mac.has_value()) {
    rte_ether_addr mac;
    std::copy(options.mac->bytes.begin(), options.mac->bytes.end(), mac.addr_bytes);
    everything = rte_eth_dev_default_mac_addr_set(port.id, &mac) != 0;
  }
  everything |= rte_eth_allmulticast_enable(port.id) != 0;
  // A device without any filter (net_ring, net_memif) delivers everything, and refuses this.
  if (everything) rte_eth_promiscuous_enable(port.id);
  return absl::OkStatus();
}

absl::StatusOr<LinkReport> Start(Port& port, const PortOptions& options, rte_mempool* pool,
                                 std::chrono::milliseconds link_wait) {
  rte_eth_dev_info info = {};
  if (const int error = rte_eth_dev_info_get(port.id, &info); error != 0) {
    return Failure(port, "can't be queried", error);
  }
  rte_eth_conf conf = {};
  if (port.kernel_interface.empty() || port.driver == "net_tap") conf.rxmode.mtu = port.mtu;
  if (port.rx_ipv4_cksum) conf.rxmode.offloads |= RTE_ETH_RX_OFFLOAD_IPV4_CKSUM;
  if (port.rx_udp_cksum) conf.rxmode.offloads |= RTE_ETH_RX_OFFLOAD_UDP_CKSUM;
  if (port.fast_free) conf.txmode.offloads |= RTE_ETH_TX_OFFLOAD_MBUF_FAST_FREE;
  if (port.rss) {
    conf.rxmode.mq_mode = RTE_ETH_MQ_RX_RSS;
    conf.rx_adv_conf.rss_conf.rss_hf =
        (RTE_ETH_RSS_IP | RTE_ETH_RSS_UDP) & info.flow_type_rss_offloads;
  }
  int error = rte_eth_dev_configure(port.id, port.queues, port.queues, &conf);
  if (error != 0) return Failure(port, "can't be configured", error);
  // Some drivers look at conf.rxmode.mtu, others wait to be told.
  if (conf.rxmode.mtu != 0 && options.mtu != 0) {
    error = rte_eth_dev_set_mtu(port.id, port.mtu);
    if (error != 0 && error != -ENOTSUP) {
      return Failure(port, fmt::format("an MTU of {} can't be set", port.mtu), error);
    }
  }
  // Once configured, a device may want other sizes.
  error = rte_eth_dev_adjust_nb_rx_tx_desc(port.id, &port.rx_descriptors, &port.tx_descriptors);
  if (error != 0) return Failure(port, "does not support these queue sizes", error);

  const auto node = static_cast<unsigned>(port.socket);  // -1: SOCKET_ID_ANY
  for (uint16_t queue = 0; queue < port.queues; ++queue) {
    rte_eth_rxconf rx = info.default_rxconf;
    rx.offloads = conf.rxmode.offloads;
    error = rte_eth_rx_queue_setup(port.id, queue, port.rx_descriptors, node, &rx, pool);
    if (error != 0) {
      return Failure(port, fmt::format("receive queue {} can't be set up", queue), error);
    }
    rte_eth_txconf tx = info.default_txconf;
    tx.offloads = conf.txmode.offloads;
    error = rte_eth_tx_queue_setup(port.id, queue, port.tx_descriptors, node, &tx);
    if (error != 0) {
      return Failure(port, fmt::format("transmit queue {} can't be set up", queue), error);
    }
  }
  error = rte_eth_dev_start(port.id);
  if (error != 0) return Failure(port, "can't be started", error);
  if (const absl::Status opened = OpenFilters(port, options); !opened.ok()) return opened;

  const auto deadline = std::chrono::steady_clock::now() + link_wait;
  rte_eth_link link = {};
  while (rte_eth_link_get_nowait(port.id, &link) == 0 && link.link_status != RTE_ETH_LINK_UP &&
         std::chrono::steady_clock::now() < deadline) {
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  LinkReport report;
  report.up = link.link_status == RTE_ETH_LINK_UP;
  if (link.link_speed != RTE_ETH_SPEED_NUM_UNKNOWN) report.speed_mbps = link.link_speed;
  return report;
}

}  // namespace

absl::StatusOr<Port> FindPort(const PortOptions& options, std::string_view eal_errors) {
  const std::optional<uint16_t> id = Find(options.name);
  if (!id) {
    const std::string remedy =
        LooksLikePci(options.name)
            ? "bind the NIC to vfio-pci with dpdk-devbind.py, and remove --no-pci from"
            : fmt::format("add --vdev={},... to", options.name);
    return absl::NotFoundError(fmt::format(
        "port {} does not exist; {}; {} [dataplane] eal_args.{}", options.name, Existing(), remedy,
        eal_errors.empty() ? "" : fmt::format(" DPDK said: {}.", eal_errors)));
  }
  Port port;
  port.id = *id;
  port.name = options.name;
  port.queues = options.queues;
  rte_eth_dev_info info = {};
  if (const int error = rte_eth_dev_info_get(*id, &info); error != 0) {
    return Failure(port, "can't be queried", error);
  }
  port.driver = info.driver_name;
  port.socket = rte_eth_dev_socket_id(*id);
  port.kernel_checksums = HasKernel(port.driver);
  port.privileged_close = port.driver == "net_af_xdp";
  if (port.kernel_checksums && info.if_index != 0) {
    char name[IF_NAMESIZE];
    if (if_indextoname(info.if_index, name) != nullptr) port.kernel_interface = name;
  }

  const uint16_t most_queues = std::min(info.max_rx_queues, info.max_tx_queues);
  if (most_queues < options.queues) {
    return absl::FailedPreconditionError(
        fmt::format("port {} ({}) has {} queue{}, but {} workers need one each; {}.", port.name,
                    port.driver, most_queues, most_queues == 1 ? "" : "s", options.queues,
                    QueueRemedy(port.driver, options.queues)));
  }
  port.rx_descriptors = options.rx_descriptors;
  port.tx_descriptors = options.tx_descriptors;
  if (const int error =
          rte_eth_dev_adjust_nb_rx_tx_desc(*id, &port.rx_descriptors, &port.tx_descriptors);
      error != 0) {
    return Failure(port, "does not support these queue sizes", error);
  }
  port.min_rx_buffer = static_cast<uint16_t>(std::min<uint32_t>(info.min_rx_bufsize, UINT16_MAX));
  // net_tap's offload is a check in software, which would call a kernel's unfinished checksum bad.
  if (!port.kernel_checksums) {
    port.rx_ipv4_cksum = (info.rx_offload_capa & RTE_ETH_RX_OFFLOAD_IPV4_CKSUM) != 0;
    port.rx_udp_cksum = (info.rx_offload_capa & RTE_ETH_RX_OFFLOAD_UDP_CKSUM) != 0;
  }
  port.fast_free = (info.tx_offload_capa & RTE_ETH_TX_OFFLOAD_MBUF_FAST_FREE) != 0;
  port.rss =
      options.queues > 1 && (info.flow_type_rss_offloads & (RTE_ETH_RSS_IP | RTE_ETH_RSS_UDP)) != 0;

  rte_ether_addr mac = {};
  if (const int error = rte_eth_macaddr_get(*id, &mac); error != 0) {
    return Failure(port, "has no MAC address", error);
  }
  std::copy(std::begin(mac.addr_bytes), std::end(mac.addr_bytes), port.mac.bytes.begin());
  if (port.driver == "net_tap") port.mac = OtherEndOfTap(port.mac);
  if (port.mac == MacAddress{}) {  // net_ring has none
    rte_eth_random_addr(port.mac.bytes.data());
  }
  if (options.mac.has_value()) port.mac = *options.mac;

  if (const absl::Status mtu = ChooseMtu(port, options, info); !mtu.ok()) return mtu;
  return port;
}

absl::StatusOr<LinkReport> StartPort(Port& port, const PortOptions& options, rte_mempool* pool,
                                     std::chrono::milliseconds link_wait) {
  std::optional<Silence> silence;
  if (port.driver == "net_af_xdp") silence.emplace();  // libxdp talks on stderr
  auto report = Start(port, options, pool, link_wait);
  if (!report.ok()) ClosePort(port);
  return report;
}

void ClosePort(Port& port) {
  if (port.membership_fd >= 0) close(std::exchange(port.membership_fd, -1));
  if (rte_eth_dev_is_valid_port(port.id) == 0) return;
  std::optional<Silence> silence;
  if (port.driver == "net_af_xdp") silence.emplace();
  (void)rte_eth_dev_stop(port.id);
  (void)rte_eth_dev_close(port.id);
}

}  // namespace sotto::dataplane
