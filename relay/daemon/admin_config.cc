// SPDX-License-Identifier: Apache-2.0
#include "relay/daemon/admin_config.h"

#include <fmt/format.h>

#include "relay/daemon/config_value.h"

namespace sotto {

void ReadServicePort(const ConfigValue& value, std::optional<TransportAddress>& out) {
  out = value.Parsed<TransportAddress>();
  if (out && out->port == 0) value.Fail("port 0 is not possible; must be from 1 to 65535.");
}

void CheckAdmin(const AdminConfig& admin, ConfigErrors& errors) {
  const struct {
    std::string_view key;
    const std::string& value;
  } files[] = {{"tls_cert", admin.tls.cert}, {"tls_key", admin.tls.key}, {"tls_ca", admin.tls.ca}};
  for (const auto& [key, value] : files) {
    if (admin.listen && value.empty()) {
      errors.Add(errors.LineOf("admin.listen"),
                 fmt::format("[admin] listen: TCP needs mutual TLS, and {} is missing; set it, or "
                             "use socket instead.",
                             key));
    } else if (!admin.listen && !value.empty()) {
      errors.Add(
          errors.LineOf(fmt::format("admin.{}", key)),
          fmt::format("[admin] {}: only applies to listen, which is not set; set listen, or remove "
                      "this key.",
                      key));
    }
  }
  if (!admin.group.empty() && admin.socket.empty()) {
    errors.Add(errors.LineOf("admin.group"),
               "[admin] group: only applies to socket, which is not set; set socket, or remove "
               "this key.");
  }
}

}  // namespace sotto
