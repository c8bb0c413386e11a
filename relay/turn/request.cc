// SPDX-License-Identifier: Apache-2.0
// From a STUN message to the handler of its method, and back to an answer.
#include <array>

#include "relay/base/big_endian.h"
#include "relay/stun/integrity.h"
#include "relay/turn/server_impl.h"

namespace sotto::relay {
namespace {

using enum StunAttributeType;

}  // namespace

Outcome Server::Impl::HandleStun(const ClientPath& path, std::span<const uint8_t> datagram,
                                 const Now& now, std::span<uint8_t> buffer) {
  const std::optional<StunMessage> message = StunMessage::Parse(datagram);
  if (!message) return Drop(Discard::kMalformed);
  if (message->Has(kFingerprint) && !VerifyFingerprint(*message)) {
    return Drop(Discard::kBadFingerprint);
  }
  if (message->message_class() == StunClass::kIndication) {
    if (message->method() == StunMethod::kSend) return HandleSend(path, *message, now);
    // A keep-alive (RFC 8489, section 6.3.2): it has done its work by arriving.
    if (message->method() == StunMethod::kBinding) return {};
  }
  if (message->message_class() != StunClass::kRequest) return Drop(Discard::kUnexpectedClass);
  Request request{.path = path, .message = *message, .now = now, .buffer = buffer, .auth = {}};
  switch (message->method()) {
    case StunMethod::kBinding:
      return HandleBinding(request);
    case StunMethod::kAllocate:
      return HandleAuthenticated(request, &Impl::HandleAllocate);
    case StunMethod::kRefresh:
      return HandleAuthenticated(request, &Impl::HandleRefresh);
    case StunMethod::kCreatePermission:
      return HandleAuthenticated(request, &Impl::HandleCreatePermission);
    case StunMethod::kChannelBind:
      return HandleAuthenticated(request, &Impl::HandleChannelBind);
    case StunMethod::kSend:
    case StunMethod::kData:
      break;  // indications only
  }
  // No `default`, so that the compiler names this place when a method is added. The method of a
  // message may be any of 12 bits; those without a name end here too.
  return Drop(Discard::kUnexpectedClass);
}

Outcome Server::Impl::HandleAuthenticated(Request& request, RequestHandler handle) {
  ++counters_.requests;
  const MonotonicMs now = request.now.monotonic_ms;
  request.leg = FindAllocation(request.path, now);
  std::optional<RunningCredential> running;
  std::string running_username;
  if (const Allocation* allocation = allocations_.Get(request.leg)) {
    running_username = UsernameOf(*allocation);
    running = {running_username, allocation->key.Get()};
  }
  request.auth = authenticator_.Authenticate(request.message, request.path.client, now,
                                             running ? &*running : nullptr);
  if (request.auth.error) {
    if (request.auth.mac_verified) {
      ++counters_.stale_nonces;
    } else if (*request.auth.error == StunError::kUnauthenticated &&
               (request.message.Has(kMessageIntegrity) ||
                request.message.Has(kMessageIntegritySha256))) {
      ++counters_.auth_failures;
    }
    return Reject(request, *request.auth.error);
  }
  ++counters_.authenticated;
  if (const auto rejected = RejectUnknown(request)) return *rejected;
  if (const auto answer = transactions_.Find(TransactionKey(request), now)) {
    if (*answer) return Reject(request, **answer);
    StunBuilder deleted = Answer(request, StunClass::kSuccess);
    deleted.AddU32(kLifetime, 0);
    return Finish(request, deleted);
  }
  return (this->*handle)(request);
}

TransactionCache::Key Server::Impl::TransactionKey(const Request& request) const {
  return {request.path, request.message.transaction_id(), request.message.method()};
}

std::optional<StunError> Server::Impl::CheckOwner(const Request& request) const {
  const Allocation* allocation = allocations_.Get(request.leg);
  if (allocation == nullptr) return StunError::kAllocationMismatch;
  if (UsernameOf(*allocation) != request.auth.username) return StunError::kWrongCredentials;
  return std::nullopt;
}

Outcome Server::Impl::HandleBinding(const Request& request) {
  ++counters_.requests;
  if (const auto rejected = RejectUnknown(request)) return *rejected;
  StunBuilder answer = Answer(request, StunClass::kSuccess);
  answer.AddXorAddress(kXorMappedAddress, request.path.client);
  return Finish(request, answer);
}

StunBuilder Server::Impl::Answer(const Request& request, StunClass message_class) const {
  return {request.buffer, request.message.method(), message_class,
          request.message.transaction_id()};
}

Outcome Server::Impl::Finish(const Request& request, StunBuilder& answer) {
  if (request.auth.mac_verified) {
    if (request.auth.answer_with_sha256) {
      answer.AddIntegritySha256(request.auth.key.bytes());
    } else {
      answer.AddIntegrity(request.auth.key.bytes());
    }
  }
  if (request.message.Has(kFingerprint)) answer.AddFingerprint();
  const std::span<const uint8_t> bytes = answer.Finish();

  // A right MAC alone doesn't say that the client is where the datagram seems to come from: what
  // was sent once can be sent again under another's address. A right nonce does.
  const bool address_proven = request.auth.mac_verified && !request.auth.error;
  const size_t received = request.message.bytes().size();
  if (!address_proven && bytes.size() > received &&
      !budget_.Spend(request.path.client.ip, static_cast<uint32_t>(bytes.size() - received),
                     request.now.monotonic_ms)) {
    return Drop(Discard::kAnswerBudget);
  }
  return {.kind = Outcome::Kind::kToClient, .path = request.path, .bytes = bytes};
}

Outcome Server::Impl::Reject(const Request& request, StunError error) {
  StunBuilder answer = Answer(request, StunClass::kError);
  answer.AddError(static_cast<int>(error), ReasonPhrase(error));
  if (error == StunError::kUnauthenticated || error == StunError::kStaleNonce) {
    authenticator_.AddChallenge(answer, request.path.client, request.now.monotonic_ms);
  }
  if (error == StunError::kTryAlternate) {
    answer.AddAddress(kAlternateServer, *ChooseAlternate(request.path.client));
  }
  const Outcome outcome = Finish(request, answer);
  if (outcome.kind == Outcome::Kind::kToClient) {
    ++counters_.error_responses[static_cast<size_t>(error)];
  }
  return outcome;
}

std::optional<Outcome> Server::Impl::RejectUnknown(const Request& request) {
  constexpr size_t kMaxListed = 32;
  std::array<uint8_t, 2 * kMaxListed> types;
  size_t size = 0;
  request.message.ForEach([&](const StunAttribute& attribute) {
    if (!IsUnderstood(attribute.type)) {
      StoreBe16(&types[size], static_cast<uint16_t>(attribute.type));
      size += 2;
    }
    return size < types.size();
  });
  if (size == 0) return std::nullopt;
  StunBuilder answer = Answer(request, StunClass::kError);
  answer.AddError(static_cast<int>(StunError::kUnknownAttribute),
                  ReasonPhrase(StunError::kUnknownAttribute));
  answer.Add(kUnknownAttributes, std::span(types).first(size));
  const Outcome outcome = Finish(request, answer);
  if (outcome.kind == Outcome::Kind::kToClient) {
    ++counters_.error_responses[static_cast<size_t>(StunError::kUnknownAttribute)];
  }
  return outcome;
}

std::optional<uint32_t> Server::Impl::RequestedLifetime(const StunMessage& message) const {
  const LifetimeOptions& lifetimes = options_.lifetimes;
  if (!message.Has(kLifetime)) return lifetimes.default_s;
  const std::optional<uint32_t> wanted = message.FindU32(kLifetime);
  if (!wanted || *wanted == 0) return wanted;
  return std::max(lifetimes.default_s, std::min(*wanted, lifetimes.max_s));
}

}  // namespace sotto::relay
