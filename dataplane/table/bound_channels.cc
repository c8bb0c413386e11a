// SPDX-License-Identifier: Apache-2.0
#include "dataplane/table/bound_channels.h"

#include <algorithm>

namespace sotto::dataplane {
namespace {

PeerRecord* FindBeyond(Tables& tables, const PermissionRecord& permission, uint16_t port) {
  PeerKey key = permission.key;
  key.port = port;
  return const_cast<PeerRecord*>(tables.peers().Find(key));
}

void CountBeyond(PermissionRecord& permission, int more) {
  const int count = permission.more_channels.load(std::memory_order_relaxed) + more;
  permission.more_channels.store(static_cast<uint16_t>(count), std::memory_order_release);
}

}  // namespace

bool HasBound(const PermissionRecord& permission) {
  return permission.more_channels.load(std::memory_order_relaxed) != 0 ||
         std::ranges::any_of(permission.channels, [](const AtomicBoundChannel& channel) {
           return channel.Load().port != 0;
         });
}

bool SetBound(Tables& tables, PermissionRecord& permission, const BoundChannel& channel) {
  AtomicBoundChannel* free = nullptr;
  for (AtomicBoundChannel& place : permission.channels) {
    const uint16_t port = place.Load().port;
    if (port == channel.port) {
      place.Store(channel);
      return true;
    }
    if (port == 0 && free == nullptr) free = &place;
  }
  if (PeerRecord* beyond = FindBeyond(tables, permission, channel.port); beyond != nullptr) {
    beyond->channel.Store(channel);
    return true;
  }
  if (free != nullptr) {
    free->Store(channel);
    return true;
  }
  PeerRecord* record = tables.TakePeer();
  if (record == nullptr) return false;
  record->key = permission.key;
  record->key.port = channel.port;
  record->channel.Store(channel);
  if (!tables.Publish(record)) {
    tables.Discard(record);
    return false;
  }
  CountBeyond(permission, 1);
  return true;
}

void ClearBound(Tables& tables, PermissionRecord& permission, uint16_t port) {
  for (AtomicBoundChannel& place : permission.channels) {
    if (place.Load().port == port) return place.Store({});
  }
  PeerRecord* record = FindBeyond(tables, permission, port);
  if (record == nullptr) return;
  tables.Retire(record);
  CountBeyond(permission, -1);
}

}  // namespace sotto::dataplane
