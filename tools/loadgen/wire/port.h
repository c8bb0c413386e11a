// SPDX-License-Identifier: Apache-2.0
// A DPDK port, and the EAL under it, for one lcore that sends and receives on all of its queues.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "tools/loadgen/wire/plan.h"

struct rte_mempool;

namespace sotto::tools {

class WirePort {
 public:
  struct Options {
    std::string eal;  // arguments with blanks between them
    std::string name;
    uint16_t queues = 1;
    uint16_t descriptors = 1024;
  };

  // Once in a process: EAL doesn't start twice. Waits up to ten seconds for the link. What `eal`
  // leaves open is chosen: no PCI devices if no device is named at all; ordinary memory if there
  // are no free hugepages.
  static absl::StatusOr<std::unique_ptr<WirePort>> Open(const Options& options);
  ~WirePort();
  WirePort(const WirePort&) = delete;
  WirePort& operator=(const WirePort&) = delete;

  uint16_t id() const { return id_; }
  uint16_t queues() const { return queues_; }
  rte_mempool* pool() const { return pool_; }
  const WireMac& mac() const { return mac_; }
  const std::string& driver() const { return driver_; }
  // Packets that the port has lost on receipt since it started, as far as its driver counts them:
  // the generator was too slow for them.
  uint64_t missed() const;

 private:
  WirePort() = default;
  absl::Status Start(const Options& options);

  uint16_t id_ = 0;
  bool configured_ = false;
  uint16_t queues_ = 1;
  rte_mempool* pool_ = nullptr;
  WireMac mac_ = {};
  std::string driver_;
};

}  // namespace sotto::tools
