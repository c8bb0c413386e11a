// SPDX-License-Identifier: Apache-2.0
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
#include "dataplane/table/meters.h"
#include "dataplane/table/record_table.h"
#include "dataplane/table/records.h"

namespace sotto::dataplane {

struct TableSizes {
  uint32_t legs = 100'000;
  uint32_t channels = 200'000;
  uint32_t permissions = 200'000;

  // What a relay of so many allocations sets aside: of all that an ICE agent makes for its
  // networks, data flows over one, and that one has a channel.
  static TableSizes For(uint32_t allocations) {
    return {.legs = allocations,
            .channels = allocations + allocations / 2,
            .permissions = 2 * allocations};
  }
  // Channels to a peer's address beyond its first few.
  uint32_t peers() const { return channels / 2; }
  // Bytes of EAL memory that tables of these sizes take, with `relayed_slots` relayed addresses.
  uint64_t MemoryBytes(uint32_t relayed_slots) const;
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

  // (client, channel) -> a complete rewrite; client -> its leg; (leg, peer's address) -> its
  // permission and channels; (leg, peer) -> a channel that found no room there.
  const RecordTable<ChannelRecord>& channels() const { return channels_; }
  const RecordTable<LegRecord>& clients() const { return legs_; }
  const RecordTable<PeerRecord>& peers() const { return peers_; }
  const RecordTable<PermissionRecord>& permissions() const { return permissions_; }
  // Of legs, by their record's number.
  const Meters& meters() const { return meters_; }
  RecordNumber NumberOf(const LegRecord* leg) const { return legs_.NumberOf(leg); }

  void PrefetchRelayed(RelayedSlot slot) const {
    if (slot < relayed_slots_) rte_prefetch0(&relayed_[slot]);
  }
  const ChannelDetails& DetailsOf(const ChannelRecord* record) const {
    return details_[channels_.NumberOf(record) - 1];
  }
  const LegRecord& LegOf(const ChannelDetails& channel) const { return *legs_.At(channel.leg); }

  // The leg at a slot of LocalAddresses, whose port may be another (LegRecord::relayed_port).
  const LegRecord* FindRelayed(RelayedSlot slot) const {
    if (slot >= relayed_slots_) return nullptr;
    const RecordNumber number = relayed_[slot].load(std::memory_order_acquire);
    return number == 0 ? nullptr : legs_.At(number);
  }
  const LegRecord* FindRelayed(RelayedSlot slot, IpFamily family, uint16_t port) const {
    const LegRecord* leg = FindRelayed(slot);
    return leg != nullptr && leg->relayed_port(family) == port ? leg : nullptr;
  }

  // --- Control ---------------------------------------------------------------------------------

  LegRecord* TakeLeg() { return Take(legs_); }
  // Its details are reset.
  ChannelRecord* TakeChannel() {
    ChannelRecord* record = Take(channels_);
    if (record != nullptr) DetailsOf(record) = ChannelDetails();
    return record;
  }
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
  // Whether Publish() will take this leg, and so many channels of it, whatever is removed before.
  bool Reserve(const ClientKey& leg) { return legs_.Reserve(leg, 1); }
  bool Reserve(const ClientKey& channel, uint32_t channels) {
    return channels_.Reserve(channel, channels);
  }
  void PublishRelayed(RelayedSlot slot, const LegRecord* leg) {
    relayed_[slot].store(legs_.NumberOf(leg), std::memory_order_release);
  }
  void WithdrawRelayed(RelayedSlot slot) { relayed_[slot].store(0, std::memory_order_release); }

  ChannelDetails& DetailsOf(const ChannelRecord* record) {
    return details_[channels_.NumberOf(record) - 1];
  }

  // Records by their numbers, for control, which may change what isn't the workers'.
  RecordTable<LegRecord>& legs() { return legs_; }
  RecordTable<ChannelRecord>& channels() { return channels_; }
  RecordTable<PermissionRecord>& permissions() { return permissions_; }
  RecordTable<PeerRecord>& peers() { return peers_; }
  Meters& meters() { return meters_; }
  uint32_t relayed_slots() const { return relayed_slots_; }

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
  Meters meters_;
  rte_rcu_qsbr* rcu_ = nullptr;
  TableMemory details_memory_;
  ChannelDetails* details_ = nullptr;  // of channels_, by number - 1
  // Numbers of legs by RelayedSlot; control writes, workers read.
  TableMemory relayed_memory_;
  std::atomic<RecordNumber>* relayed_ = nullptr;
  uint32_t relayed_slots_ = 0;
  std::deque<Retired> retired_;
  std::function<void(NextHopId)> release_hop_;
};

}  // namespace sotto::dataplane
