// SPDX-License-Identifier: Apache-2.0
// The configuration of sotto-relayd: what the TOML file says, checked and as plain values.
//
// How such a file is read, and what of it the daemons share: relay/daemon/config_file.h.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "dataplane/l3/interface.h"
#include "relay/daemon/admin_config.h"
#include "relay/daemon/config_file.h"
#include "relay/daemon/log.h"
#include "relay/turn/options.h"

namespace sotto::dataplane {

constexpr uint16_t kMaxWorkers = 64;

enum class PollMode : uint8_t {
  kAdaptive,  // idle workers sleep for a moment
  kBusy,      // workers never sleep
};

struct DataplaneConfig {
  std::vector<std::string> eal_args;
  uint16_t workers = 1;
  PollMode poll = PollMode::kAdaptive;
  uint32_t max_allocations = 100'000;  // ServerOptions has it too
  uint32_t memory_mb = 0;              // for all of DPDK; 0: worked out
  uint32_t mbufs = 0;                  // in the pool; 0: worked out
  uint16_t rx_descriptors = 1024;      // of each queue, as far as the device allows
  uint16_t tx_descriptors = 1024;

  bool operator==(const DataplaneConfig&) const = default;
};

// An [[interface]]. `Interface` (dataplane/l3) is what becomes of it once the port is open.
struct InterfaceConfig {
  std::string port;               // ethdev name or PCI address
  uint16_t vlan = 0;              // 1-4094; 0: untagged
  uint16_t mtu = 0;               // bytes of IP packet; 0: the device's
  std::optional<MacAddress> mac;  // none: the device's
  struct Address {
    IpAddress ip;
    IpPrefix subnet;
    bool operator==(const Address&) const = default;
  };
  std::vector<Address> addresses;
  std::vector<IpAddress> gateways;

  bool operator==(const InterfaceConfig&) const = default;
};

struct RelaydConfig {
  DataplaneConfig dataplane;
  std::vector<InterfaceConfig> interfaces;
  relay::ServerOptions server;
  std::string credential_file;  // [turn.auth] file; see relayd/credential_file.h; empty: none
  std::string user;             // to run as after the start; empty: see privileges.h
  uint32_t drain_s = 0;         // before the end, on SIGTERM
  AdminConfig admin;
  std::optional<TransportAddress> metrics_listen;
  LogOptions log;

  // What is allowed but hardly meant; one sentence each.
  std::vector<std::string> warnings;
  ConfigSettings settings;  // the keys that stand in the file
};

// Reads and checks a configuration. `name` is the file's name for messages. INVALID_ARGUMENT with
// everything that was found to be wrong, a line each: "NAME:LINE: [section] key: what is wrong, and
// what would be right".
absl::StatusOr<RelaydConfig> ParseConfig(std::string_view text, std::string_view name);

// ParseConfig() of a file; warns when others can read a file that holds secrets. NOT_FOUND or
// PERMISSION_DENIED if it can't be read.
absl::StatusOr<RelaydConfig> LoadConfig(const std::string& path);

const ConfigSchema& RelaydConfigSchema();

// The reference of all keys, as Markdown.
std::string ConfigReference();

}  // namespace sotto::dataplane
