// SPDX-License-Identifier: Apache-2.0
// Which peers a client may reach: the static part of the peer policies, by address and port alone.
// What depends on calls is in calls.cc.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "relay/base/ip_address.h"
#include "relay/turn/options.h"

namespace sotto::relay {

// What an address is, whatever the configuration says.
enum class PeerClass : uint8_t {
  kOrdinary,  // global unicast
  // Refused unless allowed: private, shared, benchmarking, documentation, local-use NAT64.
  kRestricted,
  // Always refused: unspecified, loopback, link-local, metadata services, multicast, broadcast,
  // reserved, IPv4 in IPv6 clothes (mapped and compatible).
  kForbidden,
};
PeerClass ClassifyPeer(const IpAddress& ip);

// The IPv4 addresses that a packet to an IPv6 address may end up at: those within 6to4, Teredo,
// NAT64 and ISATAP addresses. At most four.
struct EmbeddedAddresses {
  std::array<IpAddress, 4> ips;
  size_t count = 0;
  std::span<const IpAddress> all() const { return {ips.data(), count}; }
};
EmbeddedAddresses EmbeddedV4(const IpAddress& ip);

// A prefix all of whose addresses are kForbidden, so that allowing it does nothing.
bool IsForbiddenPrefix(const IpPrefix& prefix);

class PeerPolicy {
 public:
  explicit PeerPolicy(const ServerOptions& options);

  PeerPolicyKind kind() const { return options_.kind; }

  // Other lists; the kind of policy stays.
  void SetLists(std::vector<IpPrefix> allow, std::vector<IpPrefix> deny) {
    options_.allow = std::move(allow);
    options_.deny = std::move(deny);
  }

  // For a permission, which ignores the port.
  bool Allows(const IpAddress& peer) const;
  // For a channel or a Send indication. The relay's own addresses can be reached at relayed ports
  // and nowhere else.
  bool Allows(const TransportAddress& peer) const;

  bool IsRelayAddress(const IpAddress& ip) const;

 private:
  bool AllowsForeign(const IpAddress& peer) const;

  PeerPolicyOptions options_;
  std::vector<TransportAddress> listeners_;
  std::vector<IpAddress> relay_addresses_;
  std::optional<VirtualPrefix> virtual_prefix_;
  std::pair<uint16_t, uint16_t> relay_ports_;
};

}  // namespace sotto::relay
