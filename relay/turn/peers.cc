// SPDX-License-Identifier: Apache-2.0
// CreatePermission (RFC 8656, section 10) and ChannelBind (section 12.2).
#include "absl/container/inlined_vector.h"
#include "relay/base/big_endian.h"
#include "relay/turn/server_impl.h"
#include "relay/wire/channel_data.h"

namespace sotto::relay {

using enum StunAttributeType;

std::optional<StunError> Server::Impl::CheckPeer(const Allocation& allocation,
                                                 const IpAddress& peer) {
  if (!allocation.Has(peer.family())) return StunError::kPeerAddressFamilyMismatch;
  if (!policy_.Allows(peer)) return Refuse(Refusal::kPeer);
  return std::nullopt;
}

std::optional<StunError> Server::Impl::Permit(LegId leg, std::span<const IpAddress> peers,
                                              MonotonicMs now) {
  EndExpiredBindings(leg, now);
  Allocation& allocation = *allocations_.Get(leg);
  const MonotonicMs end = now + uint64_t{options_.lifetimes.permission_s} * 1000;
  const size_t before = allocation.permissions.size();
  const auto undo = [&](Refusal reason) {
    while (allocation.permissions.size() > before) {
      plane_.RemovePermission(leg, allocation.permissions.back().peer);
      allocation.permissions.pop_back();
    }
    return Refuse(reason);
  };
  for (const IpAddress& peer : peers) {
    if (allocation.FindPermission(peer) != nullptr) continue;
    if (allocation.permissions.size() >= options_.limits.max_permissions_per_allocation) {
      return undo(Refusal::kPermissions);
    }
    const Permission permission{peer, end};
    if (!Publish(leg, allocation, permission).ok()) return undo(Refusal::kTableFull);
    allocation.permissions.push_back(permission);
  }
  for (const IpAddress& peer : peers) {
    Permission& permission = *allocation.FindPermission(peer);
    if (permission.expires_at == end) continue;
    permission.expires_at = end;
    // A change of the end alone never fails.
    Publish(leg, allocation, permission).IgnoreError();
  }
  counters_.permissions_created += allocation.permissions.size() - before;
  return std::nullopt;
}

Outcome Server::Impl::HandleCreatePermission(const Request& request) {
  if (const auto error = CheckOwner(request)) return Reject(request, *error);
  const Allocation& allocation = *allocations_.Get(request.leg);
  absl::InlinedVector<IpAddress, 8> peers;
  bool well_formed = true;
  request.message.ForEach([&](const StunAttribute& attribute) {
    if (attribute.type != kXorPeerAddress) return true;
    const auto peer = DecodeXorAddress(attribute.value, request.message.transaction_id());
    well_formed = peer.has_value();
    if (peer) peers.push_back(peer->ip);
    return well_formed;
  });
  if (!well_formed || peers.empty()) return Reject(request, StunError::kBadRequest);
  for (const IpAddress& peer : peers) {
    if (const auto error = CheckPeer(allocation, peer)) return Reject(request, *error);
  }
  if (const auto error = Permit(request.leg, peers, request.now.monotonic_ms)) {
    return Reject(request, *error);
  }
  StunBuilder answer = Answer(request, StunClass::kSuccess);
  return Finish(request, answer);
}

std::optional<StunError> Server::Impl::Bind(LegId leg, uint16_t number,
                                            const TransportAddress& peer, MonotonicMs now) {
  EndExpiredBindings(leg, now);
  Allocation& allocation = *allocations_.Get(leg);
  Channel* bound = allocation.FindChannel(number);
  // The same channel and peer, or two that are both free.
  if (bound != allocation.FindChannel(peer)) return StunError::kBadRequest;
  if (const auto error = CheckPeer(allocation, peer.ip)) return error;
  if (!policy_.Allows(peer)) return Refuse(Refusal::kPeer);
  if (policy_.kind() == PeerPolicyKind::kCall && !IsOtherLeg(allocation, peer)) {
    return Refuse(Refusal::kNotOtherLeg);
  }
  if (bound == nullptr &&
      allocation.channels.size() >= options_.limits.max_channels_per_allocation) {
    return Refuse(Refusal::kChannels);
  }
  const bool permitted_before = allocation.FindPermission(peer.ip) != nullptr;
  if (const auto error = Permit(leg, std::span(&peer.ip, 1), now)) return error;

  const Channel channel{peer, number, now + uint64_t{options_.lifetimes.channel_s} * 1000};
  if (!Publish(leg, allocation, channel).ok()) {
    if (!permitted_before) {
      plane_.RemovePermission(leg, peer.ip);
      allocation.permissions.pop_back();
    }
    return Refuse(Refusal::kTableFull);
  }
  if (bound != nullptr) {
    bound->expires_at = channel.expires_at;
  } else {
    allocation.channels.push_back(channel);
    ++counters_.channels_created;
  }
  return std::nullopt;
}

Outcome Server::Impl::HandleChannelBind(const Request& request) {
  if (const auto error = CheckOwner(request)) return Reject(request, *error);
  const auto number = request.message.FindU32(kChannelNumber);
  const auto peer = request.message.FindXorAddress(kXorPeerAddress);
  if (!number || !peer) return Reject(request, StunError::kBadRequest);
  const auto channel = static_cast<uint16_t>(*number >> 16);  // two reserved bytes follow
  if (!IsChannelNumber(channel)) return Reject(request, StunError::kBadRequest);
  if (const auto error = Bind(request.leg, channel, *peer, request.now.monotonic_ms)) {
    return Reject(request, *error);
  }
  StunBuilder answer = Answer(request, StunClass::kSuccess);
  return Finish(request, answer);
}

}  // namespace sotto::relay
