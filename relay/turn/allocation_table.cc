// SPDX-License-Identifier: Apache-2.0
#include "relay/turn/allocation_table.h"

#include <algorithm>

namespace sotto::relay {

AllocationTable::AllocationTable(size_t relay_addresses, std::pair<uint16_t, uint16_t> relay_ports)
    : first_port_(relay_ports.first),
      by_path_(0, PathHash{&slab_}, PathEqual{&slab_}),
      by_relayed_(relay_addresses,
                  std::vector<LegId>(relay_ports.second - relay_ports.first + 1, kNone)) {}

LegId AllocationTable::Insert(const ClientPath& path, Allocation allocation) {
  const auto server = std::ranges::find(servers_, path.server);
  allocation.client = path.client;
  allocation.transport = path.transport;
  allocation.server = static_cast<uint16_t>(server - servers_.begin());
  if (server == servers_.end()) servers_.push_back(path.server);
  const LegId id = slab_.Insert(std::move(allocation));
  by_path_.insert(id);
  for (const Allocation::Relayed& relayed : slab_.Get(id)->relayed) {
    SetRelayed(relayed, id);
  }
  return id;
}

void AllocationTable::Erase(LegId id) {
  by_path_.erase(id);
  for (const Allocation::Relayed& relayed : slab_.Get(id)->relayed) {
    SetRelayed(relayed, kNone);
  }
  slab_.Erase(id);
}

void AllocationTable::EraseRelayed(LegId id, IpFamily family) {
  Allocation::Relayed& relayed = slab_.Get(id)->Of(family);
  SetRelayed(relayed, kNone);
  relayed = {};
}

LegId AllocationTable::Find(const ClientPath& path) const {
  const auto server = std::ranges::find(servers_, path.server);
  if (server == servers_.end()) return kNone;
  const auto found = by_path_.find(PathKey(path, static_cast<uint16_t>(server - servers_.begin())));
  return found == by_path_.end() ? kNone : *found;
}

LegId AllocationTable::FindRelayed(size_t address, uint16_t port) const {
  if (address >= by_relayed_.size() || port < first_port_ ||
      port - first_port_ >= static_cast<int>(by_relayed_[address].size())) {
    return kNone;
  }
  return by_relayed_[address][port - first_port_];
}

}  // namespace sotto::relay
