// SPDX-License-Identifier: Apache-2.0
// Refresh (RFC 8656, section 8).
#include <algorithm>

#include "relay/turn/server_impl.h"

namespace sotto::relay {

using enum StunAttributeType;

Outcome Server::Impl::HandleRefresh(const Request& request) {
  const MonotonicMs now = request.now.monotonic_ms;
  if (const auto error = CheckOwner(request)) return Reject(request, *error);
  Allocation& allocation = *allocations_.Get(request.leg);

  std::optional<IpFamily> only;  // nothing: all that the allocation has
  if (const auto requested = request.message.Find(kRequestedAddressFamily)) {
    if (requested->value.size() != 4) return Reject(request, StunError::kBadRequest);
    const auto found = std::ranges::find_if(kFamilies, [&](IpFamily family) {
      return static_cast<uint8_t>(family) == requested->value[0] && allocation.Has(family);
    });
    if (found == kFamilies.end()) return Reject(request, StunError::kPeerAddressFamilyMismatch);
    only = *found;
  }
  const std::optional<uint32_t> lifetime = RequestedLifetime(request.message);
  if (!lifetime) return Reject(request, StunError::kBadRequest);

  if (*lifetime == 0) {
    if (only) {
      EndFamily(request.leg, *only, now);
    } else {
      End(request.leg, now);
    }
    transactions_.Remember(TransactionKey(request), std::nullopt, now);
  } else {
    const MonotonicMs end = now + uint64_t{*lifetime} * 1000;
    for (IpFamily family : kFamilies) {
      if (!allocation.Has(family) || (only && family != *only)) continue;
      const MonotonicMs earlier_end = std::min(allocation.Of(family).expires_at, end);
      allocation.Of(family).expires_at = end;
      RepublishBindings(request.leg, allocation, family, earlier_end);
    }
    // A change of the end alone never fails.
    plane_.Upsert(LegOf(request.leg, allocation)).IgnoreError();
  }
  StunBuilder answer = Answer(request, StunClass::kSuccess);
  answer.AddU32(kLifetime, *lifetime);
  return Finish(request, answer);
}

}  // namespace sotto::relay
