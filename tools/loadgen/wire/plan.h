// SPDX-License-Identifier: Apache-2.0
// Who is who in a run of `sotto-loadgen wire`: the MAC and IPv4 addresses and the ports of the
// server and of every leg. Plain values; a leg is found from its address by arithmetic, so that a
// million of them take no table.
#pragma once

#include <array>
#include <cstdint>
#include <optional>

#include "relay/base/ip_address.h"

namespace sotto::tools {

using WireMac = std::array<uint8_t, 6>;

struct WirePlan {
  WireMac own_mac = {};
  WireMac server_mac = {};  // of the next hop to the server
  uint32_t server_ip = 0;   // IPv4, host order
  uint16_t server_port = 0;

  // Legs 2n and 2n+1 are the two sides of call n. Leg i plays address i mod address_count, and as
  // port the next one of that address.
  uint32_t legs = 0;  // even
  uint32_t first_ip = 0;
  uint32_t address_count = 1;
  uint16_t first_port = 1024;
  // What the server sends back comes from the leg itself, and not from the other side of its call:
  // for servers that only swap addresses.
  bool mirror = false;

  uint32_t IpOf(uint32_t leg) const { return first_ip + leg % address_count; }
  uint16_t PortOf(uint32_t leg) const {
    return static_cast<uint16_t>(first_port + leg / address_count);
  }
  // A number that no leg maps to (>= legs) if the address isn't a leg's.
  uint32_t LegAt(uint32_t ip, uint16_t port) const {
    const uint32_t address = ip - first_ip;
    const uint32_t round = uint32_t{port} - first_port;
    if (address >= address_count || round > UINT16_MAX) return UINT32_MAX;
    const uint64_t leg = uint64_t{round} * address_count + address;
    return leg < legs ? static_cast<uint32_t>(leg) : UINT32_MAX;
  }
  bool Plays(uint32_t ip) const { return ip - first_ip < address_count; }
  // Whose packets arrive at `leg`.
  uint32_t SenderFor(uint32_t leg) const { return mirror ? leg : leg ^ 1; }
  TransportAddress AddressOf(uint32_t leg) const;
};

// Channel numbers differ from leg to leg, and between the two sides of a call, so that one taken
// for the other is noticed.
uint16_t WireChannel(uint32_t leg);

IpAddress IpFromHostOrder(uint32_t ip);
// Nothing for IPv6.
std::optional<uint32_t> IpToHostOrder(const IpAddress& ip);

}  // namespace sotto::tools
