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

void Server::Impl::ForEachAllocation(
    const std::function<bool(const AllocationInfo&)>& visit) const {
  for (LegId id = 0; id < allocations_.end(); ++id) {
    const Allocation* allocation = allocations_.Get(id);
    if (allocation == nullptr) continue;
    const AllocationInfo info = {
        .id = id,
        .path = allocation->path,
        .username = allocation->username,
        .relayed_v4 = RelayedAddress(*allocation, IpFamily::kV4),
        .relayed_v6 = RelayedAddress(*allocation, IpFamily::kV6),
        .created_at = allocation->created_at,
        .expires_at = allocation->expires_at(),
        .permissions = static_cast<uint32_t>(allocation->permissions.size()),
        .channels = static_cast<uint32_t>(allocation->channels.size()),
    };
    if (!visit(info)) return;
  }
}

}  // namespace sotto::relay
