// SPDX-License-Identifier: Apache-2.0
#include "dataplane/table/tables.h"

#include <fmt/format.h>
#include <rte_malloc.h>

#include "relay/base/random.h"

namespace sotto::dataplane {
uint64_t TableSizes::MemoryBytes(uint32_t relayed_slots) const {
  return RecordTable<LegRecord>::MemoryBytes(legs) +
         RecordTable<ChannelRecord>::MemoryBytes(channels) + channels * sizeof(ChannelDetails) +
         RecordTable<PeerRecord>::MemoryBytes(peers()) +
         RecordTable<PermissionRecord>::MemoryBytes(permissions) +
         uint64_t{relayed_slots} * sizeof(RecordNumber);
}

Tables::Tables(const TableSizes& sizes, const HashSecret& secret, int socket)
    : legs_("sotto_legs", sizes.legs, secret, socket),
      channels_("sotto_channels", sizes.channels, secret, socket),
      permissions_("sotto_permissions", sizes.permissions, secret, socket),
      peers_("sotto_peers", sizes.peers(), secret, socket),
      meters_(sizes.legs) {}

absl::StatusOr<std::unique_ptr<Tables>> Tables::Create(const TableSizes& sizes,
                                                       const LocalAddresses& locals,
                                                       uint32_t workers, int socket) {
  Random random;
  HashSecret secret;
  for (uint64_t& word : secret) word = random.U64() | 1;
  std::unique_ptr<Tables> tables(new Tables(sizes, secret, socket));
  const uint32_t relayed_slots = locals.relayed_slots(sizes.legs);
  const auto no_memory = [&] {
    return absl::ResourceExhaustedError(
        fmt::format("out of memory for the tables of {} allocations ({} MB); lower [dataplane] "
                    "max_allocations, or give EAL more memory (-m, or hugepages)",
                    sizes.legs, sizes.MemoryBytes(relayed_slots) >> 20));
  };
  if (!tables->legs_.valid() || !tables->channels_.valid() || !tables->permissions_.valid() ||
      !tables->peers_.valid() || !tables->meters_.valid()) {
    return no_memory();
  }
  tables->rcu_ = static_cast<rte_rcu_qsbr*>(rte_zmalloc_socket(
      "sotto_rcu", rte_rcu_qsbr_get_memsize(workers), RTE_CACHE_LINE_SIZE, socket));
  if (tables->rcu_ == nullptr || rte_rcu_qsbr_init(tables->rcu_, workers) != 0) return no_memory();
  tables->details_memory_ =
      TableMemory("sotto_channel_details", sizes.channels * sizeof(ChannelDetails), socket);
  tables->details_ = static_cast<ChannelDetails*>(tables->details_memory_.data());
  if (tables->details_ == nullptr) return no_memory();
  tables->relayed_memory_ =
      TableMemory("sotto_relayed", relayed_slots * sizeof(std::atomic<RecordNumber>), socket);
  tables->relayed_ = static_cast<std::atomic<RecordNumber>*>(tables->relayed_memory_.data());
  if (tables->relayed_ == nullptr) return no_memory();
  tables->relayed_slots_ = relayed_slots;
  return tables;
}

Tables::~Tables() { rte_free(rcu_); }

void Tables::RegisterReader(uint32_t reader) {
  rte_rcu_qsbr_thread_register(rcu_, reader);
  rte_rcu_qsbr_thread_online(rcu_, reader);
}

void Tables::UnregisterReader(uint32_t reader) {
  rte_rcu_qsbr_thread_offline(rcu_, reader);
  rte_rcu_qsbr_thread_unregister(rcu_, reader);
}

void Tables::Retire(Retired::Kind kind, void* record, NextHopId hop) {
  retired_.push_back({rte_rcu_qsbr_start(rcu_), kind, hop, record});
}

void Tables::ReclaimRetired(bool wait) {
  while (!retired_.empty() && rte_rcu_qsbr_check(rcu_, retired_.front().token, wait) == 1) {
    Free(retired_.front());
    retired_.pop_front();
  }
}

void Tables::Free(const Retired& retired) {
  switch (retired.kind) {
    case Retired::kLeg:
      legs_.GiveBack(static_cast<LegRecord*>(retired.record));
      break;
    case Retired::kChannel:
      channels_.GiveBack(static_cast<ChannelRecord*>(retired.record));
      break;
    case Retired::kPermission:
      permissions_.GiveBack(static_cast<PermissionRecord*>(retired.record));
      break;
    case Retired::kPeer:
      peers_.GiveBack(static_cast<PeerRecord*>(retired.record));
      break;
    case Retired::kHop:
      release_hop_(retired.hop);
      break;
  }
}

}  // namespace sotto::dataplane
