// SPDX-License-Identifier: Apache-2.0
// Where a signaling server is.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace sotto::tools {

struct Endpoint {
  std::string host;  // a name or an address, without brackets
  uint16_t port = 443;
  std::string path = "/v1";

  // "wss://example.org", "wss://192.0.2.1:8443/v1", "wss://[2001:db8::1]:8443/v1".
  static absl::StatusOr<Endpoint> Parse(std::string_view url);

  // "example.org", "192.0.2.1:8443", "[2001:db8::1]:8443".
  std::string authority() const;
  // Of the page that the server serves: "https://example.org".
  std::string origin() const;
};

struct TlsOptions {
  std::string ca_file;    // PEM; empty: those that this machine trusts
  bool insecure = false;  // whoever answers is the server; for development alone
};

}  // namespace sotto::tools
