// SPDX-License-Identifier: Apache-2.0
// [admin], the section of a daemon's configuration that says where its admin services are reached.
#pragma once

#include <optional>
#include <string>

#include "relay/base/ip_address.h"
#include "relay/daemon/tls_files.h"

namespace sotto {

class ConfigErrors;
class ConfigValue;

// Empty and nothing: nowhere.
struct AdminConfig {
  std::string socket;  // path
  std::string group;   // whose members may connect; empty: that of the user it runs as
  std::optional<TransportAddress> listen;
  TlsFiles tls;  // given if, and only if, `listen` is

  bool operator==(const AdminConfig&) const = default;
};

// For config*.cc files (relay/daemon/config_value.h).
//
// An address of this host and a port, for [admin] and [metrics] listen.
void ReadServicePort(const ConfigValue& value, std::optional<TransportAddress>& out);
// What no key of [admin] can tell by itself.
void CheckAdmin(const AdminConfig& admin, ConfigErrors& errors);

}  // namespace sotto
