// SPDX-License-Identifier: Apache-2.0
#include "relay/turn/server_impl.h"

#include <algorithm>
#include <utility>

#include "relay/turn/call_name.h"

namespace sotto::relay {
namespace {

constexpr size_t kMaxTransactions = 8192;

}  // namespace

Server::Impl::Impl(ServerOptions options, ForwardingPlane& plane)
    : options_(std::move(options)),
      plane_(plane),
      authenticator_(AuthenticatorOptionsOf(options_), random_),
      quota_(options_.limits.max_allocations_per_user),
      policy_(options_),
      budget_(options_.limits.unauthenticated_excess_rate,
              options_.limits.unauthenticated_excess_burst, random_.U64()),
      allocations_(options_.relay_addresses.size(), options_.relay_ports),
      transactions_(kMaxTransactions),
      calls_(options_.limits.max_allocations),
      ports_(options_.relay_addresses.size(), PortPool(options_.relay_ports)) {
  ResetAllocationBudget();
  SetRates();
}

Outcome Server::Impl::Drop(Discard reason) {
  ++counters_.discards[static_cast<size_t>(reason)];
  return {.discard = reason};
}

LegId Server::Impl::FindAllocation(const ClientPath& path, MonotonicMs now) {
  const LegId id = allocations_.Find(path);
  return id != AllocationTable::kNone && Expire(id, now) ? id : AllocationTable::kNone;
}

std::optional<uint8_t> Server::Impl::RelayAddressIndex(const IpAddress& ip) const {
  const auto found = std::ranges::find(options_.relay_addresses, ip);
  if (found == options_.relay_addresses.end()) return std::nullopt;
  return static_cast<uint8_t>(found - options_.relay_addresses.begin());
}

LegId Server::Impl::FindRelayed(const TransportAddress& relayed) const {
  if (options_.virtual_prefix) {
    const std::optional<uint32_t> id = options_.virtual_prefix->IndexOf(relayed.ip);
    const Allocation* allocation = id ? allocations_.Get(*id) : nullptr;
    return allocation != nullptr && allocation->Of(relayed.ip.family()).port == relayed.port
               ? *id
               : AllocationTable::kNone;
  }
  const std::optional<uint8_t> index = RelayAddressIndex(relayed.ip);
  return index ? allocations_.FindRelayed(*index, relayed.port) : AllocationTable::kNone;
}

std::optional<TransportAddress> Server::Impl::RelayedAddress(LegId id, const Allocation& allocation,
                                                             IpFamily family) const {
  if (!allocation.Has(family)) return std::nullopt;
  const Allocation::Relayed& relayed = allocation.Of(family);
  return TransportAddress{options_.virtual_prefix ? options_.virtual_prefix->At(id)
                                                  : options_.relay_addresses[relayed.address],
                          static_cast<uint16_t>(relayed.port)};
}

ForwardingLeg Server::Impl::LegOf(LegId id, const Allocation& allocation) const {
  return {.id = id,
          .path = allocations_.PathOf(allocation),
          .relayed_v4 = RelayedAddress(id, allocation, IpFamily::kV4),
          .relayed_v6 = RelayedAddress(id, allocation, IpFamily::kV6),
          .call = SideOf(allocation),
          .user = users_.Of(id),
          .expires_at = allocation.expires_at()};
}

absl::Status Server::Impl::Publish(LegId id, const Allocation& allocation,
                                   const Permission& permission) {
  const MonotonicMs family_end = allocation.Of(permission.peer.family()).expires_at;
  return plane_.Upsert(ForwardingPermission{
      id, permission.peer, std::min<MonotonicMs>(permission.expires_at, family_end)});
}

absl::Status Server::Impl::Publish(LegId id, const Allocation& allocation, const Channel& channel) {
  const MonotonicMs family_end = allocation.Of(channel.peer.ip.family()).expires_at;
  return plane_.Upsert(ForwardingChannel{id, channel.number, channel.peer,
                                         std::min<MonotonicMs>(channel.expires_at, family_end)});
}

void Server::Impl::RepublishBindings(LegId id, const Allocation& allocation, IpFamily family,
                                     MonotonicMs earlier_end) {
  // A change of the end alone never fails.
  for (const Permission& permission : allocation.permissions) {
    if (permission.peer.family() == family && permission.expires_at > earlier_end) {
      Publish(id, allocation, permission).IgnoreError();
    }
  }
  for (const Channel& channel : allocation.channels) {
    if (channel.peer.ip.family() == family && channel.expires_at > earlier_end) {
      Publish(id, allocation, channel).IgnoreError();
    }
  }
}

bool Server::Impl::Expire(LegId id, MonotonicMs now) {
  const Allocation& allocation = *allocations_.Get(id);
  if (allocation.expires_at() <= now) {
    ++counters_.allocations_expired;
    End(id, now);
    return false;
  }
  for (IpFamily family : kFamilies) {
    if (allocation.Has(family) && allocation.Of(family).expires_at <= now) {
      EndFamily(id, family, now);
    }
  }
  return allocations_.Get(id) != nullptr;
}

void Server::Impl::End(LegId id, MonotonicMs now) {
  plane_.RemoveLeg(id);
  Allocation& allocation = *allocations_.Get(id);
  for (const Allocation::Relayed& relayed : allocation.relayed) {
    if (relayed.port != 0) ReleasePort(relayed.address, relayed.port);
  }
  if (allocation.counted) quota_.Release(CredentialName(allocation));
  users_.Remove(id);
  const uint32_t number = allocation.call;
  const uint8_t side = allocation.side;
  const Call* call = observer_ ? calls_.Get(number) : nullptr;
  const std::string name(call != nullptr ? call->name.view() : std::string_view());
  calls_.RemoveLeg(number, id, now);
  reservation_tokens_.erase(id);
  allocations_.Erase(id);
  ++counters_.allocations_ended;
  if (call != nullptr) NotifyLeg(name, number, side, true);
}

void Server::Impl::EndFamily(LegId id, IpFamily family, MonotonicMs now) {
  Allocation& allocation = *allocations_.Get(id);
  if (!allocation.Has(family == IpFamily::kV4 ? IpFamily::kV6 : IpFamily::kV4)) {
    End(id, now);
    return;
  }
  EraseIf(allocation.channels, [&](const Channel& channel) {
    if (channel.peer.ip.family() != family) return false;
    plane_.RemoveChannel(id, channel.number);
    return true;
  });
  EraseIf(allocation.permissions, [&](const Permission& permission) {
    if (permission.peer.family() != family) return false;
    plane_.RemovePermission(id, permission.peer);
    return true;
  });
  const Allocation::Relayed ended = allocation.Of(family);
  allocations_.EraseRelayed(id, family);
  const bool published = plane_.Upsert(LegOf(id, allocation)).ok();
  ReleasePort(ended.address, ended.port);
  // A plane that still forwards from a released port must not be left with the leg.
  if (!published) return End(id, now);
  const Call* call = calls_.Get(allocation.call);
  if (call != nullptr && observer_)
    NotifyLeg(call->name.view(), allocation.call, allocation.side, true);
}

void Server::Impl::EndExpiredBindings(LegId id, MonotonicMs now) {
  Allocation& allocation = *allocations_.Get(id);
  EraseIf(allocation.channels, [&](const Channel& channel) {
    if (channel.expires_at > now) return false;
    plane_.RemoveChannel(id, channel.number);
    return true;
  });
  EraseIf(allocation.permissions, [&](const Permission& permission) {
    if (permission.expires_at > now) return false;
    plane_.RemovePermission(id, permission.peer);
    return true;
  });
}

void Server::Impl::ReleasePort(uint8_t address, uint16_t port) {
  if (!options_.virtual_prefix) ports_[address].Release(port);
}

void Server::Impl::ReleaseReservation(const Reservation& reservation) {
  ReleasePort(reservation.address, reservation.port);
  quota_.Release(reservation.quota_name);
}

std::string Server::Impl::CredentialName(const Allocation& allocation) const {
  std::string username = UsernameOf(allocation);
  if (allocation.expiry_unix_s != 0) username.erase(0, username.find(':') + 1);
  return username;
}

std::string Server::Impl::UsernameOf(const Allocation& allocation) const {
  const Call* call = allocation.username.empty() ? calls_.Get(allocation.call) : nullptr;
  if (call == nullptr) return std::string(allocation.username.view());
  std::string name = FormatCallName(call->name.view(), allocation.side);
  return allocation.expiry_unix_s == 0 ? name
                                       : std::to_string(allocation.expiry_unix_s) + ":" + name;
}

// The allocation stands in its call already.
void Server::Impl::SetUsername(Allocation& allocation, std::string_view username,
                               std::optional<int64_t> expiry_unix_s) const {
  // One that is beyond 2106 stands in the name alone; it isn't "none".
  if (expiry_unix_s) {
    allocation.expiry_unix_s =
        static_cast<uint32_t>(std::clamp<int64_t>(*expiry_unix_s, 1, UINT32_MAX));
  }
  if (allocation.call == 0 || UsernameOf(allocation) != username) {
    allocation.username = CompactString(username);
  }
}

void Server::Impl::Tick(const Now& now, uint32_t budget) {
  const MonotonicMs ms = now.monotonic_ms;
  for (uint32_t left = std::min(budget, allocations_.end()); left > 0; --left) {
    const LegId id = scan_;
    scan_ = scan_ + 1 < allocations_.end() ? scan_ + 1 : 0;
    if (allocations_.Get(id) == nullptr) continue;
    if (drain_.draining && drain_.deadline && *drain_.deadline <= ms) {
      End(id, ms);
    } else if (Expire(id, ms)) {
      EndExpiredBindings(id, ms);
    }
  }
  for (uint32_t left = budget; left > 0; --left) {
    const std::optional<Reservation> expired = reservations_.TakeExpired(ms);
    if (!expired) break;
    ReleaseReservation(*expired);
  }
  // Less at a time than is looked at above, as each takes longer.
  Sweep(std::max(1u, budget / 4));
  transactions_.Tick(ms, budget);
  calls_.Tick(ms, budget);
}

uint32_t Server::Impl::ports_in_use() const {
  uint32_t sum = 0;
  for (const PortPool& pool : ports_) sum += pool.in_use();
  return sum;
}

uint32_t Server::Impl::ports_held() const {
  if (options_.virtual_prefix) return 0;
  uint32_t sum = reservations_.size();
  for (LegId id = 0; id < allocations_.end(); ++id) {
    const Allocation* allocation = allocations_.Get(id);
    if (allocation == nullptr) continue;
    sum += (allocation->Has(IpFamily::kV4) ? 1 : 0) + (allocation->Has(IpFamily::kV6) ? 1 : 0);
  }
  return sum;
}

}  // namespace sotto::relay
