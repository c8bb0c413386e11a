#include "dataplane/table/tables.h"

#include <fmt/format.h>
#include <rte_hash_crc.h>
#include <rte_malloc.h>
#include <rte_random.h>

namespace sotto::dataplane {
namespace {

constexpr uint32_t kPortsPerAddress = 65536;

// rte_hash keeps key slots back for lock-free readers; room for them, and for buckets that fill
// unevenly.
uint32_t HashEntries(uint32_t wanted) { return wanted + wanted / 8 + 1024; }

rte_hash* CreateHash(const char* name, uint32_t entries, uint32_t key_size, int socket) {
  rte_hash_parameters parameters = {};
  // The name must be unique in the process; tests make several tables.
  static std::atomic<int> serial = 0;
  const std::string unique = fmt::format("{}{}", name, serial.fetch_add(1));
  parameters.name = unique.c_str();
  parameters.entries = HashEntries(entries);
  parameters.key_len = key_size;
  parameters.hash_func = rte_hash_crc;
  parameters.hash_func_init_val = static_cast<uint32_t>(rte_rand());
  parameters.socket_id = socket;
  parameters.extra_flag = RTE_HASH_EXTRA_FLAGS_RW_CONCURRENCY_LF | RTE_HASH_EXTRA_FLAGS_EXT_TABLE;
  return rte_hash_create(&parameters);
}

}  // namespace

uint64_t TableSizes::MemoryBytes(size_t relay_addresses) const {
  // A key slot (key and pointer, 16-byte steps), and a bucket of 64 bytes for 8 entries at half
  // load, doubled by the extension table.
  constexpr uint64_t kHashEntry = 32 + 2 * 16;
  return uint64_t{legs} * (sizeof(LegRecord) + kHashEntry) +
         uint64_t{channels} * (sizeof(ChannelRecord) + sizeof(PeerRecord) + 2 * kHashEntry) +
         uint64_t{permissions} * (sizeof(PermissionRecord) + kHashEntry) +
         relay_addresses * kPortsPerAddress * sizeof(void*);
}

Tables::Tables(const TableSizes& sizes, int socket)
    : legs_("sotto_legs", sizes.legs, socket),
      channels_("sotto_channels", sizes.channels, socket),
      permissions_("sotto_permissions", sizes.permissions, socket),
      peer_records_("sotto_peers", sizes.channels, socket),
      clients_(CreateHash("sotto_clients", sizes.legs + sizes.channels, sizeof(ClientKey), socket)),
      peers_(
          CreateHash("sotto_peers", sizes.channels + sizes.permissions, sizeof(PeerKey), socket)) {}

absl::StatusOr<std::unique_ptr<Tables>> Tables::Create(const TableSizes& sizes,
                                                       const LocalAddresses& locals,
                                                       uint32_t workers, int socket) {
  std::unique_ptr<Tables> tables(new Tables(sizes, socket));
  const auto no_memory = [&] {
    return absl::ResourceExhaustedError(fmt::format(
        "no memory for the tables of {} allocations ({} MB); lower [dataplane] max_allocations, or "
        "give EAL more memory (-m, or hugepages)",
        sizes.legs, sizes.MemoryBytes(locals.size()) >> 20));
  };
  if (!tables->legs_.valid() || !tables->channels_.valid() || !tables->permissions_.valid() ||
      !tables->peer_records_.valid() || tables->clients_ == nullptr || tables->peers_ == nullptr) {
    return no_memory();
  }
  tables->rcu_ = static_cast<rte_rcu_qsbr*>(rte_zmalloc_socket(
      "sotto_rcu", rte_rcu_qsbr_get_memsize(workers), RTE_CACHE_LINE_SIZE, socket));
  if (tables->rcu_ == nullptr || rte_rcu_qsbr_init(tables->rcu_, workers) != 0) return no_memory();
  tables->relayed_.resize(locals.size(), nullptr);
  for (size_t i = 0; i < locals.size(); ++i) {
    if (!locals.at(static_cast<LocalIndex>(i)).relays) continue;
    tables->relayed_[i] = static_cast<std::atomic<const LegRecord*>*>(rte_zmalloc_socket(
        "sotto_relayed", kPortsPerAddress * sizeof(std::atomic<const LegRecord*>),
        RTE_CACHE_LINE_SIZE, socket));
    if (tables->relayed_[i] == nullptr) return no_memory();
  }
  return tables;
}

Tables::~Tables() {
  rte_hash_free(clients_);
  rte_hash_free(peers_);
  rte_free(rcu_);
  for (auto* ports : relayed_) rte_free(ports);
}

void Tables::RegisterReader(uint32_t reader) {
  rte_rcu_qsbr_thread_register(rcu_, reader);
  rte_rcu_qsbr_thread_online(rcu_, reader);
}

void Tables::UnregisterReader(uint32_t reader) {
  rte_rcu_qsbr_thread_offline(rcu_, reader);
  rte_rcu_qsbr_thread_unregister(rcu_, reader);
}

bool Tables::Add(rte_hash* table, const void* key, const void* record) {
  void* data = const_cast<void*>(record);
  if (rte_hash_add_key_data(table, key, data) == 0) return true;
  if (retired_.empty()) return false;
  ReclaimRetired(true);  // slots of withdrawn keys
  return rte_hash_add_key_data(table, key, data) == 0;
}

void Tables::Delete(rte_hash* table, const void* key, Retired::Kind kind) {
  const int32_t slot = rte_hash_del_key(table, key);
  if (slot >= 0) Retire(kind, nullptr, slot);
}

void Tables::Retire(Retired::Kind kind, void* record, int32_t slot) {
  retired_.push_back({rte_rcu_qsbr_start(rcu_), kind, slot, record});
}

void Tables::ReclaimRetired(bool wait) {
  while (!retired_.empty() && rte_rcu_qsbr_check(rcu_, retired_.front().token, wait) == 1) {
    Free(retired_.front());
    retired_.pop_front();
  }
}

void Tables::Free(const Retired& retired) {
  switch (retired.kind) {
    case Retired::kClientSlot:
      rte_hash_free_key_with_position(clients_, retired.slot);
      break;
    case Retired::kPeerSlot:
      rte_hash_free_key_with_position(peers_, retired.slot);
      break;
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
      peer_records_.GiveBack(static_cast<PeerRecord*>(retired.record));
      break;
    case Retired::kHop:
      release_hop_(static_cast<NextHopId>(retired.slot));
      break;
  }
}

}  // namespace sotto::dataplane
