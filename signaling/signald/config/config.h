// SPDX-License-Identifier: Apache-2.0
// The configuration of sotto-signald: what the TOML file says, checked and as plain values.
//
// How such a file is read: relay/daemon/config_file.h.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "relay/base/ip_address.h"
#include "relay/daemon/admin_config.h"
#include "relay/daemon/config_file.h"
#include "relay/daemon/log.h"
#include "signaling/decision/decider.h"
#include "signaling/identity/identity_verifier.h"
#include "signaling/relay_client/relay_fleet.h"
#include "signaling/service/service.h"

namespace sotto::signaling {

constexpr size_t kMaxRelays = 64;

struct ServerConfig {
  std::vector<TransportAddress> listen;
  bool tls = true;
  std::string tls_cert;
  std::string tls_key;
  std::string web_root;              // empty: no files are served
  std::vector<std::string> origins;  // beside the server's own
  bool operator==(const ServerConfig&) const = default;
};

struct IdentityConfig {
  std::string keys;  // a PEM file; empty only with `development`
  IdentityOptions options;
  bool development = false;
  bool development_anywhere = false;
};

struct LimitsConfig {
  uint32_t max_connections = 20'000;
  uint32_t max_connections_per_prefix = 256;
  bool operator==(const LimitsConfig&) const = default;
};

struct SignaldConfig {
  ServerConfig server;
  IdentityConfig identity;
  std::string store_path;
  ServiceOptions service;
  DeciderOptions decider;
  std::vector<RelayOptions> relays;
  LimitsConfig limits;
  AdminConfig admin;
  std::optional<TransportAddress> metrics_listen;
  std::string user;  // to run as after the start; empty: see relay/daemon/privileges.h
  LogOptions log;

  std::vector<std::string> warnings;
  ConfigSettings settings;
};

// Reads and checks a configuration. `name` is the file's name for messages. INVALID_ARGUMENT with
// everything that was found to be wrong, a line each: "NAME:LINE: [section] key: what is wrong, and
// what would be right". Files that it names are not looked at.
absl::StatusOr<SignaldConfig> ParseConfig(std::string_view text, std::string_view name);

// ParseConfig() of a file; warns when others can read it.
absl::StatusOr<SignaldConfig> LoadConfig(const std::string& path);

// The reference of all keys, as Markdown.
std::string ConfigReference();

// The keys that it is read by.
const ConfigSchema& SignaldConfigSchema();

}  // namespace sotto::signaling
