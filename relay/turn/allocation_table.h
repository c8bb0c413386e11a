// All allocations: by id, by 5-tuple, and by relayed transport address. One thread only.
#pragma once

#include <cstdint>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_set.h"
#include "relay/turn/allocation.h"
#include "relay/turn/slab.h"

namespace sotto::relay {

class AllocationTable {
 public:
  static constexpr LegId kNone = UINT32_MAX;

  AllocationTable(size_t relay_addresses, std::pair<uint16_t, uint16_t> relay_ports);

  // The 5-tuple and the relayed addresses must be new.
  LegId Insert(Allocation allocation);
  void Erase(LegId id);
  // Forgets one relayed address of an allocation that keeps the other.
  void EraseRelayed(LegId id, IpFamily family);

  Allocation* Get(LegId id) { return slab_.Get(id); }
  const Allocation* Get(LegId id) const { return slab_.Get(id); }
  LegId Find(const ClientPath& path) const;
  // `address` is an index into ServerOptions::relay_addresses.
  LegId FindRelayed(size_t address, uint16_t port) const;

  uint32_t size() const { return slab_.size(); }
  LegId end() const { return slab_.slots(); }  // every id is below

 private:
  // The set holds ids alone and reads the 5-tuples from the slab: five bytes an allocation.
  struct PathHash {
    using is_transparent = void;
    const Slab<Allocation>* slab;
    size_t operator()(LegId id) const { return (*this)(slab->Get(id)->path); }
    size_t operator()(const ClientPath& path) const { return absl::Hash<ClientPath>()(path); }
  };
  struct PathEqual {
    using is_transparent = void;
    const Slab<Allocation>* slab;
    bool operator()(LegId a, LegId b) const { return a == b; }
    bool operator()(LegId id, const ClientPath& path) const { return slab->Get(id)->path == path; }
    bool operator()(const ClientPath& path, LegId id) const { return (*this)(id, path); }
  };

  LegId& RelayedSlot(const Allocation::Relayed& relayed) {
    return by_relayed_[relayed.address][relayed.port - first_port_];
  }

  uint16_t first_port_;
  Slab<Allocation> slab_;
  absl::flat_hash_set<LegId, PathHash, PathEqual> by_path_;
  std::vector<std::vector<LegId>> by_relayed_;  // by address, then by port
};

}  // namespace sotto::relay
