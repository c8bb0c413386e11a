// SPDX-License-Identifier: Apache-2.0
#include "dataplane/l3/interface.h"

#include <fmt/format.h>

#include <algorithm>

namespace sotto::dataplane {
namespace {

// RFC 791 and RFC 8200, section 5: what every link must carry.
constexpr uint16_t kMinMtuV4 = 576;
constexpr uint16_t kMinMtuV6 = 1280;
constexpr uint16_t kMaxVlan = 4094;

int HexDigit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

bool IsSubnetBroadcast(const IpPrefix& subnet, const IpAddress& ip) {
  if (!ip.is_v4() || subnet.length() > 30 || !subnet.Contains(ip)) return false;
  const uint32_t host_mask =
      subnet.length() == 0 ? 0xffffffffu : (1u << (32 - subnet.length())) - 1;
  const uint32_t host = static_cast<uint32_t>(ip.ToInteger()) & host_mask;
  return host == 0 || host == host_mask;
}

bool IsLimitedBroadcast(const IpAddress& ip) { return ip == IpAddress::V4(255, 255, 255, 255); }

// Why the address can't be one host's, or null.
const char* NotAHost(const IpAddress& ip) {
  if (IsUnspecified(ip)) return "an unspecified address";
  if (IsLoopback(ip)) return "a loopback address";
  if (IsMulticast(ip)) return "a multicast address";
  if (ip.is_v4() && ip.bytes()[0] >= 240) return "reserved or broadcast";
  return nullptr;
}

absl::Status CheckAddresses(const Interface& interface) {
  if (interface.addresses.empty()) {
    return absl::InvalidArgumentError(
        fmt::format("interface {} has no address; give it at least one, like \"192.0.2.10/24\"",
                    interface.name));
  }
  for (const Interface::Address& address : interface.addresses) {
    if (const char* kind = NotAHost(address.ip)) {
      return absl::InvalidArgumentError(
          fmt::format("address {} of interface {} is {}; give the relay a unicast address",
                      address.ip.ToString(), interface.name, kind));
    }
    if (!address.subnet.Contains(address.ip)) {
      return absl::InvalidArgumentError(
          fmt::format("address {} of interface {} is outside its subnet {}", address.ip.ToString(),
                      interface.name, address.subnet.ToString()));
    }
    if (IsSubnetBroadcast(address.subnet, address.ip)) {
      return absl::InvalidArgumentError(fmt::format(
          "address {} of interface {} is the network or broadcast address of {}; choose a host "
          "address inside it",
          address.ip.ToString(), interface.name, address.subnet.ToString()));
    }
    const uint16_t least = address.ip.is_v4() ? kMinMtuV4 : kMinMtuV6;
    if (interface.mtu < least) {
      return absl::InvalidArgumentError(
          fmt::format("the MTU of interface {} is {}; {} needs at least {}", interface.name,
                      interface.mtu, address.ip.is_v4() ? "IPv4" : "IPv6", least));
    }
  }
  return absl::OkStatus();
}

absl::Status CheckGateways(const Interface& interface) {
  for (const IpAddress& gateway : interface.gateways) {
    if (const char* kind = NotAHost(gateway)) {
      return absl::InvalidArgumentError(
          fmt::format("gateway {} of interface {} is {}; name the router's own address",
                      gateway.ToString(), interface.name, kind));
    }
    bool on_link = false;
    for (const Interface::Address& address : interface.addresses) {
      on_link |= address.subnet.Contains(gateway) && !IsSubnetBroadcast(address.subnet, gateway);
      on_link |= address.ip.is_v6() && gateway.is_v6() && IsLinkLocal(gateway);
    }
    if (!on_link) {
      return absl::InvalidArgumentError(
          fmt::format("gateway {} of interface {} is in none of its subnets; add an address in the "
                      "gateway's subnet or correct the gateway",
                      gateway.ToString(), interface.name));
    }
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<MacAddress> MacAddress::Parse(std::string_view text) {
  MacAddress mac;
  bool good = text.size() == 17;
  for (size_t i = 0; good && i < 6; ++i) {
    const int high = HexDigit(text[3 * i]);
    const int low = HexDigit(text[3 * i + 1]);
    good = high >= 0 && low >= 0 && (i == 5 || text[3 * i + 2] == ':');
    if (good) mac.bytes[i] = static_cast<uint8_t>(high << 4 | low);
  }
  if (good) return mac;
  return absl::InvalidArgumentError(
      fmt::format("\"{}\" is not a MAC address; write it like 02:00:00:00:00:01", text));
}

std::string MacAddress::ToString() const {
  return fmt::format("{:02x}:{:02x}:{:02x}:{:02x}:{:02x}:{:02x}", bytes[0], bytes[1], bytes[2],
                     bytes[3], bytes[4], bytes[5]);
}

bool IsMulticast(const IpAddress& ip) {
  return ip.is_v4() ? (ip.bytes()[0] & 0xf0) == 0xe0 : ip.bytes()[0] == 0xff;
}

bool IsUnspecified(const IpAddress& ip) {
  return ip.is_v4() ? ip.bytes()[0] == 0 : ip.ToInteger() == 0;
}

bool IsLoopback(const IpAddress& ip) {
  return ip.is_v4() ? ip.bytes()[0] == 127 : ip.ToInteger() == 1;
}

bool IsLinkLocal(const IpAddress& ip) {
  if (ip.is_v4()) return ip.bytes()[0] == 169 && ip.bytes()[1] == 254;
  return ip.bytes()[0] == 0xfe && (ip.bytes()[1] & 0xc0) == 0x80;
}

absl::StatusOr<InterfaceTable> InterfaceTable::Create(std::vector<Interface> interfaces) {
  if (interfaces.size() > kMaxInterfaces) {
    return absl::InvalidArgumentError(fmt::format("there are {} interfaces; must be at most {}",
                                                  interfaces.size(), kMaxInterfaces));
  }
  InterfaceTable table;
  for (size_t i = 0; i < interfaces.size(); ++i) {
    const Interface& interface = interfaces[i];
    const InterfaceId id = static_cast<InterfaceId>(i);
    if (interface.vlan > kMaxVlan) {
      return absl::InvalidArgumentError(
          fmt::format("VLAN {} of interface {} is not valid; use 1 to {}, or 0 for untagged",
                      interface.vlan, interface.name, kMaxVlan));
    }
    if (!interface.mac.is_station()) {
      return absl::InvalidArgumentError(
          fmt::format("interface {} has the MAC address {}, which is not a unicast address",
                      interface.name, interface.mac.ToString()));
    }
    for (size_t j = 0; j < i; ++j) {
      if (interfaces[j].port == interface.port && interfaces[j].vlan == interface.vlan) {
        return absl::InvalidArgumentError(fmt::format(
            "interfaces {} and {} are both on VLAN {} of the same port; give each its own VLAN, or "
            "list all addresses in one interface",
            interfaces[j].name, interface.name, interface.vlan));
      }
    }
    if (absl::Status status = CheckAddresses(interface); !status.ok()) return status;
    if (absl::Status status = CheckGateways(interface); !status.ok()) return status;
    for (const Interface::Address& address : interface.addresses) {
      const auto [other, added] = table.local_.try_emplace(address.ip, id);
      if (!added) {
        return absl::InvalidArgumentError(
            fmt::format("address {} occurs twice, on {} and {}; an address belongs to one "
                        "interface",
                        address.ip.ToString(), interfaces[other->second].name, interface.name));
      }
      table.on_link_.push_back({address.subnet, id});
    }
  }
  for (const Interface& interface : interfaces) {
    for (const IpAddress& gateway : interface.gateways) {
      if (table.local_.contains(gateway)) {
        return absl::InvalidArgumentError(
            fmt::format("gateway {} of interface {} is the relay's own address; name the router's",
                        gateway.ToString(), interface.name));
      }
    }
  }
  std::stable_sort(
      table.on_link_.begin(), table.on_link_.end(),
      [](const OnLink& a, const OnLink& b) { return a.prefix.length() > b.prefix.length(); });
  table.interfaces_ = std::move(interfaces);
  return table;
}

std::optional<InterfaceId> InterfaceTable::FindLocal(const IpAddress& ip) const {
  const auto it = local_.find(ip);
  if (it == local_.end()) return std::nullopt;
  return it->second;
}

std::optional<InterfaceId> InterfaceTable::FindPort(uint16_t port, uint16_t vlan) const {
  for (size_t i = 0; i < interfaces_.size(); ++i) {
    if (interfaces_[i].port == port && interfaces_[i].vlan == vlan) {
      return static_cast<InterfaceId>(i);
    }
  }
  return std::nullopt;
}

std::optional<Route> InterfaceTable::FindRoute(const IpAddress& destination) const {
  if (NotAHost(destination) != nullptr || IsBroadcast(destination) ||
      local_.contains(destination)) {
    return std::nullopt;
  }
  for (const OnLink& on_link : on_link_) {
    if (on_link.prefix.Contains(destination)) return Route{on_link.interface, destination};
  }
  for (size_t i = 0; i < interfaces_.size(); ++i) {
    for (const IpAddress& gateway : interfaces_[i].gateways) {
      // A link-local gateway is on the link of each interface that names it, though no subnet says
      // so; any other link-local destination has no link to be on.
      if (IsLinkLocal(destination) && gateway != destination) continue;
      if (gateway.family() == destination.family()) {
        return Route{static_cast<InterfaceId>(i), gateway};
      }
    }
  }
  return std::nullopt;
}

std::optional<IpAddress> InterfaceTable::SourceFor(InterfaceId id,
                                                   const IpAddress& neighbor) const {
  std::optional<IpAddress> fallback;
  for (const Interface::Address& address : interfaces_[id].addresses) {
    if (address.ip.family() != neighbor.family()) continue;
    if (address.subnet.Contains(neighbor)) return address.ip;
    if (!fallback) fallback = address.ip;
  }
  return fallback;
}

bool InterfaceTable::IsBroadcast(const IpAddress& ip) const {
  if (IsLimitedBroadcast(ip)) return true;
  return std::any_of(on_link_.begin(), on_link_.end(), [&ip](const OnLink& on_link) {
    return IsSubnetBroadcast(on_link.prefix, ip);
  });
}

}  // namespace sotto::dataplane
