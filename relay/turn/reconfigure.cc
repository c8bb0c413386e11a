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
        "the options differ in more than what may change while the server runs; keep the rest as "
        "it is, or start anew");
  }
  const ServerOptions before = std::exchange(options_, options);
  const bool credentials = before.auth != options.auth;
  if (credentials) authenticator_.Reconfigure(AuthenticatorOptionsOf(options));
  if (credentials ||
      before.limits.max_allocations_per_user != options.limits.max_allocations_per_user) {
    RecountQuota();
  }
  SetRates(before.limits.rates);
  budget_.SetRate(options.limits.unauthenticated_excess_rate,
                  options.limits.unauthenticated_excess_burst);
  if (before.limits.allocations_per_prefix != options.limits.allocations_per_prefix) {
    ResetAllocationBudget();
  }
  if (before.peers != options.peers) {
    policy_.SetLists(options.peers.allow, options.peers.deny);
    EndRefusedBindings();
  }
  return absl::OkStatus();
}

// Who is who doesn't change with the credentials while users have a rate: the numbers stay.
void Server::Impl::SetRates(const ForwardingRates& before) {
  const ForwardingRates& rates = options_.limits.rates;
  if (rates == before) return;
  plane_.SetRates(rates);
  if (KnowsUsers() == (before.bytes_per_user != 0)) return;
  users_ = LegUsers();
  if (!KnowsUsers()) return;
  for (LegId id = 0; id < allocations_.end(); ++id) {
    const Allocation* allocation = allocations_.Get(id);
    if (allocation == nullptr) continue;
    users_.Add(id, CredentialName(*allocation));
    plane_.Upsert(LegOf(id, *allocation)).IgnoreError();  // a change of this alone never fails
  }
}

// Nothing was counted without a bound, and whose an allocation is may have changed with what the
// credentials are.
void Server::Impl::RecountQuota() {
  quota_.Reset(options_.limits.max_allocations_per_user);
  if (options_.limits.max_allocations_per_user == 0) return;
  for (LegId id = 0; id < allocations_.end(); ++id) {
    const Allocation* allocation = allocations_.Get(id);
    if (allocation != nullptr) quota_.Take(QuotaName(*allocation));
  }
  for (const Reservation& reservation : reservations_.all()) {
    if (!reservation.quota_name.empty()) quota_.Take(reservation.quota_name);
  }
}

void Server::Impl::EndRefusedBindings() {
  for (LegId id = 0; id < allocations_.end(); ++id) {
    Allocation* allocation = allocations_.Get(id);
    if (allocation == nullptr) continue;
    EraseIf(allocation->channels, [&](const Channel& channel) {
      if (policy_.Allows(channel.peer)) return false;
      plane_.RemoveChannel(id, channel.number);
      return true;
    });
    EraseIf(allocation->permissions, [&](const Permission& permission) {
      if (policy_.Allows(permission.peer)) return false;
      plane_.RemovePermission(id, permission.peer);
      return true;
    });
  }
}

}  // namespace sotto::relay
