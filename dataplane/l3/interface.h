// SPDX-License-Identifier: Apache-2.0
// The relay's IP interfaces: a port, perhaps a VLAN on it, and the addresses that the relay owns
// there. Built once at start and never changed, so every thread may read it.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"
#include "relay/base/ip_address.h"

namespace sotto::dataplane {

using InterfaceId = uint8_t;
constexpr size_t kMaxInterfaces = 32;

struct MacAddress {
  std::array<uint8_t, 6> bytes = {};

  static constexpr MacAddress Broadcast() { return {{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}}; }

  static absl::StatusOr<MacAddress> Parse(std::string_view text);  // "02:00:00:00:00:01"
  std::string ToString() const;
  bool is_multicast() const { return (bytes[0] & 1) != 0; }  // broadcast too
  // Whether one station can have it: neither a group's nor all zero.
  bool is_station() const { return !is_multicast() && *this != MacAddress{}; }
  bool operator==(const MacAddress&) const = default;
};

struct Interface {
  std::string name;   // as the configuration names the port
  uint16_t port = 0;  // ethdev port id
  uint16_t vlan = 0;  // 802.1Q VLAN id, 1-4094; 0: untagged
  MacAddress mac;
  uint16_t mtu = 1500;  // bytes of IP packet
  struct Address {
    IpAddress ip;
    IpPrefix subnet;  // on-link destinations
  };
  std::vector<Address> addresses;
  std::vector<IpAddress> gateways;  // at most one of each family is used: the first
};

// Kinds of address that are the same on every network.
bool IsMulticast(const IpAddress& ip);
bool IsUnspecified(const IpAddress& ip);  // 0.0.0.0/8 and ::
bool IsLoopback(const IpAddress& ip);
bool IsLinkLocal(const IpAddress& ip);  // IPv4 and IPv6

// Where packets for a destination go: straight to it, or to a gateway.
struct Route {
  InterfaceId interface = 0;
  IpAddress next_hop;
};

class InterfaceTable {
 public:
  // INVALID_ARGUMENT with a sentence if two interfaces share an address, or a port and VLAN, if an
  // address can't be a host's, if a gateway isn't on-link (an IPv6 link-local one always is), if
  // the MTU is below what the address family needs, or there are more than kMaxInterfaces.
  static absl::StatusOr<InterfaceTable> Create(std::vector<Interface> interfaces);

  const Interface& at(InterfaceId id) const { return interfaces_[id]; }
  size_t size() const { return interfaces_.size(); }

  // The interface that owns the address.
  std::optional<InterfaceId> FindLocal(const IpAddress& ip) const;
  // The interface of a frame that arrived on `port` with VLAN `vlan` (0: untagged or priority
  // tagged).
  std::optional<InterfaceId> FindPort(uint16_t port, uint16_t vlan) const;
  // Longest on-link prefix first, then the first gateway of the family, in the order of the
  // configuration. Nothing if there is no way, if the destination is the relay's own address, or if
  // it isn't one host's: unspecified, loopback, multicast, a broadcast address, or link-local and
  // not on-link.
  std::optional<Route> FindRoute(const IpAddress& destination) const;
  // The address of the interface to speak from to an on-link neighbour of the family, if any.
  std::optional<IpAddress> SourceFor(InterfaceId id, const IpAddress& neighbor) const;
  // Whether the address is IPv4's limited broadcast, or the broadcast or network address of a
  // subnet of the relay (RFC 1122, section 3.2.1.3; subnets of 31 and 32 bits have none).
  bool IsBroadcast(const IpAddress& ip) const;

 private:
  struct OnLink {
    IpPrefix prefix;
    InterfaceId interface;
  };

  std::vector<Interface> interfaces_;
  absl::flat_hash_map<IpAddress, InterfaceId> local_;
  std::vector<OnLink> on_link_;  // longest prefix first
};

}  // namespace sotto::dataplane
