// SPDX-License-Identifier: Apache-2.0
#include "dataplane/packet/local_addresses.h"

#include <algorithm>

namespace sotto::dataplane {

LocalAddresses::LocalAddresses(const InterfaceTable& interfaces, const LocalAddressOptions& options)
    : virtual_prefix_(options.virtual_prefix), v4_(kSlots), v6_(kSlots) {
  for (size_t id = 0; id < interfaces.size(); ++id) {
    const Interface& interface = interfaces.at(static_cast<InterfaceId>(id));
    for (const Interface::Address& address : interface.addresses) {
      const auto& relays = options.relay_addresses;
      const bool relaying = std::find(relays.begin(), relays.end(), address.ip) != relays.end();
      addresses_.push_back(
          {address.ip, static_cast<InterfaceId>(id), relaying ? relaying_++ << 16 : kNoRelayed});
    }
  }
  for (size_t i = 0; i < addresses_.size(); ++i) {
    const IpAddress& ip = addresses_[i].ip;
    if (ip.is_v4()) {
      uint32_t key;
      std::memcpy(&key, ip.raw().data(), 4);
      uint32_t slot = HashV4(key);
      while (v4_[slot & (kSlots - 1)].index != kNotLocal) ++slot;
      v4_[slot & (kSlots - 1)] = {key, static_cast<LocalIndex>(i)};
    } else {
      V6Slot entry;
      std::memcpy(entry.address, ip.raw().data(), 16);
      entry.index = static_cast<LocalIndex>(i);
      uint32_t slot = HashV6(entry.address);
      while (v6_[slot & (kSlots - 1)].index != kNotLocal) ++slot;
      v6_[slot & (kSlots - 1)] = entry;
    }
  }
  for (const TransportAddress& listen : options.listen) {
    listeners_.push_back({Find(listen.ip), listen.port});
  }
}

}  // namespace sotto::dataplane
