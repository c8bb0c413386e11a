// The tables that workers read and control writes.
//
// Relayed address -> leg is a direct index by (address, port); clients, channels and peers are
// rte_hash tables, lock-free for readers. What control takes out of a table is reused only after
// every worker has reported a quiescent state (rte_rcu_qsbr), so a worker may use what it found
// until the end of its burst.
#pragma once

#include <rte_hash.h>
#include <rte_rcu_qsbr.h>

#include <atomic>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <vector>

#include "absl/status/statusor.h"
#include "dataplane/packet/local_addresses.h"
#include "dataplane/table/records.h"
#include "dataplane/table/slab.h"

namespace sotto::dataplane {

struct TableSizes {
  uint32_t legs = 100'000;
  uint32_t channels = 200'000;
  uint32_t permissions = 200'000;

  // Bytes of EAL memory that tables of these sizes take, with `relay_addresses` addresses.
  uint64_t MemoryBytes(size_t relay_addresses) const;
};

class Tables {
 public:
  static constexpr uint32_t kMaxBurst = 32;

  // `workers` is the number of threads that will register as readers.
  static absl::StatusOr<std::unique_ptr<Tables>> Create(const TableSizes& sizes,
                                                        const LocalAddresses& locals,
                                                        uint32_t workers, int socket);
  ~Tables();
  Tables(const Tables&) = delete;
  Tables& operator=(const Tables&) = delete;

  // --- Workers ---------------------------------------------------------------------------------

  // A worker is a reader from RegisterReader to UnregisterReader and must call Quiescent() in
  // between, at the end of each round, when it holds no record. `reader` is 0 to workers - 1.
  void RegisterReader(uint32_t reader);
  void UnregisterReader(uint32_t reader);
  void Quiescent(uint32_t reader) { rte_rcu_qsbr_quiescent(rcu_, reader); }
  // Around a sleep, so that control need not wait for it.
  void GoOffline(uint32_t reader) { rte_rcu_qsbr_thread_offline(rcu_, reader); }
  void GoOnline(uint32_t reader) { rte_rcu_qsbr_thread_online(rcu_, reader); }

  // Looks `count` (at most kMaxBurst) channels up; a bit of the result for each that was found.
  uint64_t FindChannels(const ClientKey* keys[], uint32_t count,
                        const ChannelRecord* records[]) const {
    uint64_t hits = 0;
    rte_hash_lookup_bulk_data(clients_, reinterpret_cast<const void**>(keys), count, &hits,
                              reinterpret_cast<void**>(const_cast<ChannelRecord**>(records)));
    return hits;
  }
  const LegRecord* FindClient(const ClientKey& key) const {
    return Find<LegRecord>(clients_, &key);
  }
  const PeerRecord* FindPeer(const PeerKey& key) const { return Find<PeerRecord>(peers_, &key); }
  const PermissionRecord* FindPermission(const PeerKey& key) const {
    return Find<PermissionRecord>(peers_, &key);
  }
  const LegRecord* FindRelayed(LocalIndex local, uint16_t port) const {
    const std::atomic<const LegRecord*>* ports = relayed_[local];
    return ports == nullptr ? nullptr : ports[port].load(std::memory_order_acquire);
  }

  // --- Control ---------------------------------------------------------------------------------

  LegRecord* TakeLeg() { return Take(legs_); }
  ChannelRecord* TakeChannel() { return Take(channels_); }
  PermissionRecord* TakePermission() { return Take(permissions_); }
  PeerRecord* TakePeer() { return Take(peer_records_); }

  // Gives back a record that was never published.
  void Discard(LegRecord* record) { legs_.GiveBack(record); }
  void Discard(ChannelRecord* record) { channels_.GiveBack(record); }
  void Discard(PermissionRecord* record) { permissions_.GiveBack(record); }
  void Discard(PeerRecord* record) { peer_records_.GiveBack(record); }

  // Publishes under a key; replaces what stands there (the caller retires that). False: full.
  bool Publish(const ClientKey& key, const void* record) { return Add(clients_, &key, record); }
  bool Publish(const PeerKey& key, const void* record) { return Add(peers_, &key, record); }
  void PublishRelayed(LocalIndex local, uint16_t port, const LegRecord* leg) {
    relayed_[local][port].store(leg, std::memory_order_release);
  }

  // Takes the key out at once; its slot is freed later.
  void Withdraw(const ClientKey& key) { Delete(clients_, &key, Retired::kClientSlot); }
  void Withdraw(const PeerKey& key) { Delete(peers_, &key, Retired::kPeerSlot); }
  void WithdrawRelayed(LocalIndex local, uint16_t port) {
    relayed_[local][port].store(nullptr, std::memory_order_release);
  }

  // Reuses the record when no worker can hold it any more. It must be unreachable by now.
  void Retire(LegRecord* record) { Retire(Retired::kLeg, record); }
  void Retire(ChannelRecord* record) { Retire(Retired::kChannel, record); }
  void Retire(PermissionRecord* record) { Retire(Retired::kPermission, record); }
  void Retire(PeerRecord* record) { Retire(Retired::kPeer, record); }
  // Calls `release` then: for what records refer to.
  void RetireHop(NextHopId hop) { Retire(Retired::kHop, nullptr, static_cast<int32_t>(hop)); }
  void OnHopReleased(std::function<void(NextHopId)> release) { release_hop_ = std::move(release); }

  // Frees what every worker has let go of. Call it every loop.
  void Reclaim() { ReclaimRetired(false); }
  // Waits until the workers have let go of everything that is retired.
  void ReclaimAll() { ReclaimRetired(true); }

  // What waits for the workers to let go of it.
  size_t retired() const { return retired_.size(); }
  bool relays_from(LocalIndex local) const { return relayed_[local] != nullptr; }

 private:
  struct Retired {
    enum Kind : uint8_t { kClientSlot, kPeerSlot, kLeg, kChannel, kPermission, kPeer, kHop };
    uint64_t token;
    Kind kind;
    int32_t slot;
    void* record;
  };

  template <typename Record>
  static const Record* Find(const rte_hash* table, const void* key) {
    void* data = nullptr;
    return rte_hash_lookup_data(table, key, &data) < 0 ? nullptr : static_cast<Record*>(data);
  }
  Tables(const TableSizes& sizes, int socket);

  template <typename Record>
  Record* Take(Slab<Record>& slab) {
    Record* record = slab.Take();
    if (record == nullptr && !retired_.empty()) {
      ReclaimRetired(true);
      record = slab.Take();
    }
    return record;
  }
  bool Add(rte_hash* table, const void* key, const void* record);
  void Delete(rte_hash* table, const void* key, Retired::Kind kind);
  void Retire(Retired::Kind kind, void* record, int32_t slot = -1);
  // With `wait`, blocks until the workers have let go of everything (a few polls of theirs).
  void ReclaimRetired(bool wait);
  void Free(const Retired& retired);

  Slab<LegRecord> legs_;
  Slab<ChannelRecord> channels_;
  Slab<PermissionRecord> permissions_;
  Slab<PeerRecord> peer_records_;
  rte_hash* clients_ = nullptr;  // ClientKey -> ChannelRecord, or LegRecord with channel 0
  rte_hash* peers_ = nullptr;    // PeerKey -> PeerRecord, or PermissionRecord with port 0
  rte_rcu_qsbr* rcu_ = nullptr;
  // By LocalIndex: 65,536 legs by port; null for addresses that don't relay.
  std::vector<std::atomic<const LegRecord*>*> relayed_;
  std::deque<Retired> retired_;
  std::function<void(NextHopId)> release_hop_;
};

}  // namespace sotto::dataplane
