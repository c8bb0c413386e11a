// SPDX-License-Identifier: Apache-2.0
// What an operator decides about the TURN server. Plain values: the daemon reads them from its
// configuration file, tests write them down. Validate() says what is wrong with them.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "relay/base/ip_address.h"
#include "relay/forwarding.h"
#include "relay/wire/virtual_prefix.h"

namespace sotto::relay {

enum class PeerPolicyKind : uint8_t {
  kPublic,  // any peer that no rule refuses
  kRelay,   // only relayed addresses of this fleet
  kCall,    // only the other leg of the same, armed call
};

struct PeerPolicyOptions {
  PeerPolicyKind kind = PeerPolicyKind::kPublic;
  // `deny` wins over `allow`; `allow` admits private ranges and nothing that is always refused.
  // With kRelay, `allow` names the relayed addresses of the fleet's other relays.
  std::vector<IpPrefix> allow = {};
  std::vector<IpPrefix> deny = {};

  bool operator==(const PeerPolicyOptions&) const = default;
};

struct AuthOptions {
  // User name to password. With kCall a user name has the form of relay/turn/call_name.h.
  std::map<std::string, std::string> users;
  // Secrets of time-limited credentials; the first is the one to mint with, all are accepted.
  std::vector<std::string> shared_secrets;
  uint32_t nonce_lifetime_s = 3600;
  // More are added while the server runs (Server::Reconfigure), so none at all is no mistake.
  bool may_be_empty = false;
  // Offer SHA-256 alone, and refuse requests whose key is an MD5 or whose MAC is a SHA-1.
  bool require_sha256 = false;

  bool operator==(const AuthOptions&) const = default;
};

// Bounds, so that no client can take what others need. Zero means "no bound" only where said.
struct LimitOptions {
  uint32_t max_allocations = 100'000;
  uint32_t max_allocations_per_user = 0;  // 486; 0: no bound
  uint32_t max_permissions_per_allocation = 64;
  uint32_t max_channels_per_allocation = 64;
  uint32_t max_allocations_per_leg = 16;  // of one side of one call
  // New allocations a second for clients of one source prefix (IPv4 /24, IPv6 /56), twice as many
  // in a burst; beyond, 508. 0: no bound.
  uint32_t allocations_per_prefix = 0;
  // What the plane lets pass, an allocation being a leg. Under kCall each leg of a call is a user.
  ForwardingRates rates;
  // STUN requests a second that one source prefix (IPv4 /24, IPv6 /56) may make; twice as many in
  // a burst.
  uint32_t requests_per_prefix = 2'000;
  // Bytes a second by which answers to unauthenticated requests may exceed what was sent to get
  // them, for each source prefix (IPv4 /24, IPv6 /56), and the burst.
  uint32_t unauthenticated_excess_rate = 64 * 1024;
  uint32_t unauthenticated_excess_burst = 256 * 1024;

  bool operator==(const LimitOptions&) const = default;
};

struct LifetimeOptions {
  // RFC 8656, section 7.2: the default is the least that is granted.
  uint32_t default_s = 600;
  uint32_t max_s = 3600;
  // RFC 8656, sections 9 and 12: fixed by the RFC, here for tests' sake alone.
  uint32_t permission_s = 300;
  uint32_t channel_s = 600;
  uint32_t reservation_s = 30;

  bool operator==(const LifetimeOptions&) const = default;
};

struct ServerOptions {
  std::string realm;
  std::vector<TransportAddress> listen;
  std::vector<IpAddress> relay_addresses;  // at most 16; none with `virtual_prefix`
  // With kCall, whose media never leaves the relay: each allocation has an address of its own out
  // of this prefix, which exists inside the relay alone, instead of a port of a real one.
  std::optional<VirtualPrefix> virtual_prefix;
  std::pair<uint16_t, uint16_t> relay_ports = {49152, 65535};  // inclusive
  AuthOptions auth;
  PeerPolicyOptions peers;
  LimitOptions limits;
  LifetimeOptions lifetimes;
  // kCall: arm each call as soon as it exists. For tests and demonstrations.
  bool arm_calls_at_once = false;
  // Listening addresses of other relays, at most 16: where clients are sent while this one drains.
  std::vector<TransportAddress> alternates;

  // INVALID_ARGUMENT with one sentence that names the option, as the configuration file spells it
  // ([turn] realm, [turn.auth] shared_secrets, ...), and what would be right.
  absl::Status Validate() const;

  // These with what of `wanted` may change while a server runs: users, secrets, lifetime of nonces,
  // peer lists, limits (but for max_allocations), lifetimes of allocations, alternates. What
  // workers enforce of them, others must tell those.
  ServerOptions Reloaded(const ServerOptions& wanted) const;

  bool operator==(const ServerOptions&) const = default;
};

// Passwords and shared secrets shorter than this are refused by Validate().
constexpr size_t kMinSecretSize = 6;
// And rates of users below this, but for 0.
constexpr uint64_t kMinUserRate = 1000;

}  // namespace sotto::relay
