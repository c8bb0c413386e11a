// SPDX-License-Identifier: Apache-2.0
// What an operator sees of allocations, and ends.
#include <fmt/format.h>

#include "relay/turn/server_impl.h"

namespace sotto::relay {

absl::Status Server::Impl::EndAllocation(LegId id, const Now& now) {
  if (allocations_.Get(id) == nullptr) {
    return absl::NotFoundError(fmt::format("there is no allocation {}", id));
  }
  End(id, now.monotonic_ms);
  return absl::OkStatus();
}

LegId Server::Impl::ForEachAllocation(
    LegId first, uint32_t budget, bool bindings,
    const std::function<void(const AllocationInfo&)>& visit) const {
  LegId id = first;
  for (; budget > 0 && id < allocations_.end(); ++id, --budget) {
    const Allocation* allocation = allocations_.Get(id);
    if (allocation == nullptr) continue;
    AllocationInfo info = {
        .id = id,
        .path = allocations_.PathOf(*allocation),
        .username = UsernameOf(*allocation),
        .user = CredentialName(*allocation),
        .relayed_v4 = RelayedAddress(id, *allocation, IpFamily::kV4),
        .relayed_v6 = RelayedAddress(id, *allocation, IpFamily::kV6),
        .created_at = MonotonicMs{allocation->created_s} * 1000,
        .expires_at = allocation->expires_at(),
        .permissions = static_cast<uint32_t>(allocation->permissions.size()),
        .channels = static_cast<uint32_t>(allocation->channels.size()),
    };
    if (bindings) {
      for (const Permission& permission : allocation->permissions) {
        info.permission_list.push_back({permission.peer, permission.expires_at});
      }
      for (const Channel& channel : allocation->channels) {
        info.channel_list.push_back({channel.number, channel.peer, channel.expires_at});
      }
    }
    visit(info);
  }
  return id < allocations_.end() ? id : 0;
}

}  // namespace sotto::relay
