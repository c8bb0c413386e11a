// SPDX-License-Identifier: Apache-2.0
// What an operator changes while the server runs.
#include "relay/turn/server_impl.h"

namespace sotto::relay {

AuthenticatorOptions Server::Impl::AuthenticatorOptionsOf(const ServerOptions& options) {
  return {.realm = options.realm,
          .users = options.auth.users,
          .shared_secrets = options.auth.shared_secrets,
          .nonce_lifetime_s = options.auth.nonce_lifetime_s,
          .require_sha256 = options.auth.require_sha256};
}

void Server::Impl::ResetAllocationBudget() {
  const uint32_t rate = options_.limits.allocations_per_prefix;
  allocation_budget_.reset();
  if (rate != 0) allocation_budget_.emplace(rate, 2 * rate, random_.U64());
}

absl::Status Server::Impl::Reconfigure(const ServerOptions& options) {
  if (absl::Status status = options.Validate(); !status.ok()) return status;
  if (options_.Reloaded(options) != options) {
    return absl::FailedPreconditionError(
        "some of the changed options can't change while the server runs; restore them, or "
        "restart");
  }
  const ServerOptions before = std::exchange(options_, options);
  if (before.auth != options.auth) {
    authenticator_.Reconfigure(AuthenticatorOptionsOf(options), before.auth.users);
  }
  const bool counted = quota_.counts();
  quota_.SetLimit(options.limits.max_allocations_per_user, allocations_.size());
  if (quota_.counts() != counted) BeginSweep();
  SetRates();
  budget_.SetRate(options.limits.unauthenticated_excess_rate,
                  options.limits.unauthenticated_excess_burst);
  if (before.limits.allocations_per_prefix != options.limits.allocations_per_prefix) {
    ResetAllocationBudget();
  }
  if (before.peers != options.peers) {
    policy_.SetLists(options.peers.allow, options.peers.deny);
    BeginSweep();
  }
  return absl::OkStatus();
}

void Server::Impl::SetRates() {
  const ForwardingRates& rates = options_.limits.rates;
  plane_.SetRates(rates);
  if (rates.bytes_per_user == 0 || knows_users_) return;
  knows_users_ = true;
  users_.Reserve(allocations_.size());
  BeginSweep();
}

// Each step does what is left to do, whatever change it was that asked for it: with another change
// a sweep begins anew, and does nothing twice.
void Server::Impl::Sweep(uint32_t budget) {
  if (!sweep_) return;
  LegId& id = *sweep_;
  for (; budget > 0 && id < allocations_.end(); ++id, --budget) {
    Allocation* const allocation = allocations_.Get(id);
    if (allocation == nullptr) continue;
    EndRefusedBindings(id, *allocation);
    if (quota_.counts() && !allocation->counted) {
      quota_.Take(CredentialName(*allocation));
      allocation->counted = true;
    }
    if (knows_users_ && users_.Of(id) == 0) {
      users_.Add(id, CredentialName(*allocation));
      plane_.Upsert(LegOf(id, *allocation)).IgnoreError();  // a change of this alone never fails
    }
  }
  // What was allocated since it began needs none.
  if (id >= allocations_.end()) sweep_.reset();
}

void Server::Impl::EndRefusedBindings(LegId id, Allocation& allocation) {
  EraseIf(allocation.channels, [&](const Channel& channel) {
    if (policy_.Allows(channel.peer)) return false;
    plane_.RemoveChannel(id, channel.number);
    return true;
  });
  EraseIf(allocation.permissions, [&](const Permission& permission) {
    if (policy_.Allows(permission.peer)) return false;
    plane_.RemovePermission(id, permission.peer);
    return true;
  });
}

}  // namespace sotto::relay
