// The tables that workers read and control writes.
//
// Relayed address -> leg is a direct index by (address, port); clients, channels, peers and
// permissions are tables of records that carry their keys (record_table.h), lock-free for readers.
// What control takes out is reused only after every worker has reported a quiescent state
// (rte_rcu_qsbr), so a worker may use what it found until the end of its burst.
#pragma once

#include <rte_rcu_qsbr.h>

#include <atomic>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <vector>

#include "absl/status/statusor.h"
#include "dataplane/packet/local_addresses.h"
#include "dataplane/table/record_table.h"
#include "dataplane/table/records.h"

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

  // (client, channel) -> a complete rewrite; client -> its leg; (leg, peer) -> the channel bound to
  // it, and (leg, peer's address) -> its permission.
  const RecordTable<ChannelRecord>& channels() const { return channels_; }
  const RecordTable<LegRecord>& clients() const { return legs_; }
  const RecordTable<PeerRecord>& peers() const { return peers_; }
  const RecordTable<PermissionRecord>& permissions() const { return permissions_; }

  void PrefetchRelayed(LocalIndex local, uint16_t port) const {
    if (relayed_[local] != nullptr) rte_prefetch0(&relayed_[local][port]);
  }
  const LegRecord* FindRelayed(LocalIndex local, uint16_t port) const {
    const std::atomic<const LegRecord*>* ports = relayed_[local];
    return ports == nullptr ? nullptr : ports[port].load(std::memory_order_acquire);
  }

  // --- Control ---------------------------------------------------------------------------------

  LegRecord* TakeLeg() { return Take(legs_); }
  ChannelRecord* TakeChannel() { return Take(channels_); }
  PermissionRecord* TakePermission() { return Take(permissions_); }
  PeerRecord* TakePeer() { return Take(peers_); }

  // Gives back a record that was never published.
  void Discard(LegRecord* record) { legs_.GiveBack(record); }
  void Discard(ChannelRecord* record) { channels_.GiveBack(record); }
  void Discard(PermissionRecord* record) { permissions_.GiveBack(record); }
  void Discard(PeerRecord* record) { peers_.GiveBack(record); }

  // Publishes under record->key; replaces what stands there (the caller retires that). False: full.
  bool Publish(const LegRecord* record) { return legs_.Insert(record); }
  bool Publish(const ChannelRecord* record) { return channels_.Insert(record); }
  bool Publish(const PermissionRecord* record) { return permissions_.Insert(record); }
  bool Publish(const PeerRecord* record) { return peers_.Insert(record); }
  void PublishRelayed(LocalIndex local, uint16_t port, const LegRecord* leg) {
    relayed_[local][port].store(leg, std::memory_order_release);
  }

  void WithdrawRelayed(LocalIndex local, uint16_t port) {
    relayed_[local][port].store(nullptr, std::memory_order_release);
  }

  // Takes the record out of its table at once, and reuses it when no worker can hold it any more.
  void Retire(LegRecord* record) {
    legs_.Remove(record);
    Retire(Retired::kLeg, record);
  }
  void Retire(ChannelRecord* record) {
    channels_.Remove(record);
    Retire(Retired::kChannel, record);
  }
  void Retire(PermissionRecord* record) {
    permissions_.Remove(record);
    Retire(Retired::kPermission, record);
  }
  void Retire(PeerRecord* record) {
    peers_.Remove(record);
    Retire(Retired::kPeer, record);
  }
  // Calls `release` then: for what records refer to.
  void RetireHop(NextHopId hop) { Retire(Retired::kHop, nullptr, hop); }
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
    enum Kind : uint8_t { kLeg, kChannel, kPermission, kPeer, kHop };
    uint64_t token;
    Kind kind;
    NextHopId hop;
    void* record;
  };

  Tables(const TableSizes& sizes, const HashSecret& secret, int socket);

  template <typename Record>
  Record* Take(RecordTable<Record>& table) {
    Record* record = table.Take();
    if (record == nullptr && !retired_.empty()) {
      ReclaimRetired(true);
      record = table.Take();
    }
    return record;
  }
  void Retire(Retired::Kind kind, void* record, NextHopId hop = kNoNextHop);
  // With `wait`, blocks until the workers have let go of everything (a few polls of theirs).
  void ReclaimRetired(bool wait);
  void Free(const Retired& retired);

  RecordTable<LegRecord> legs_;
  RecordTable<ChannelRecord> channels_;
  RecordTable<PermissionRecord> permissions_;
  RecordTable<PeerRecord> peers_;
  rte_rcu_qsbr* rcu_ = nullptr;
  // By LocalIndex: 65,536 legs by port; null for addresses that don't relay.
  std::vector<std::atomic<const LegRecord*>*> relayed_;
  std::deque<Retired> retired_;
  std::function<void(NextHopId)> release_hop_;
};

}  // namespace sotto::dataplane
