// SPDX-License-Identifier: Apache-2.0
// The relay's own addresses and what stands at their ports, for every packet's first question: is
// this for us? Built once at start and never changed, so every thread may read it.
#pragma once

#include <cstdint>
#include <cstring>
#include <optional>
#include <vector>

#include "dataplane/l3/interface.h"
#include "relay/base/ip_address.h"
#include "relay/forwarding.h"
#include "relay/wire/virtual_prefix.h"

namespace sotto::dataplane {

// An index into LocalAddresses.
using LocalIndex = uint8_t;
constexpr LocalIndex kNotLocal = 0xff;

// Where a leg stands in the direct index of relayed transport addresses (Tables::FindRelayed).
// Several addresses may share a slot, so whoever finds a leg there compares its port.
using RelayedSlot = uint32_t;
constexpr RelayedSlot kOutside = 0xffffffff;    // no address of this relay
constexpr RelayedSlot kNoRelayed = 0xfffffffe;  // one of its own that relays nothing

// A listening address (IP and port) as a small integer: part of the key of a client.
using ListenerIndex = uint8_t;
constexpr ListenerIndex kNoListener = 0xff;

struct LocalAddress {
  IpAddress ip;
  InterfaceId interface = 0;
  RelayedSlot relayed_base = kNoRelayed;  // slot of its port 0, if it relays
};

// What stands at the addresses of the interfaces.
struct LocalAddressOptions {
  std::vector<TransportAddress> listen;    // where clients reach the relay
  std::vector<IpAddress> relay_addresses;  // where peers do
  std::optional<relay::VirtualPrefix> virtual_prefix = {};

  // Of options that have these among others, as the server's do.
  template <typename Options>
  static LocalAddressOptions From(const Options& options) {
    return {options.listen, options.relay_addresses, options.virtual_prefix};
  }
};

class LocalAddresses {
 public:
  struct Listener {
    LocalIndex local;
    uint16_t port;
  };

  LocalAddresses(const InterfaceTable& interfaces, const LocalAddressOptions& options);

  // Relayed addresses are a leg's own, out of a prefix that no packet on the wire ever names; or
  // (no prefix) ports of the relay's addresses.
  bool virtual_relayed() const { return virtual_prefix_.has_value(); }
  // How many slots there are, all below; of `legs` legs at most.
  uint32_t relayed_slots(uint32_t legs) const {
    return virtual_relayed() ? legs : static_cast<uint32_t>(relaying_) << 16;
  }
  // The slot of what may be a relayed transport address of this relay.
  RelayedSlot FindRelayed(const IpAddress& ip, uint16_t port) const {
    if (virtual_relayed()) {
      const std::optional<uint32_t> index = virtual_prefix_->IndexOf(ip);
      if (index) return *index < kNoRelayed ? *index : kNoRelayed;
    }
    const LocalIndex local = Find(ip);
    return local == kNotLocal ? kOutside : RelayedSlotOf(local, port);
  }
  // The same of an address that packets on the wire are sent to.
  RelayedSlot RelayedSlotOf(LocalIndex local, uint16_t port) const {
    const uint32_t base = addresses_[local].relayed_base;
    return base == kNoRelayed ? kNoRelayed : base | port;
  }
  // The address of the leg's relayed transport address of a family; `local` is where it stands, if
  // it isn't virtual.
  IpAddress RelayedIp(relay::LegId leg, LocalIndex local) const {
    return virtual_relayed() ? virtual_prefix_->At(leg) : addresses_[local].ip;
  }

  // `bytes` are 4 or 16, in network order.
  LocalIndex FindV4(const uint8_t* bytes) const {
    uint32_t key;
    std::memcpy(&key, bytes, 4);
    for (uint32_t slot = HashV4(key);; ++slot) {
      const V4Slot& entry = v4_[slot & (kSlots - 1)];
      if (entry.index == kNotLocal || entry.address == key) return entry.index;
    }
  }
  LocalIndex FindV6(const uint8_t* bytes) const {
    uint64_t key[2];
    std::memcpy(key, bytes, 16);
    for (uint32_t slot = HashV6(key);; ++slot) {
      const V6Slot& entry = v6_[slot & (kSlots - 1)];
      if (entry.index == kNotLocal || (entry.address[0] == key[0] && entry.address[1] == key[1])) {
        return entry.index;
      }
    }
  }
  LocalIndex Find(const IpAddress& ip) const {
    return ip.is_v4() ? FindV4(ip.raw().data()) : FindV6(ip.raw().data());
  }

  ListenerIndex FindListener(LocalIndex local, uint16_t port) const {
    for (size_t i = 0; i < listeners_.size(); ++i) {
      if (listeners_[i].port == port && listeners_[i].local == local) {
        return static_cast<ListenerIndex>(i);
      }
    }
    return kNoListener;
  }

  const LocalAddress& at(LocalIndex index) const { return addresses_[index]; }
  size_t size() const { return addresses_.size(); }
  const Listener& listener_at(ListenerIndex index) const { return listeners_[index]; }
  TransportAddress listener(ListenerIndex index) const {
    return {addresses_[listeners_[index].local].ip, listeners_[index].port};
  }

 private:
  static constexpr uint32_t kSlots = 512;  // at most 128 addresses a family: chains stay short
  struct V4Slot {
    uint32_t address = 0;
    LocalIndex index = kNotLocal;
  };
  struct V6Slot {
    uint64_t address[2] = {};
    LocalIndex index = kNotLocal;
  };
  static uint32_t HashV4(uint32_t key) { return (key * 0x9E3779B1u) >> 23; }
  static uint32_t HashV6(const uint64_t key[2]) {
    return static_cast<uint32_t>(((key[0] ^ (key[1] * 3)) * 0x9E3779B97F4A7C15ull) >> 55);
  }

  std::vector<LocalAddress> addresses_;
  uint32_t relaying_ = 0;  // of them
  std::optional<relay::VirtualPrefix> virtual_prefix_;
  std::vector<Listener> listeners_;
  std::vector<V4Slot> v4_;
  std::vector<V6Slot> v6_;
};

}  // namespace sotto::dataplane
