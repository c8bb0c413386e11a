// SPDX-License-Identifier: Apache-2.0
// Allocate (RFC 8656, section 7).
#include <algorithm>
#include <utility>

#include "relay/base/big_endian.h"
#include "relay/turn/call_name.h"
#include "relay/turn/server_impl.h"

namespace sotto::relay {
namespace {

using enum StunAttributeType;

constexpr uint8_t kUdpProtocol = 17;
constexpr uint8_t kReserveNextPort = 0x80;  // the R bit of EVEN-PORT

// The family that REQUESTED-ADDRESS-FAMILY or ADDITIONAL-ADDRESS-FAMILY names, 0 if malformed.
uint8_t FamilyValue(const StunAttribute& attribute) {
  return attribute.value.size() == 4 ? attribute.value[0] : 0;
}

std::optional<StunAttribute> FindAdditionalFamily(const StunMessage& message) {
  const auto attribute = message.Find(kAdditionalAddressFamily);
  return attribute ? attribute : message.Find(kAdditionalAddressFamilyDraft);
}

}  // namespace

bool Server::Impl::Relays(IpFamily family) const {
  if (options_.virtual_prefix) return options_.virtual_prefix->family() == family;
  return std::ranges::any_of(options_.relay_addresses,
                             [&](const IpAddress& ip) { return ip.family() == family; });
}

Outcome Server::Impl::HandleAllocate(const Request& request) {
  const MonotonicMs now = request.now.monotonic_ms;
  if (const Allocation* allocation = allocations_.Get(request.leg)) {
    if (allocation->transaction_id == request.message.transaction_id() &&
        UsernameOf(*allocation) == request.auth.username) {
      return AnswerAllocate(request, request.leg);
    }
    transactions_.Remember(TransactionKey(request), StunError::kAllocationMismatch, now);
    return Reject(request, StunError::kAllocationMismatch);
  }
  if (request.auth.expiry_unix_s && *request.auth.expiry_unix_s < request.now.unix_s) {
    ++counters_.auth_failures;
    return Reject(request, StunError::kUnauthenticated);
  }
  // Before what it asks for is looked at: who is told to go elsewhere needn't mend it first. Not
  // remembered for retransmissions: what has changed by then shall count.
  if (drain_.draining && !GoesOnWhileDraining(request)) {
    const StunError error = Refuse(Refusal::kDraining);
    return Reject(request, ChooseAlternate(request.path.client) ? StunError::kTryAlternate : error);
  }
  if (const std::optional<StunError> error = Allocate(request)) {
    transactions_.Remember(TransactionKey(request), *error, now);
    return Reject(request, *error);
  }
  return AnswerAllocate(request, allocations_.Find(request.path));
}

// The order of the checks is that of section 7.2.
std::optional<StunError> Server::Impl::ParseWish(const StunMessage& message, Wish& wish) const {
  const auto transport = message.Find(kRequestedTransport);
  if (!transport || transport->value.size() != 4) return StunError::kBadRequest;
  if (transport->value[0] != kUdpProtocol) return StunError::kUnsupportedTransportProtocol;

  const auto token = message.Find(kReservationToken);
  const auto even_port = message.Find(kEvenPort);
  const auto requested = message.Find(kRequestedAddressFamily);
  const auto additional = FindAdditionalFamily(message);
  if (token) {
    if (even_port || requested || additional || token->value.size() != 8) {
      return StunError::kBadRequest;
    }
    wish.reservation_token = LoadBe64(token->value.data());
    return std::nullopt;
  }
  if ((requested && additional) || (requested && requested->value.size() != 4) ||
      (even_port && even_port->value.size() != 1)) {
    return StunError::kBadRequest;
  }
  wish.even = even_port.has_value();
  wish.reserve = even_port && (even_port->value[0] & kReserveNextPort) != 0;
  if (additional) {
    if (wish.reserve || FamilyValue(*additional) != static_cast<uint8_t>(IpFamily::kV6)) {
      return StunError::kBadRequest;
    }
    wish.additional = true;
    wish.families = {true, true};
    return std::nullopt;
  }
  const uint8_t value = requested ? FamilyValue(*requested) : static_cast<uint8_t>(IpFamily::kV4);
  for (IpFamily family : kFamilies) {
    if (value != static_cast<uint8_t>(family) || !Relays(family)) continue;
    wish.families[FamilyIndex(family)] = true;
    return std::nullopt;
  }
  return StunError::kAddressFamilyNotSupported;
}

bool Server::Impl::GoesOnWhileDraining(const Request& request) const {
  if (policy_.kind() != PeerPolicyKind::kCall) return false;
  if (drain_.deadline && *drain_.deadline <= request.now.monotonic_ms) return false;
  const std::optional<CallName> name = ParseCallName(request.auth.name);
  return name && calls_.Get(calls_.Find(name->call, request.now.monotonic_ms)) != nullptr;
}

std::optional<TransportAddress> Server::Impl::ChooseAlternate(const TransportAddress& client) {
  const auto fits = [&](const TransportAddress& alternate) {
    return alternate.ip.family() == client.ip.family();  // RFC 8489, section 14.15
  };
  const auto count = static_cast<uint32_t>(std::ranges::count_if(options_.alternates, fits));
  if (count == 0) return std::nullopt;
  uint32_t left = random_.Below(count);
  for (const TransportAddress& alternate : options_.alternates) {
    if (fits(alternate) && left-- == 0) return alternate;
  }
  return std::nullopt;
}

std::optional<StunError> Server::Impl::CheckQuota(const Request& request, const Wish& wish) {
  if (allocations_.size() >= options_.limits.max_allocations) {
    return Refuse(Refusal::kMaxAllocations);
  }
  const Reservation* reservation =
      wish.reservation_token ? reservations_.Find(*wish.reservation_token, request.now.monotonic_ms)
                             : nullptr;
  // A port that the user has reserved counts already.
  const bool counted = reservation != nullptr && reservation->quota_name == request.auth.name;
  if (!counted && quota_.Reached(request.auth.name)) return Refuse(Refusal::kUserQuota);
  if (policy_.kind() == PeerPolicyKind::kCall) {
    const std::optional<CallName> name = ParseCallName(request.auth.name);
    if (!name) return Refuse(Refusal::kNotALeg);
    const Call* call = calls_.Get(calls_.Find(name->call, request.now.monotonic_ms));
    if (call != nullptr && call->LegsOf(name->side) >= options_.limits.max_allocations_per_leg) {
      return Refuse(Refusal::kLegQuota);
    }
  }
  // Last: what is refused for another reason doesn't count.
  if (allocation_budget_ &&
      !allocation_budget_->Spend(request.path.client.ip, 1, request.now.monotonic_ms)) {
    return Refuse(Refusal::kPrefixRate);
  }
  return std::nullopt;
}

std::optional<Server::Impl::HeldPort> Server::Impl::TakePort(IpFamily family, const Wish& wish) {
  if (options_.virtual_prefix) {
    // The address is the allocation's alone, so any port is free; but the one above it would be on
    // the same address, which nobody else can have.
    if (wish.reserve) return std::nullopt;
    const auto [first, last] = options_.relay_ports;
    const uint32_t port = first + random_.Below(last - first + 1u);
    const uint32_t even = port % 2 == 0 ? port : port == first ? port + 1 : port - 1;
    if (wish.even && even > last) return std::nullopt;
    return HeldPort{0, static_cast<uint16_t>(wish.even ? even : port)};
  }
  const auto count = static_cast<uint32_t>(options_.relay_addresses.size());
  const uint32_t start = random_.Below(count);
  for (uint32_t i = 0; i < count; ++i) {
    const auto index = static_cast<uint8_t>((start + i) % count);
    if (options_.relay_addresses[index].family() != family) continue;
    PortPool& pool = ports_[index];
    const std::optional<uint16_t> port = wish.reserve ? pool.TakePair(random_)
                                         : wish.even  ? pool.TakeEven(random_)
                                                      : pool.TakeAny(random_);
    if (port) return HeldPort{index, *port};
  }
  return std::nullopt;
}

std::optional<Refusal> Server::Impl::HoldPorts(const Wish& wish, MonotonicMs now,
                                               Allocation& allocation,
                                               std::optional<HeldPort>& sibling) {
  if (wish.reservation_token) {
    const Reservation* reservation = reservations_.Find(*wish.reservation_token, now);
    if (reservation == nullptr) return Refusal::kReservationGone;
    Allocation::Relayed& relayed =
        allocation.Of(options_.relay_addresses[reservation->address].family());
    relayed.port = reservation->port;
    relayed.address = reservation->address;
    return std::nullopt;
  }
  bool any = false;
  for (IpFamily family : kFamilies) {
    if (!wish.families[FamilyIndex(family)]) continue;
    const std::optional<HeldPort> held = TakePort(family, wish);
    if (!held) continue;
    any = true;
    allocation.Of(family).port = held->port;
    allocation.Of(family).address = held->address;
    if (wish.reserve) sibling = HeldPort{held->address, static_cast<uint16_t>(held->port + 1)};
  }
  if (any) return std::nullopt;
  return wish.reserve ? Refusal::kNoPair : Refusal::kNoPort;
}

std::optional<StunError> Server::Impl::Allocate(const Request& request) {
  const MonotonicMs now = request.now.monotonic_ms;
  Wish wish;
  if (const auto error = ParseWish(request.message, wish)) return error;
  const std::optional<uint32_t> lifetime = RequestedLifetime(request.message);
  if (!lifetime) return StunError::kBadRequest;
  if (const auto error = CheckQuota(request, wish)) return error;

  Allocation allocation;
  std::optional<HeldPort> sibling;
  if (const auto reason = HoldPorts(wish, now, allocation, sibling)) return Refuse(*reason);
  const uint32_t seconds = *lifetime == 0 ? options_.lifetimes.default_s : *lifetime;
  for (Allocation::Relayed& relayed : allocation.relayed) {
    if (relayed.port != 0) relayed.expires_at = now + uint64_t{seconds} * 1000;
  }
  allocation.key = HeldKey(request.auth.key);
  allocation.transaction_id = request.message.transaction_id();
  allocation.created_s = static_cast<uint32_t>(now / 1000);

  const LegId id = allocations_.Insert(request.path, std::move(allocation));
  Allocation& made = *allocations_.Get(id);
  if (policy_.kind() == PeerPolicyKind::kCall) {
    const CallName name = *ParseCallName(request.auth.name);
    made.side = name.side;
    made.call = calls_.AddLeg(name.call, id, name.side, options_.arm_calls_at_once, now);
  }
  SetUsername(made, request.auth.username, request.auth.expiry_unix_s);
  if (knows_users_) users_.Add(id, request.auth.name);
  if (!plane_.Upsert(LegOf(id, made)).ok()) {
    users_.Remove(id);
    for (const Allocation::Relayed& relayed : made.relayed) {
      // A reserved port stays with its reservation.
      if (relayed.port != 0 && !wish.reservation_token) ReleasePort(relayed.address, relayed.port);
    }
    if (sibling) ReleasePort(sibling->address, sibling->port);
    calls_.RemoveLeg(made.call, id, now);
    allocations_.Erase(id);
    return Refuse(Refusal::kTableFull);
  }
  if (wish.reservation_token) {
    quota_.Release(reservations_.Take(*wish.reservation_token).quota_name);
  }
  quota_.Take(request.auth.name);
  made.counted = quota_.counts();
  if (sibling) {
    uint64_t token = 0;
    while (token == 0) token = random_.U64();
    reservation_tokens_[id] = token;
    quota_.Take(request.auth.name);
    reservations_.Add({.token = token,
                       .port = sibling->port,
                       .address = sibling->address,
                       .quota_name = quota_.counts() ? CredentialName(made) : std::string(),
                       .expires_at = now + uint64_t{options_.lifetimes.reservation_s} * 1000});
  }
  ++counters_.allocations_created;
  const Call* call = calls_.Get(made.call);
  if (call != nullptr && observer_) NotifyLeg(call->name.view(), made.call, made.side, false);
  return std::nullopt;
}

Outcome Server::Impl::AnswerAllocate(const Request& request, LegId id) {
  const Allocation& allocation = *allocations_.Get(id);
  StunBuilder answer = Answer(request, StunClass::kSuccess);
  for (IpFamily family : kFamilies) {
    if (const auto relayed = RelayedAddress(id, allocation, family)) {
      answer.AddXorAddress(kXorRelayedAddress, *relayed);
    } else if (FindAdditionalFamily(request.message)) {
      const StunError error =
          Relays(family) ? StunError::kInsufficientCapacity : StunError::kAddressFamilyNotSupported;
      const int code = static_cast<int>(error);
      const uint8_t head[4] = {static_cast<uint8_t>(family), 0, static_cast<uint8_t>(code / 100),
                               static_cast<uint8_t>(code % 100)};
      answer.AddText(kAddressErrorCode,
                     std::string(reinterpret_cast<const char*>(head), 4) + ReasonPhrase(error));
    }
  }
  answer.AddU32(kLifetime, SecondsLeft(allocation.expires_at(), request.now.monotonic_ms));
  if (const auto reserved = reservation_tokens_.find(id); reserved != reservation_tokens_.end()) {
    std::array<uint8_t, 8> token;
    StoreBe64(token.data(), reserved->second);
    answer.Add(kReservationToken, token);
  }
  answer.AddXorAddress(kXorMappedAddress, request.path.client);
  return Finish(request, answer);
}

}  // namespace sotto::relay
