// SPDX-License-Identifier: Apache-2.0
// The channels that are bound to the ports of a peer's address: the first few in its
// PermissionRecord, those beyond in PeerRecords.
#pragma once

#include <cstdint>

#include "dataplane/table/tables.h"

namespace sotto::dataplane {

// Workers and control. The channel bound to the peer's port; of port 0 if there is none.
inline BoundChannel FindBound(const Tables& tables, const PermissionRecord& permission,
                              uint16_t port) {
  for (const AtomicBoundChannel& place : permission.channels) {
    const BoundChannel channel = place.Load();
    if (channel.port == port) return channel;
  }
  if (permission.more_channels.load(std::memory_order_acquire) == 0) [[likely]] {
    return {};
  }
  PeerKey key = permission.key;
  key.port = port;
  const PeerRecord* record = tables.peers().Find(key);
  return record == nullptr ? BoundChannel() : record->channel.Load();
}

// Control, as all that follows.
bool HasBound(const PermissionRecord& permission);

// Puts the channel in the place of the one that its port has, if any, which never fails. False: the
// tables are full.
bool SetBound(Tables& tables, PermissionRecord& permission, const BoundChannel& channel);
void ClearBound(Tables& tables, PermissionRecord& permission, uint16_t port);

}  // namespace sotto::dataplane
