// SPDX-License-Identifier: Apache-2.0
#include "relay/turn/options.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>
#include <string_view>

#include "relay/auth/credential.h"
#include "relay/turn/call_name.h"
#include "relay/turn/peer_policy.h"

namespace sotto::relay {
namespace {

constexpr size_t kMaxRealmSize = 127;  // RFC 8489, section 14.9: fewer than 128 characters
constexpr size_t kMaxRelayAddresses = 16;
constexpr size_t kMaxAlternates = 16;
constexpr uint16_t kMinRelayPort = 1024;  // RFC 8656, section 7.2

template <typename... Args>
absl::Status Wrong(fmt::format_string<Args...> format, Args&&... args) {
  return absl::InvalidArgumentError(fmt::format(format, std::forward<Args>(args)...));
}

bool IsHost(const IpAddress& ip) {
  return ip.ToInteger() != 0 && !IpPrefix(IpAddress::V4(224, 0, 0, 0), 3).Contains(ip) &&
         !(ip.is_v6() && ip.raw()[0] == 0xff);
}

absl::Status ValidateVirtualPrefix(const ServerOptions& options) {
  const VirtualPrefix& prefix = *options.virtual_prefix;
  const std::string text = prefix.prefix().ToString();
  if (options.peers.kind != PeerPolicyKind::kCall) {
    return Wrong(
        "[turn] virtual_prefix {}: needs [turn.peers] policy \"call\", as only its media never "
        "leaves the relay; set that policy, or use relay_addresses instead",
        text);
  }
  if (!options.relay_addresses.empty()) {
    return Wrong("[turn] virtual_prefix {} replaces relay_addresses; remove one of the two", text);
  }
  if (IsForbiddenPrefix(prefix.prefix())) {
    return Wrong(
        "[turn] virtual_prefix {} does not consist of host addresses; use a prefix such as "
        "100.64.0.0/10",
        text);
  }
  if (prefix.capacity() < options.limits.max_allocations) {
    return Wrong(
        "[turn] virtual_prefix {} has {} addresses, fewer than [dataplane] max_allocations ({}); "
        "use a shorter prefix, or lower max_allocations",
        text, prefix.capacity(), options.limits.max_allocations);
  }
  for (const TransportAddress& listener : options.listen) {
    if (!prefix.prefix().Contains(listener.ip)) continue;
    return Wrong("[turn] listen: {} is inside virtual_prefix {}; change one of them",
                 listener.ToString(), text);
  }
  return absl::OkStatus();
}

absl::Status ValidateAddresses(const ServerOptions& options) {
  if (options.listen.empty()) {
    return Wrong(
        "[turn] listen is empty; give at least one address and port, such as 192.0.2.1:3478");
  }
  std::set<TransportAddress> listeners;
  for (const TransportAddress& listener : options.listen) {
    if (listener.port == 0 || !IsHost(listener.ip)) {
      return Wrong("[turn] listen: {} is not an address and port that clients can send to",
                   listener.ToString());
    }
    if (!listeners.insert(listener).second) {
      return Wrong("[turn] listen has {} twice; remove one", listener.ToString());
    }
  }
  if (options.virtual_prefix) {
    if (absl::Status status = ValidateVirtualPrefix(options); !status.ok()) return status;
  } else if (options.relay_addresses.empty() ||
             options.relay_addresses.size() > kMaxRelayAddresses) {
    return Wrong("[turn] relay_addresses has {} addresses; must have 1 to {}",
                 options.relay_addresses.size(), kMaxRelayAddresses);
  }
  std::set<IpAddress> addresses;
  for (const IpAddress& ip : options.relay_addresses) {
    if (!IsHost(ip)) {
      return Wrong("[turn] relay_addresses: {} is not a host address", ip.ToString());
    }
    if (!addresses.insert(ip).second) {
      return Wrong("[turn] relay_addresses has {} twice; remove one", ip.ToString());
    }
  }
  const auto [first, last] = options.relay_ports;
  if (first < kMinRelayPort || first > last) {
    return Wrong(
        "[turn] relay_ports \"{}-{}\" is not a valid range; must be within {} to 65535, lower port "
        "first",
        first, last, kMinRelayPort);
  }
  for (const TransportAddress& listener : options.listen) {
    if (addresses.contains(listener.ip) && listener.port >= first && listener.port <= last) {
      return Wrong(
          "[turn] listen: {} is inside relay_ports {}-{} of the same address; change one of them",
          listener.ToString(), first, last);
    }
  }
  return absl::OkStatus();
}

absl::Status ValidateAuth(const AuthOptions& auth, PeerPolicyKind policy) {
  if (auth.users.empty() && auth.shared_secrets.empty() && !auth.may_be_empty) {
    return Wrong(
        "[turn.auth] has neither users nor shared_secrets, so no client could authenticate; add "
        "one of them");
  }
  for (const auto& [name, password] : auth.users) {
    if (name.empty() || name.size() > kMaxUsernameSize) {
      return Wrong("[turn.auth] users: a name has {} bytes; must have 1 to {}", name.size(),
                   kMaxUsernameSize);
    }
    if (password.size() < kMinSecretSize) {
      return Wrong(
          "[turn.auth] users: the password of \"{}\" is too short; use at least {} characters",
          name, kMinSecretSize);
    }
    if (policy == PeerPolicyKind::kCall && !ParseCallName(name)) {
      return Wrong(
          "[turn.auth] users: \"{}\" does not name a leg of a call, as policy \"call\" requires; "
          "write <call id>/a or <call id>/b",
          name);
    }
  }
  for (size_t i = 0; i < auth.shared_secrets.size(); ++i) {
    if (auth.shared_secrets[i].size() < kMinSecretSize) {
      return Wrong("[turn.auth] shared_secrets: secret {} is too short; use at least {} characters",
                   i + 1, kMinSecretSize);
    }
  }
  if (auth.nonce_lifetime_s == 0) {
    return Wrong(
        "[turn.auth] nonce_lifetime_s is 0, so no nonce would ever be accepted; use a number of "
        "seconds such as 3600");
  }
  return absl::OkStatus();
}

absl::Status ValidateAlternates(const ServerOptions& options) {
  if (options.alternates.size() > kMaxAlternates) {
    return Wrong("[turn] alternates has {} relays; must have at most {}", options.alternates.size(),
                 kMaxAlternates);
  }
  for (const TransportAddress& alternate : options.alternates) {
    if (alternate.port == 0 || !IsHost(alternate.ip)) {
      return Wrong("[turn] alternates: {} is not an address and port that clients can send to",
                   alternate.ToString());
    }
    if (std::ranges::find(options.listen, alternate) != options.listen.end()) {
      return Wrong("[turn] alternates: {} is this relay's own address; name other relays",
                   alternate.ToString());
    }
  }
  return absl::OkStatus();
}

absl::Status ValidateNumbers(const LimitOptions& limits, const LifetimeOptions& lifetimes) {
  const std::pair<std::string_view, uint32_t> positive[] = {
      {"[dataplane] max_allocations", limits.max_allocations},
      {"[turn.limits] max_permissions_per_allocation", limits.max_permissions_per_allocation},
      {"[turn.limits] max_channels_per_allocation", limits.max_channels_per_allocation},
      {"[turn.limits] max_allocations_per_leg", limits.max_allocations_per_leg},
      {"[turn.limits] unauthenticated_excess_rate", limits.unauthenticated_excess_rate},
      {"[turn.limits] unauthenticated_excess_burst", limits.unauthenticated_excess_burst},
      {"[turn.lifetimes] default_s", lifetimes.default_s},
      {"[turn.lifetimes] permission_s", lifetimes.permission_s},
      {"[turn.lifetimes] channel_s", lifetimes.channel_s},
      {"[turn.lifetimes] reservation_s", lifetimes.reservation_s},
  };
  for (const auto& [name, value] : positive) {
    if (value == 0) return Wrong("{} is 0; must be at least 1", name);
  }
  if (limits.rates.bytes_per_user != 0 && limits.rates.bytes_per_user < kMinUserRate) {
    return Wrong(
        "[turn.limits] bytes_per_user {} is below {}, which is hardly one packet per second; use "
        "bytes per second, or 0 for no limit",
        limits.rates.bytes_per_user, kMinUserRate);
  }
  if (lifetimes.max_s < lifetimes.default_s) {
    return Wrong("[turn.lifetimes] max_s {} is below default_s {}; raise max_s or lower default_s",
                 lifetimes.max_s, lifetimes.default_s);
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status ServerOptions::Validate() const {
  if (realm.empty() || realm.size() > kMaxRealmSize) {
    return Wrong(
        "[turn] realm has {} bytes; must have 1 to {}. By convention it is your domain name",
        realm.size(), kMaxRealmSize);
  }
  if (absl::Status status = ValidateAddresses(*this); !status.ok()) return status;
  if (absl::Status status = ValidateAuth(auth, peers.kind); !status.ok()) return status;
  for (const IpPrefix& prefix : peers.allow) {
    if (IsForbiddenPrefix(prefix)) {
      return Wrong("[turn.peers] allow: {} is always forbidden and can't be allowed; remove it",
                   prefix.ToString());
    }
  }
  if (absl::Status status = ValidateAlternates(*this); !status.ok()) return status;
  return ValidateNumbers(limits, lifetimes);
}

ServerOptions ServerOptions::Reloaded(const ServerOptions& wanted) const {
  ServerOptions reloaded = *this;
  reloaded.auth.users = wanted.auth.users;
  reloaded.auth.shared_secrets = wanted.auth.shared_secrets;
  reloaded.auth.may_be_empty = wanted.auth.may_be_empty;
  reloaded.auth.nonce_lifetime_s = wanted.auth.nonce_lifetime_s;
  reloaded.peers.allow = wanted.peers.allow;
  reloaded.peers.deny = wanted.peers.deny;
  reloaded.limits = wanted.limits;
  reloaded.limits.max_allocations = limits.max_allocations;
  reloaded.lifetimes = wanted.lifetimes;
  reloaded.alternates = wanted.alternates;
  return reloaded;
}

}  // namespace sotto::relay
