// SPDX-License-Identifier: Apache-2.0
// All allocations: by id, by 5-tuple, and by relayed transport address. One thread only.
#pragma once

#include <cstdint>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_set.h"
#include "absl/hash/hash.h"
#include "relay/turn/allocation.h"
#include "relay/turn/slab.h"

namespace sotto::relay {

class AllocationTable {
 public:
  static constexpr LegId kNone = UINT32_MAX;

  // Without relay addresses, relayed addresses are told apart by what they are made of: the ids.
  AllocationTable(size_t relay_addresses, std::pair<uint16_t, uint16_t> relay_ports);

  // The 5-tuple and the relayed addresses must be new.
  LegId Insert(const ClientPath& path, Allocation allocation);
  void Erase(LegId id);
  // Forgets one relayed address of an allocation that keeps the other.
  void EraseRelayed(LegId id, IpFamily family);

  Allocation* Get(LegId id) { return slab_.Get(id); }
  const Allocation* Get(LegId id) const { return slab_.Get(id); }
  LegId Find(const ClientPath& path) const;
  ClientPath PathOf(const Allocation& allocation) const {
    return {allocation.client, servers_[allocation.server], allocation.transport};
  }
  // `address` is an index into ServerOptions::relay_addresses.
  LegId FindRelayed(size_t address, uint16_t port) const;

  uint32_t size() const { return slab_.size(); }
  LegId end() const { return slab_.slots(); }  // every id is below

 private:
  // A 5-tuple, the listening address by its place in servers_.
  struct PathKey {
    const TransportAddress& client;
    uint16_t server;
    ClientTransport transport;

    explicit PathKey(const Allocation& allocation)
        : client(allocation.client), server(allocation.server), transport(allocation.transport) {}
    PathKey(const ClientPath& path, uint16_t place)
        : client(path.client), server(place), transport(path.transport) {}
    bool operator==(const PathKey& other) const {
      return client == other.client && server == other.server && transport == other.transport;
    }
    template <typename H>
    friend H AbslHashValue(H h, const PathKey& k) {
      return H::combine(std::move(h), k.client, k.server, k.transport);
    }
  };
  // The set holds ids alone and reads the 5-tuples from the slab: five bytes an allocation.
  struct PathHash {
    using is_transparent = void;
    const Slab<Allocation>* slab;
    size_t operator()(LegId id) const { return (*this)(PathKey(*slab->Get(id))); }
    size_t operator()(const PathKey& key) const { return absl::Hash<PathKey>()(key); }
  };
  struct PathEqual {
    using is_transparent = void;
    const Slab<Allocation>* slab;
    bool operator()(LegId a, LegId b) const { return a == b; }
    bool operator()(LegId id, const PathKey& key) const { return PathKey(*slab->Get(id)) == key; }
    bool operator()(const PathKey& key, LegId id) const { return (*this)(id, key); }
  };

  void SetRelayed(const Allocation::Relayed& relayed, LegId id) {
    if (relayed.port == 0 || by_relayed_.empty()) return;
    by_relayed_[relayed.address][relayed.port - first_port_] = id;
  }

  uint16_t first_port_;
  Slab<Allocation> slab_;
  std::vector<TransportAddress> servers_;  // the few listening addresses that were seen
  absl::flat_hash_set<LegId, PathHash, PathEqual> by_path_;
  std::vector<std::vector<LegId>> by_relayed_;  // by address, then by port
};

}  // namespace sotto::relay
