#include "relay/turn/allocation_table.h"

namespace sotto::relay {

AllocationTable::AllocationTable(size_t relay_addresses, std::pair<uint16_t, uint16_t> relay_ports)
    : first_port_(relay_ports.first),
      by_path_(0, PathHash{&slab_}, PathEqual{&slab_}),
      by_relayed_(relay_addresses,
                  std::vector<LegId>(relay_ports.second - relay_ports.first + 1, kNone)) {}

LegId AllocationTable::Insert(Allocation allocation) {
  const LegId id = slab_.Insert(std::move(allocation));
  by_path_.insert(id);
  for (const Allocation::Relayed& relayed : slab_.Get(id)->relayed) {
    if (relayed.port != 0) RelayedSlot(relayed) = id;
  }
  return id;
}

void AllocationTable::Erase(LegId id) {
  by_path_.erase(id);
  for (const Allocation::Relayed& relayed : slab_.Get(id)->relayed) {
    if (relayed.port != 0) RelayedSlot(relayed) = kNone;
  }
  slab_.Erase(id);
}

void AllocationTable::EraseRelayed(LegId id, IpFamily family) {
  Allocation::Relayed& relayed = slab_.Get(id)->Of(family);
  RelayedSlot(relayed) = kNone;
  relayed = {};
}

LegId AllocationTable::Find(const ClientPath& path) const {
  const auto found = by_path_.find(path);
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
