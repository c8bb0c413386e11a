// SPDX-License-Identifier: Apache-2.0
// Data, packet by packet: ChannelData and Send from clients (RFC 8656, sections 11.2 and 12.6),
// datagrams and ICMP errors from peers (sections 11.3, 11.5 and 12.7).
#include <algorithm>

#include "relay/base/big_endian.h"
#include "relay/turn/server_impl.h"
#include "relay/wire/channel_data.h"

namespace sotto::relay {
namespace {

using enum StunAttributeType;

// Whether clients are told of the ICMP error (section 11.5), and whether it carries an MTU.
bool IsRelayedIcmp(IpFamily family, uint8_t type) {
  return family == IpFamily::kV4 ? type == 3 || type == 11 : type >= 1 && type <= 3;
}
bool CarriesMtu(IpFamily family, const IcmpError& error) {
  return family == IpFamily::kV4 ? error.type == 3 && error.code == 4 : error.type == 2;
}

}  // namespace

Outcome Server::Impl::HandleClientDatagram(const ClientPath& path,
                                           std::span<const uint8_t> datagram, const Now& now,
                                           std::span<uint8_t> buffer) {
  return LooksLikeChannelData(datagram) ? HandleChannelData(path, datagram, now)
                                        : HandleStun(path, datagram, now, buffer);
}

Outcome Server::Impl::ToPeer(LegId id, const Allocation& allocation, const TransportAddress& peer,
                             std::span<const uint8_t> data, bool dont_fragment) {
  return {.kind = Outcome::Kind::kToPeer,
          .relayed = *RelayedAddress(id, allocation, peer.ip.family()),
          .peer = peer,
          .dont_fragment = dont_fragment,
          .bytes = data};
}

Outcome Server::Impl::HandleChannelData(const ClientPath& path, std::span<const uint8_t> datagram,
                                        const Now& now) {
  const std::optional<ChannelData> message = ParseChannelData(datagram);
  if (!message) return Drop(Discard::kMalformed);
  const LegId id = FindAllocation(path, now.monotonic_ms);
  Allocation* allocation = allocations_.Get(id);
  if (allocation == nullptr) return Drop(Discard::kNoAllocation);
  const Channel* channel = allocation->FindChannel(message->number);
  if (channel == nullptr || channel->expires_at <= now.monotonic_ms) {
    return Drop(Discard::kNoChannel);
  }
  if (!CallPermits(*allocation, channel->peer)) return Drop(Discard::kCallNotArmed);
  return ToPeer(id, *allocation, channel->peer, message->data, false);
}

Outcome Server::Impl::HandleSend(const ClientPath& path, const StunMessage& message,
                                 const Now& now) {
  const auto peer = message.FindXorAddress(kXorPeerAddress);
  const auto data = message.Find(kData);
  if (!peer || !data) return Drop(Discard::kMalformed);
  if (!message.AllUnderstood()) return Drop(Discard::kUnknownAttribute);
  const LegId id = FindAllocation(path, now.monotonic_ms);
  Allocation* allocation = allocations_.Get(id);
  if (allocation == nullptr) return Drop(Discard::kNoAllocation);
  if (!allocation->Has(peer->ip.family())) return Drop(Discard::kNoRelayedFamily);
  if (!policy_.Allows(*peer)) return Drop(Discard::kPeerRefused);
  const Permission* permission = allocation->FindPermission(peer->ip);
  if (permission == nullptr || permission->expires_at <= now.monotonic_ms) {
    return Drop(Discard::kNoPermission);
  }
  if (!CallPermits(*allocation, *peer)) return Drop(Discard::kCallNotArmed);
  // With IPv6 there is no such bit, and the attribute is ignored (section 13).
  return ToPeer(id, *allocation, *peer, data->value,
                peer->ip.is_v4() && message.Has(kDontFragment));
}

Allocation* Server::Impl::FindReceiver(const TransportAddress& relayed,
                                       const TransportAddress& peer, MonotonicMs now,
                                       Discard& reason) {
  const LegId id = FindRelayed(relayed);
  if (id == AllocationTable::kNone || !Expire(id, now) ||
      !allocations_.Get(id)->Has(relayed.ip.family())) {
    reason = Discard::kNoAllocation;
    return nullptr;
  }
  Allocation* allocation = allocations_.Get(id);
  const Permission* permission = allocation->FindPermission(peer.ip);
  if (permission == nullptr || permission->expires_at <= now) {
    reason = Discard::kNoPermission;
    return nullptr;
  }
  if (!CallPermits(*allocation, peer)) {
    reason = Discard::kCallNotArmed;
    return nullptr;
  }
  return allocation;
}

Outcome Server::Impl::HandlePeerDatagram(const TransportAddress& relayed,
                                         const TransportAddress& peer,
                                         std::span<const uint8_t> datagram, const Now& now,
                                         std::span<uint8_t> buffer) {
  Discard reason = Discard::kNone;
  Allocation* allocation = FindReceiver(relayed, peer, now.monotonic_ms, reason);
  if (allocation == nullptr) return Drop(reason);
  Outcome outcome{.kind = Outcome::Kind::kToClient, .path = allocations_.PathOf(*allocation)};

  const Channel* channel = allocation->FindChannel(peer);
  if (channel != nullptr && channel->expires_at > now.monotonic_ms && datagram.size() <= 0xffff &&
      buffer.size() >= kChannelDataHeaderSize + datagram.size()) {
    WriteChannelDataHeader(buffer.data(), channel->number, static_cast<uint16_t>(datagram.size()));
    std::ranges::copy(datagram, buffer.begin() + kChannelDataHeaderSize);
    outcome.bytes = buffer.first(kChannelDataHeaderSize + datagram.size());
    return outcome;
  }
  TransactionId transaction_id;
  random_.Fill(transaction_id);
  StunBuilder indication(buffer, StunMethod::kData, StunClass::kIndication, transaction_id);
  indication.AddXorAddress(kXorPeerAddress, peer);
  indication.Add(kData, datagram);
  outcome.bytes = indication.Finish();
  if (outcome.bytes.empty()) return Drop(Discard::kMalformed);  // more than a STUN message holds
  return outcome;
}

Outcome Server::Impl::HandlePeerError(const TransportAddress& relayed, const TransportAddress& peer,
                                      const IcmpError& error, const Now& now,
                                      std::span<uint8_t> buffer) {
  const IpFamily family = peer.ip.family();
  if (!IsRelayedIcmp(family, error.type)) return Drop(Discard::kIcmpNotRelayed);
  Discard reason = Discard::kNone;
  const Allocation* allocation = FindReceiver(relayed, peer, now.monotonic_ms, reason);
  if (allocation == nullptr) return Drop(reason);

  // Two reserved bytes, 7 bits of type, 9 of code, and 4 bytes of data.
  std::array<uint8_t, 8> value = {};
  StoreBe16(&value[2], static_cast<uint16_t>(error.type << 9 | error.code));
  StoreBe32(&value[4], CarriesMtu(family, error) ? error.data : 0);
  TransactionId transaction_id;
  random_.Fill(transaction_id);
  StunBuilder indication(buffer, StunMethod::kData, StunClass::kIndication, transaction_id);
  indication.AddXorAddress(kXorPeerAddress, peer);
  indication.Add(kIcmp, value);
  return {.kind = Outcome::Kind::kToClient,
          .path = allocations_.PathOf(*allocation),
          .bytes = indication.Finish()};
}

}  // namespace sotto::relay
