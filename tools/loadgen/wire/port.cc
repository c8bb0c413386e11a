// SPDX-License-Identifier: Apache-2.0
#include "tools/loadgen/wire/port.h"

#include <fmt/format.h>
#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_ethdev.h>
#include <rte_log.h>
#include <rte_mbuf.h>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <thread>
#include <vector>

namespace sotto::tools {
namespace {

// Beyond what the queues hold: bursts under way, the mempool's cache.
constexpr uint32_t kSpareBuffers = 2048;
constexpr uint32_t kCacheSize = 512;
constexpr std::chrono::seconds kLinkWait{10};

bool HasFreeHugepages() {
  std::error_code error;
  for (const auto& size : std::filesystem::directory_iterator("/sys/kernel/mm/hugepages", error)) {
    uint64_t pages = 0;
    std::ifstream(size.path() / "free_hugepages") >> pages;
    if (pages > 0) return true;
  }
  return false;
}

std::vector<std::string> EalArguments(const std::string& text) {
  std::vector<std::string> args = {"sotto-loadgen"};
  std::istringstream words(text);
  for (std::string word; words >> word;) args.push_back(word);
  const auto has = [&](std::string_view option) {
    return std::any_of(args.begin(), args.end(), [&](const std::string& arg) {
      return std::string_view(arg).starts_with(option);
    });
  };
  if (!has("-a") && !has("--allow") && !has("--no-pci")) args.emplace_back("--no-pci");
  if (!has("--telemetry") && !has("--no-telemetry")) args.emplace_back("--no-telemetry");
  if (!has("-l") && !has("-c") && !has("--lcores")) args.emplace_back("--lcores=0@0");
  if (!has("--no-huge") && !HasFreeHugepages()) args.emplace_back("--no-huge");
  if (has("--no-huge")) {
    if (!has("--no-shconf")) args.emplace_back("--no-shconf");
    if (!has("-m")) args.insert(args.end(), {"-m", "256"});
  } else if (!has("--in-memory") && !has("--file-prefix")) {
    args.emplace_back("--in-memory");
  }
  return args;
}

absl::Status StartEal(const std::string& text) {
  // EAL keeps the pointers.
  static std::vector<std::string>* const args = new std::vector<std::string>(EalArguments(text));
  std::vector<char*> argv;
  for (std::string& arg : *args) argv.push_back(arg.data());
  argv.push_back(nullptr);
  rte_log_set_global_level(RTE_LOG_ERR);
  if (rte_eal_init(static_cast<int>(args->size()), argv.data()) < 0) {
    return absl::FailedPreconditionError(
        fmt::format("DPDK's EAL failed to start with \"{}\" ({}); check --eal",
                    fmt::join(args->begin() + 1, args->end(), " "), rte_strerror(rte_errno)));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::unique_ptr<WirePort>> WirePort::Open(const Options& options) {
  if (absl::Status status = StartEal(options.eal); !status.ok()) return status;
  std::unique_ptr<WirePort> port(new WirePort());
  if (absl::Status status = port->Start(options); !status.ok()) return status;
  return port;
}

absl::Status WirePort::Start(const Options& options) {
  const auto failure = [&](std::string_view what, int error) {
    return absl::FailedPreconditionError(
        fmt::format("port {}: {}: {}", options.name, what, rte_strerror(-error)));
  };
  if (rte_eth_dev_get_port_by_name(options.name.c_str(), &id_) != 0) {
    return absl::NotFoundError(
        fmt::format("there is no port {}; name one with --vdev={},... or -a <PCI address> in --eal",
                    options.name, options.name));
  }
  rte_eth_dev_info info = {};
  if (int error = rte_eth_dev_info_get(id_, &info); error != 0) {
    return failure("can't be queried", error);
  }
  driver_ = info.driver_name;
  queues_ = options.queues;
  if (queues_ > std::min(info.max_rx_queues, info.max_tx_queues)) {
    return absl::FailedPreconditionError(
        fmt::format("port {} ({}) has {} queues; lower --queues, or give its --vdev more",
                    options.name, driver_, std::min(info.max_rx_queues, info.max_tx_queues)));
  }
  rte_eth_conf conf = {};
  conf.txmode.offloads = info.tx_offload_capa & RTE_ETH_TX_OFFLOAD_MBUF_FAST_FREE;
  if (queues_ > 1) {
    conf.rx_adv_conf.rss_conf.rss_hf = info.flow_type_rss_offloads & RTE_ETH_RSS_NONFRAG_IPV4_UDP;
    if (conf.rx_adv_conf.rss_conf.rss_hf != 0) conf.rxmode.mq_mode = RTE_ETH_MQ_RX_RSS;
  }
  configured_ = true;
  if (int error = rte_eth_dev_configure(id_, queues_, queues_, &conf); error != 0) {
    return failure("can't be configured", error);
  }
  uint16_t rx = options.descriptors;
  uint16_t tx = options.descriptors;
  if (int error = rte_eth_dev_adjust_nb_rx_tx_desc(id_, &rx, &tx); error != 0) {
    return failure("does not support these queue sizes", error);
  }
  // net_af_xdp keeps twice its descriptors in the kernel's rings.
  const uint32_t buffers = queues_ * 4u * (rx + tx) + kSpareBuffers;
  pool_ = rte_pktmbuf_pool_create("wire", buffers, kCacheSize, 0, RTE_MBUF_DEFAULT_BUF_SIZE,
                                  rte_eth_dev_socket_id(id_));
  if (pool_ == nullptr) {
    return absl::ResourceExhaustedError(
        fmt::format("can't allocate {} packet buffers ({}); give --eal more memory with -m, or "
                    "lower --descriptors",
                    buffers, rte_strerror(rte_errno)));
  }
  for (uint16_t queue = 0; queue < queues_; ++queue) {
    const auto node = static_cast<unsigned>(rte_eth_dev_socket_id(id_));
    rte_eth_txconf txconf = info.default_txconf;
    txconf.offloads = conf.txmode.offloads;
    int error = rte_eth_rx_queue_setup(id_, queue, rx, node, nullptr, pool_);
    if (error == 0) error = rte_eth_tx_queue_setup(id_, queue, tx, node, &txconf);
    if (error != 0) return failure("a queue can't be set up", error);
  }
  if (int error = rte_eth_dev_start(id_); error != 0) return failure("can't be started", error);
  rte_eth_promiscuous_enable(id_);

  const auto deadline = std::chrono::steady_clock::now() + kLinkWait;
  rte_eth_link link = {};
  while (rte_eth_link_get_nowait(id_, &link) == 0 && link.link_status != RTE_ETH_LINK_UP) {
    if (std::chrono::steady_clock::now() > deadline) {
      return absl::UnavailableError(fmt::format(
          "port {} ({}) has no link; check that the other end is up", options.name, driver_));
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  rte_ether_addr mac = {};
  if (int error = rte_eth_macaddr_get(id_, &mac); error != 0) {
    return failure("has no MAC address", error);
  }
  if (rte_is_zero_ether_addr(&mac)) rte_eth_random_addr(mac.addr_bytes);  // net_ring
  // The kernel beneath would take frames to its interface's address through its own stack, on the
  // sender's core; those to another it drops at once, and here they come by promiscuous mode.
  if (driver_ == "net_af_packet") {
    mac.addr_bytes[0] = static_cast<uint8_t>((mac.addr_bytes[0] | 0x02) & ~0x01);
    mac.addr_bytes[5] ^= 0x01;
  }
  std::copy(std::begin(mac.addr_bytes), std::end(mac.addr_bytes), mac_.begin());
  return absl::OkStatus();
}

uint64_t WirePort::missed() const {
  rte_eth_stats stats = {};
  if (rte_eth_stats_get(id_, &stats) != 0) return 0;
  return stats.imissed + stats.rx_nombuf;
}

WirePort::~WirePort() {
  if (configured_) {
    (void)rte_eth_dev_stop(id_);
    (void)rte_eth_dev_close(id_);
  }
  if (pool_ != nullptr) rte_mempool_free(pool_);
  rte_eal_cleanup();
}

}  // namespace sotto::tools
