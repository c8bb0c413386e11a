// SPDX-License-Identifier: Apache-2.0
#include "relay/daemon/admin_config.h"

#include <fmt/format.h>

#include "relay/daemon/config_value.h"

namespace sotto {

void ReadServicePort(const ConfigValue& value, std::optional<TransportAddress>& out) {
  out = value.Parsed<TransportAddress>();
  if (out && out->port == 0) value.Fail("port 0 can't be reached; must be from 1 to 65535.");
}

void CheckAdmin(const AdminConfig& admin, ConfigErrors& errors) {
  const struct {
    std::string_view key;
    const std::string& value;
  } files[] = {{"tls_cert", admin.tls.cert}, {"tls_key", admin.tls.key}, {"tls_ca", admin.tls.ca}};
  for (const auto& [key, value] : files) {
    if (admin.listen && value.empty()) {
      errors.Add(errors.LineOf("admin.listen"),
                 fmt::format("[admin] listen: TCP is served with mutual TLS alone, and {} is "
                             "missing; give it, or use socket.",
                             key));
    } else if (!admin.listen && !value.empty()) {
      errors.Add(
          errors.LineOf(fmt::format("admin.{}", key)),
          fmt::format("[admin] {}: is for listen, which is missing; give it, or leave this out.",
                      key));
    }
  }
  if (!admin.group.empty() && admin.socket.empty()) {
    errors.Add(errors.LineOf("admin.group"),
               "[admin] group: is for socket, which is missing; give it.");
  }
}

}  // namespace sotto
