// SPDX-License-Identifier: Apache-2.0
#include "tools/signaling_client/endpoint.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>

namespace sotto::tools {
namespace {

absl::Status Wrong(std::string_view url) {
  return absl::InvalidArgumentError(
      fmt::format("\"{}\" is not the URL of a signaling server; must be such as "
                  "wss://example.org:8443/v1",
                  url));
}

bool IsHost(std::string_view host, bool bracketed) {
  const std::string_view others = bracketed ? ".:" : ".-_";
  return !host.empty() && host.size() <= 253 && std::all_of(host.begin(), host.end(), [&](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           others.find(c) != std::string_view::npos;
  });
}

}  // namespace

absl::StatusOr<Endpoint> Endpoint::Parse(std::string_view url) {
  constexpr std::string_view kScheme = "wss://";
  if (!url.starts_with(kScheme)) return Wrong(url);
  std::string_view rest = url.substr(kScheme.size());
  Endpoint endpoint;
  if (const size_t slash = rest.find('/'); slash != std::string_view::npos) {
    const std::string_view path = rest.substr(slash);
    if (std::any_of(path.begin(), path.end(), [](char c) { return c <= ' ' || c > '~'; })) {
      return Wrong(url);
    }
    if (path != "/") endpoint.path = path;
    rest = rest.substr(0, slash);
  }
  const bool bracketed = rest.starts_with('[');
  const size_t host_end = bracketed ? rest.find(']') : std::min(rest.find(':'), rest.size());
  if (host_end == std::string_view::npos) return Wrong(url);
  endpoint.host = rest.substr(bracketed, host_end - bracketed);
  rest = rest.substr(host_end + bracketed);
  if (!IsHost(endpoint.host, bracketed)) return Wrong(url);
  if (rest.empty()) return endpoint;
  if (!rest.starts_with(':')) return Wrong(url);
  rest.remove_prefix(1);
  const auto [end, error] = std::from_chars(rest.data(), rest.data() + rest.size(), endpoint.port);
  if (error != std::errc() || end != rest.data() + rest.size() || endpoint.port == 0) {
    return Wrong(url);
  }
  return endpoint;
}

std::string Endpoint::authority() const {
  const std::string name = host.find(':') == std::string::npos ? host : fmt::format("[{}]", host);
  return port == 443 ? name : fmt::format("{}:{}", name, port);
}

std::string Endpoint::origin() const { return fmt::format("https://{}", authority()); }

}  // namespace sotto::tools
