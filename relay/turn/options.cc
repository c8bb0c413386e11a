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
        "[turn] virtual_prefix {}: only media of the policy \"call\" never leaves the relay; set "
        "[turn.peers] policy to \"call\", or give relay_addresses instead",
        text);
  }
  if (!options.relay_addresses.empty()) {
    return Wrong(
        "[turn] virtual_prefix {} takes the place of relay_addresses; remove one of the two", text);
  }
  if (IsForbiddenPrefix(prefix.prefix())) {
    return Wrong(
        "[turn] virtual_prefix {} is not of addresses that hosts have; take one like "
        "100.64.0.0/10",
        text);
  }
  if (prefix.capacity() < options.limits.max_allocations) {
    return Wrong(
        "[turn] virtual_prefix {} has {} addresses but [dataplane] max_allocations is {}; take a "
        "shorter prefix, or lower it",
        text, prefix.capacity(), options.limits.max_allocations);
  }
  for (const TransportAddress& listener : options.listen) {
    if (!prefix.prefix().Contains(listener.ip)) continue;
    return Wrong("[turn] listen: {} lies in virtual_prefix {}; move one", listener.ToString(),
                 text);
  }
  return absl::OkStatus();
}

absl::Status ValidateAddresses(const ServerOptions& options) {
  if (options.listen.empty()) {
    return Wrong("[turn] listen is empty; name at least one address and port, like 192.0.2.1:3478");
  }
  std::set<TransportAddress> listeners;
  for (const TransportAddress& listener : options.listen) {
    if (listener.port == 0 || !IsHost(listener.ip)) {
      return Wrong("[turn] listen: {} is not an address and port that clients can send to",
                   listener.ToString());
    }
    if (!listeners.insert(listener).second) {
      return Wrong("[turn] listen names {} twice; remove one", listener.ToString());
    }
  }
  if (options.virtual_prefix) {
    if (absl::Status status = ValidateVirtualPrefix(options); !status.ok()) return status;
  } else if (options.relay_addresses.empty() ||
             options.relay_addresses.size() > kMaxRelayAddresses) {
    return Wrong("[turn] relay_addresses names {} addresses; name 1 to {}",
                 options.relay_addresses.size(), kMaxRelayAddresses);
  }
  std::set<IpAddress> addresses;
  for (const IpAddress& ip : options.relay_addresses) {
    if (!IsHost(ip)) {
      return Wrong("[turn] relay_addresses: {} is not the address of a host", ip.ToString());
    }
    if (!addresses.insert(ip).second) {
      return Wrong("[turn] relay_addresses names {} twice; remove one", ip.ToString());
    }
  }
  const auto [first, last] = options.relay_ports;
  if (first < kMinRelayPort || first > last) {
    return Wrong(
        "[turn] relay_ports \"{}-{}\" is not a range of ports from {} to 65535, lower "
        "one first",
        first, last, kMinRelayPort);
  }
  for (const TransportAddress& listener : options.listen) {
    if (addresses.contains(listener.ip) && listener.port >= first && listener.port <= last) {
      return Wrong("[turn] listen: {} lies in relay_ports {}-{} of the same address; move one",
                   listener.ToString(), first, last);
    }
  }
  return absl::OkStatus();
}

absl::Status ValidateAuth(const AuthOptions& auth, PeerPolicyKind policy) {
  if (auth.users.empty() && auth.shared_secrets.empty() && !auth.may_be_empty) {
    return Wrong(
        "[turn.auth] has neither users nor shared_secrets, so that nobody could connect; "
        "add one of them");
  }
  for (const auto& [name, password] : auth.users) {
    if (name.empty() || name.size() > kMaxUsernameSize) {
      return Wrong("[turn.auth] users: a name of {} bytes; write 1 to {}", name.size(),
                   kMaxUsernameSize);
    }
    if (password.size() < kMinSecretSize) {
      return Wrong(
          "[turn.auth] users: the password of \"{}\" is too short; use {} characters at "
          "least",
          name, kMinSecretSize);
    }
    if (policy == PeerPolicyKind::kCall && !ParseCallName(name)) {
      return Wrong(
          "[turn.auth] users: \"{}\" names no leg of a call, as policy \"call\" needs; "
          "write <call id>/a or <call id>/b",
          name);
    }
  }
  for (size_t i = 0; i < auth.shared_secrets.size(); ++i) {
    if (auth.shared_secrets[i].size() < kMinSecretSize) {
      return Wrong("[turn.auth] shared_secrets: number {} is too short; use {} characters at least",
                   i + 1, kMinSecretSize);
    }
  }
  if (auth.nonce_lifetime_s == 0) {
    return Wrong(
        "[turn.auth] nonce_lifetime_s is 0, so that no nonce would ever be accepted; "
        "write a number of seconds, like 3600");
  }
  return absl::OkStatus();
}

absl::Status ValidateAlternates(const ServerOptions& options) {
  if (options.alternates.size() > kMaxAlternates) {
    return Wrong("[turn] alternates names {} relays; name {} at most", options.alternates.size(),
                 kMaxAlternates);
  }
  for (const TransportAddress& alternate : options.alternates) {
    if (alternate.port == 0 || !IsHost(alternate.ip)) {
      return Wrong("[turn] alternates: {} is not an address and port that clients can send to",
                   alternate.ToString());
    }
    if (std::ranges::find(options.listen, alternate) != options.listen.end()) {
      return Wrong("[turn] alternates: {} is this relay's own; name others", alternate.ToString());
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
    if (value == 0) return Wrong("{} is 0; write a number from 1", name);
  }
  if (limits.rates.bytes_per_user != 0 && limits.rates.bytes_per_user < kMinUserRate) {
    return Wrong(
        "[turn.limits] bytes_per_user {} is below {}, hardly a packet a second; write "
        "bytes a second, or 0 for no bound",
        limits.rates.bytes_per_user, kMinUserRate);
  }
  if (lifetimes.max_s < lifetimes.default_s) {
    return Wrong("[turn.lifetimes] max_s {} is below default_s {}; raise one or lower the other",
                 lifetimes.max_s, lifetimes.default_s);
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status ServerOptions::Validate() const {
  if (realm.empty() || realm.size() > kMaxRealmSize) {
    return Wrong("[turn] realm has {} bytes; write 1 to {}, by custom a domain name of yours",
                 realm.size(), kMaxRealmSize);
  }
  if (absl::Status status = ValidateAddresses(*this); !status.ok()) return status;
  if (absl::Status status = ValidateAuth(auth, peers.kind); !status.ok()) return status;
  for (const IpPrefix& prefix : peers.allow) {
    if (IsForbiddenPrefix(prefix)) {
      return Wrong("[turn.peers] allow: {} is always refused, whatever is allowed; remove it",
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
