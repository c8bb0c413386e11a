// SPDX-License-Identifier: Apache-2.0
#include "tools/turn_client/turn_client.h"

#include <fmt/format.h>
#include <openssl/rand.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <utility>

#include "relay/base/big_endian.h"
#include "relay/base/byte_cursor.h"
#include "relay/stun/integrity.h"
#include "relay/wire/channel_data.h"

namespace sotto::tools {
namespace {

using relay::PasswordAlgorithm;
using relay::StunClass;
using relay::StunError;
using relay::StunMessage;
using relay::StunMethod;
using Type = relay::StunAttributeType;

constexpr size_t kMaxRequestSize = 4096;
// RFC 8489, sections 14.3, 14.9 and 14.10.
constexpr size_t kMaxUsernameSize = 508;
constexpr size_t kMaxRealmOrNonceSize = 763;
// Permissions last 300 seconds (RFC 8656, section 9), those of channels too: a minute is left for
// retransmissions.
constexpr uint64_t kRenewPermissionMs = 240'000;
constexpr uint32_t kMaxChallenges = 4;
constexpr uint8_t kUdp = 17;

// Asking for a transaction ID at a time costs OpenSSL more than all else about a request.
void FillRandom(std::span<uint8_t, 12> bytes) {
  thread_local std::array<uint8_t, 12 * 256> pool;
  thread_local size_t used = pool.size();
  if (used == pool.size()) {
    if (RAND_bytes(pool.data(), static_cast<int>(pool.size())) != 1) {
      std::fputs("OpenSSL has no random numbers to give\n", stderr);
      std::abort();
    }
    used = 0;
  }
  std::copy_n(pool.begin() + static_cast<ptrdiff_t>(used), bytes.size(), bytes.begin());
  used += bytes.size();
}

std::string_view MethodName(StunMethod method) {
  switch (method) {
    case StunMethod::kAllocate:
      return "Allocate";
    case StunMethod::kRefresh:
      return "Refresh";
    case StunMethod::kCreatePermission:
      return "CreatePermission";
    case StunMethod::kChannelBind:
      return "ChannelBind";
    default:
      return "request";
  }
}

// Nothing if ERROR-CODE is missing or malformed.
std::optional<int> ErrorCode(const StunMessage& message, std::string_view& reason) {
  const auto attribute = message.Find(Type::kErrorCode);
  if (!attribute || attribute->value.size() < 4) return std::nullopt;
  const int hundreds = attribute->value[2] & 0x07;
  const int number = attribute->value[3];
  if (hundreds < 3 || hundreds > 6 || number > 99) return std::nullopt;
  const auto text = attribute->value.subspan(4);
  reason = {reinterpret_cast<const char*>(text.data()), text.size()};
  return hundreds * 100 + number;
}

// The best of the algorithms that PASSWORD-ALGORITHMS lists (RFC 8489, section 14.11).
std::optional<PasswordAlgorithm> ChooseAlgorithm(std::span<const uint8_t> value) {
  std::optional<PasswordAlgorithm> chosen;
  ByteReader reader(value);
  while (reader.remaining() > 0) {
    uint16_t algorithm = 0;
    uint16_t size = 0;
    reader.ReadU16(algorithm);
    reader.ReadU16(size);
    if (!reader.Skip((size + 3u) & ~3u)) return std::nullopt;
    if (algorithm == static_cast<uint16_t>(PasswordAlgorithm::kSha256)) {
      chosen = PasswordAlgorithm::kSha256;
    } else if (algorithm == static_cast<uint16_t>(PasswordAlgorithm::kMd5) && !chosen) {
      chosen = PasswordAlgorithm::kMd5;
    }
  }
  return chosen;
}

}  // namespace

uint64_t Retransmission::GiveUpAfterMs() const {
  return uint64_t{initial_rto_ms} * ((uint64_t{1} << (max_sends - 1)) - 1 + last_wait_rtos);
}

TurnClient::TurnClient(TurnClientOptions options,
                       std::function<void(std::span<const uint8_t>)> send)
    : options_(std::move(options)), send_(std::move(send)) {
  FillRandom(indication_id_);
}

std::optional<TransportAddress> TurnClient::relayed_address(IpFamily family) const {
  return family == IpFamily::kV4 ? relayed_v4_ : relayed_v6_;
}

std::optional<PasswordAlgorithm> TurnClient::algorithm() const {
  if (!challenge_) return std::nullopt;
  return challenge_->algorithm;
}

void TurnClient::Allocate(uint64_t now_ms) {
  if (options_.credentials.username.size() > kMaxUsernameSize) {
    status_ = absl::InvalidArgumentError(
        fmt::format("the user name has {} bytes; STUN allows {}, so use a shorter one",
                    options_.credentials.username.size(), kMaxUsernameSize));
    state_ = State::kFailed;
    return;
  }
  state_ = State::kAllocating;
  Transaction transaction;
  transaction.method = StunMethod::kAllocate;
  transaction.lifetime_s = options_.lifetime_s;
  Begin(std::move(transaction), now_ms);
}

void TurnClient::CreatePermission(const IpAddress& peer, uint64_t now_ms) {
  permissions_[peer] = UINT64_MAX;
  Transaction transaction;
  transaction.method = StunMethod::kCreatePermission;
  transaction.peer.ip = peer;
  Begin(std::move(transaction), now_ms);
}

void TurnClient::BindChannel(uint16_t number, const TransportAddress& peer, uint64_t now_ms) {
  channels_[number] = {peer, UINT64_MAX};
  Transaction transaction;
  transaction.method = StunMethod::kChannelBind;
  transaction.peer = peer;
  transaction.channel = number;
  Begin(std::move(transaction), now_ms);
}

void TurnClient::Release(uint64_t now_ms) {
  if (state_ == State::kIdle) state_ = State::kReleased;
  if (state_ == State::kAllocating) release_wanted_ = true;
  if (state_ != State::kAllocated) return;
  state_ = State::kReleasing;
  transactions_.clear();
  permissions_.clear();
  channels_.clear();
  renew_ms_ = UINT64_MAX;
  Transaction transaction;
  transaction.method = StunMethod::kRefresh;
  transaction.lifetime_s = 0;
  Begin(std::move(transaction), now_ms);
}

void TurnClient::Begin(Transaction transaction, uint64_t now_ms) {
  transaction.first_sent_ms = now_ms;
  Encode(transaction);
  transactions_.push_back(std::move(transaction));
  SendAgain(transactions_.back(), now_ms);
}

void TurnClient::Encode(Transaction& transaction) {
  FillRandom(transaction.id);
  transaction.sends = 0;
  transaction.authenticated = challenge_.has_value();
  std::array<uint8_t, kMaxRequestSize> buffer;
  relay::StunBuilder builder(buffer, transaction.method, StunClass::kRequest, transaction.id);
  switch (transaction.method) {
    case StunMethod::kAllocate:
      builder.AddU8(Type::kRequestedTransport, kUdp);
      if (options_.families.size() > 1) {
        builder.AddU8(Type::kAdditionalAddressFamily, static_cast<uint8_t>(IpFamily::kV6));
      } else {
        builder.AddU8(Type::kRequestedAddressFamily,
                      static_cast<uint8_t>(options_.families.front()));
      }
      builder.AddU32(Type::kLifetime, transaction.lifetime_s);
      break;
    case StunMethod::kRefresh:
      builder.AddU32(Type::kLifetime, transaction.lifetime_s);
      break;
    case StunMethod::kChannelBind:
      builder.AddU32(Type::kChannelNumber, uint32_t{transaction.channel} << 16);
      builder.AddXorAddress(Type::kXorPeerAddress, transaction.peer);
      break;
    default:
      builder.AddXorAddress(Type::kXorPeerAddress, transaction.peer);
  }
  if (challenge_) {
    const Challenge& challenge = *challenge_;
    if (challenge.use_user_hash) {
      builder.Add(Type::kUserHash, UserHash(options_.credentials.username, challenge.realm));
    } else {
      builder.AddText(Type::kUsername, options_.credentials.username);
    }
    builder.AddText(Type::kRealm, challenge.realm);
    builder.AddText(Type::kNonce, challenge.nonce);
    if (!challenge.password_algorithms.empty()) {
      builder.Add(Type::kPasswordAlgorithms, challenge.password_algorithms);
      builder.AddU32(Type::kPasswordAlgorithm, static_cast<uint32_t>(challenge.algorithm) << 16);
    }
    if (challenge.use_sha256_integrity) {
      builder.AddIntegritySha256(challenge.key);
    } else {
      builder.AddIntegrity(challenge.key);
    }
  }
  builder.AddFingerprint();
  const std::span<const uint8_t> request = builder.Finish();
  transaction.request.assign(request.begin(), request.end());
}

void TurnClient::SendAgain(Transaction& transaction, uint64_t now_ms) {
  const Retransmission& retransmission = options_.retransmission;
  const uint64_t wait = ++transaction.sends < retransmission.max_sends
                            ? uint64_t{1} << (transaction.sends - 1)
                            : retransmission.last_wait_rtos;
  transaction.next_ms = now_ms + wait * retransmission.initial_rto_ms;
  send_(transaction.request);
  UpdateDeadline();
}

std::optional<TurnClient::PeerData> TurnClient::HandleDatagram(std::span<const uint8_t> datagram,
                                                               uint64_t now_ms) {
  if (relay::LooksLikeChannelData(datagram)) {
    const auto parsed = relay::ParseChannelData(datagram);
    if (!parsed) return std::nullopt;
    const auto channel = channels_.find(parsed->number);
    if (channel == channels_.end()) return std::nullopt;
    return PeerData{channel->second.peer, parsed->data, true};
  }
  const auto message = StunMessage::Parse(datagram);
  if (!message || (message->Has(Type::kFingerprint) && !relay::VerifyFingerprint(*message))) {
    return std::nullopt;
  }
  switch (message->message_class()) {
    case StunClass::kIndication:
      return HandleIndication(*message);
    case StunClass::kSuccess:
    case StunClass::kError:
      HandleResponse(*message, now_ms);
      UpdateDeadline();
      return std::nullopt;
    case StunClass::kRequest:
      break;
  }
  return std::nullopt;
}

std::optional<TurnClient::PeerData> TurnClient::HandleIndication(const StunMessage& message) const {
  if (message.method() != StunMethod::kData) return std::nullopt;
  const auto peer = message.FindXorAddress(Type::kXorPeerAddress);
  const auto data = message.Find(Type::kData);
  if (!peer || !data || !permissions_.contains(peer->ip)) return std::nullopt;
  return PeerData{*peer, data->value, false};
}

void TurnClient::HandleResponse(const StunMessage& message, uint64_t now_ms) {
  const auto found =
      std::find_if(transactions_.begin(), transactions_.end(), [&](const Transaction& t) {
        return t.id == message.transaction_id() && t.method == message.method();
      });
  if (found == transactions_.end()) return;
  int code = 0;
  if (message.message_class() == StunClass::kError) {
    std::string_view reason;
    const auto parsed = ErrorCode(message, reason);
    if (!parsed) return;
    code = *parsed;
  }
  // Refusals that come before authentication can't be signed. Anything else unsigned is treated as
  // never received (RFC 8489, section 9.2.5).
  const bool may_be_unsigned = code == 400 || code == 401 || code == 438;
  if (found->authenticated && !may_be_unsigned && !HasValidIntegrity(message)) {
    ++discarded_responses_;
    return;
  }
  if (code != 0) {
    HandleError(found - transactions_.begin(), message, code, now_ms);
    return;
  }
  const Transaction transaction = std::move(*found);
  transactions_.erase(found);
  HandleSuccess(transaction, message, now_ms);
}

void TurnClient::HandleError(size_t index, const StunMessage& message, int code, uint64_t now_ms) {
  Transaction& transaction = transactions_[index];
  // A second 401 says that the credentials are wrong; a 438 that the nonce is too old.
  const bool challenged = (code == 401 && !transaction.authenticated) ||
                          (code == 438 && transaction.challenges < kMaxChallenges);
  if (challenged) {
    if (TakeChallenge(message)) {
      ++transaction.challenges;
      Encode(transaction);
      SendAgain(transaction, now_ms);
      return;
    }
    code = 0;  // status_ says what was wrong with the challenge
  }
  const Transaction failed = std::move(transaction);
  transactions_.erase(transactions_.begin() + static_cast<ptrdiff_t>(index));
  if (code == 437 && state_ == State::kReleasing) {
    state_ = State::kReleased;  // there was nothing left to end
    return;
  }
  std::string_view reason;
  ErrorCode(message, reason);
  if (status_.ok()) error_code_ = code;
  Fail(failed, code == 0 ? status_ : Describe(failed, code, reason));
}

bool TurnClient::TakeChallenge(const StunMessage& message) {
  const auto nonce = message.FindText(Type::kNonce);
  auto realm = message.FindText(Type::kRealm);
  if (!realm && challenge_) realm = challenge_->realm;
  const auto refuse = [&](std::string_view what) {
    status_ = absl::FailedPreconditionError(
        fmt::format("the server {} asks for credentials {}", options_.server.ToString(), what));
    return false;
  };
  if (!nonce || !realm || nonce->size() > kMaxRealmOrNonceSize ||
      realm->size() > kMaxRealmOrNonceSize) {
    return refuse("without a valid realm and nonce; is it a TURN server?");
  }
  Challenge next;
  next.realm = *realm;
  next.nonce = *nonce;
  const SecurityFeatures features = FeaturesOfNonce(*nonce);
  next.use_user_hash = features.username_anonymity;
  if (const auto algorithms = message.Find(Type::kPasswordAlgorithms)) {
    const auto chosen = ChooseAlgorithm(algorithms->value);
    if (!chosen) return refuse("with password algorithms other than MD5 and SHA-256");
    next.password_algorithms.assign(algorithms->value.begin(), algorithms->value.end());
    next.algorithm = *chosen;
    next.use_sha256_integrity = true;
  } else if (features.password_algorithms) {
    return refuse(
        "but its list of password algorithms was removed on the way: an attacker is trying to "
        "weaken the login, so nothing was sent (RFC 8489, section 9.2.1)");
  } else if (challenge_) {
    next.password_algorithms = challenge_->password_algorithms;
    next.algorithm = challenge_->algorithm;
    next.use_sha256_integrity = challenge_->use_sha256_integrity;
  }
  next.key = LongTermKey(next.algorithm, options_.credentials, next.realm);
  challenge_ = std::move(next);
  return true;
}

bool TurnClient::HasValidIntegrity(const StunMessage& message) const {
  return challenge_->use_sha256_integrity ? relay::VerifyIntegritySha256(message, challenge_->key)
                                          : relay::VerifyIntegrity(message, challenge_->key);
}

void TurnClient::HandleSuccess(const Transaction& transaction, const StunMessage& message,
                               uint64_t now_ms) {
  const auto renew_allocation = [&] {
    lifetime_s_ = message.FindU32(Type::kLifetime).value_or(transaction.lifetime_s);
    const uint64_t lifetime_ms = uint64_t{lifetime_s_} * 1000;
    renew_ms_ = now_ms + (lifetime_s_ >= 120 ? lifetime_ms - 60'000 : lifetime_ms / 2);
  };
  switch (transaction.method) {
    case StunMethod::kAllocate:
      renew_allocation();
      HandleAllocated(message, now_ms);
      break;
    case StunMethod::kRefresh:
      if (state_ == State::kReleasing) {
        state_ = State::kReleased;
      } else {
        renew_allocation();
      }
      break;
    case StunMethod::kCreatePermission:
      permissions_[transaction.peer.ip] = now_ms + kRenewPermissionMs;
      break;
    case StunMethod::kChannelBind:
      channels_[transaction.channel].renew_ms = now_ms + kRenewPermissionMs;
      break;
    default:
      break;
  }
}

void TurnClient::HandleAllocated(const StunMessage& message, uint64_t now_ms) {
  state_ = State::kAllocated;
  mapped_ = message.FindXorAddress(Type::kXorMappedAddress);
  message.ForEach([&](const relay::StunAttribute& attribute) {
    if (attribute.type != Type::kXorRelayedAddress) return true;
    if (const auto address = relay::DecodeXorAddress(attribute.value, message.transaction_id())) {
      (address->ip.is_v4() ? relayed_v4_ : relayed_v6_) = *address;
    }
    return true;
  });
  for (const IpFamily family : options_.families) {
    if (relayed_address(family) || !status_.ok()) continue;
    status_ = absl::FailedPreconditionError(fmt::format(
        "the server {} gave no IPv{} relayed address; request another family, or give the relay an "
        "address of this family",
        options_.server.ToString(), family == IpFamily::kV4 ? 4 : 6));
  }
  if (release_wanted_) Release(now_ms);
}

void TurnClient::Fail(const Transaction& transaction, absl::Status status) {
  if (status_.ok()) status_ = std::move(status);
  if (transaction.method == StunMethod::kAllocate || state_ == State::kReleasing) {
    state_ = State::kFailed;
  }
}

absl::Status TurnClient::Describe(const Transaction& transaction, int code,
                                  std::string_view reason) const {
  const std::string server = options_.server.ToString();
  const std::string& user = options_.credentials.username;
  switch (static_cast<StunError>(code)) {
    case StunError::kTryAlternate:
      return absl::UnavailableError(fmt::format(
          "the server {} redirects clients (300); use the server that it names", server));
    case StunError::kUnauthenticated:
      return absl::UnauthenticatedError(fmt::format(
          "the server {} refused the credentials of user \"{}\" in realm \"{}\" (401); check the "
          "user name and the password, or the shared secret and both clocks",
          server, user, challenge_ ? challenge_->realm : ""));
    case StunError::kForbidden:
      return absl::PermissionDeniedError(
          transaction.method == StunMethod::kAllocate
              ? fmt::format("the server {} forbids user \"{}\" to allocate (403); check what it "
                            "permits this user",
                            server, user)
              : fmt::format("the server {} forbids the peer {} (403); check its peer policy",
                            server, transaction.peer.ip.ToString()));
    case StunError::kAllocationMismatch:
      return absl::FailedPreconditionError(
          transaction.method == StunMethod::kAllocate
              ? fmt::format("the server {} already holds an allocation for this client address "
                            "(437); use another local port, or wait until it expires",
                            server)
              : fmt::format("the server {} no longer knows the allocation at {} (437); it has "
                            "expired, or the server was restarted",
                            server, MethodName(transaction.method)));
    case StunError::kAddressFamilyNotSupported:
      return absl::FailedPreconditionError(
          fmt::format("the server {} has no relayed address of the requested family (440); request "
                      "another family, or give the relay an address of this family",
                      server));
    case StunError::kAllocationQuotaReached:
      return absl::ResourceExhaustedError(
          fmt::format("the server {} allows user \"{}\" no more allocations (486); make fewer "
                      "calls, or raise its quota per user",
                      server, user));
    case StunError::kInsufficientCapacity:
      return absl::ResourceExhaustedError(
          fmt::format("the server {} is full (508); make fewer calls, or give it more relay ports "
                      "and allocations",
                      server));
    default:
      return absl::FailedPreconditionError(
          fmt::format("the server {} answered {} with {} {}; its log says more", server,
                      MethodName(transaction.method), code, reason));
  }
}

void TurnClient::Poll(uint64_t now_ms) {
  for (size_t i = 0; i < transactions_.size();) {
    Transaction& transaction = transactions_[i];
    if (transaction.next_ms > now_ms) {
      ++i;
    } else if (transaction.sends < options_.retransmission.max_sends) {
      SendAgain(transaction, now_ms);
      ++i;
    } else {
      const Transaction failed = std::move(transaction);
      transactions_.erase(transactions_.begin() + static_cast<ptrdiff_t>(i));
      Fail(failed,
           absl::DeadlineExceededError(fmt::format(
               "no {} from {} to {} in {:.1f} seconds; {}",
               discarded_responses_ > 0 ? "authentic answer" : "answer", options_.server.ToString(),
               MethodName(failed.method), static_cast<double>(now_ms - failed.first_sent_ms) / 1000,
               discarded_responses_ > 0
                   ? "answers came without valid integrity: does the server know the same password?"
                   : "is a TURN server listening there, and does UDP get through?")));
    }
  }
  if (state_ == State::kAllocated) RenewWhatIsDue(now_ms);
  UpdateDeadline();
}

void TurnClient::RenewWhatIsDue(uint64_t now_ms) {
  if (renew_ms_ <= now_ms) {
    renew_ms_ = UINT64_MAX;
    Transaction transaction;
    transaction.method = StunMethod::kRefresh;
    transaction.lifetime_s = options_.lifetime_s;
    Begin(std::move(transaction), now_ms);
  }
  for (auto& [peer, renew_ms] : permissions_) {
    if (renew_ms <= now_ms) CreatePermission(peer, now_ms);
  }
  for (auto& [number, channel] : channels_) {
    if (channel.renew_ms <= now_ms) BindChannel(number, channel.peer, now_ms);
  }
}

void TurnClient::UpdateDeadline() {
  deadline_ms_ = renew_ms_;
  for (const Transaction& t : transactions_) deadline_ms_ = std::min(deadline_ms_, t.next_ms);
  for (const auto& [peer, renew_ms] : permissions_) {
    deadline_ms_ = std::min(deadline_ms_, renew_ms);
  }
  for (const auto& [number, channel] : channels_) {
    deadline_ms_ = std::min(deadline_ms_, channel.renew_ms);
  }
}

size_t TurnClient::EncodeSendIndication(const TransportAddress& peer, std::span<const uint8_t> data,
                                        std::span<uint8_t> out) {
  StoreBe64(&indication_id_[4], LoadBe64(&indication_id_[4]) + 1);
  relay::StunBuilder builder(out, StunMethod::kSend, StunClass::kIndication, indication_id_);
  builder.AddXorAddress(Type::kXorPeerAddress, peer);
  builder.Add(Type::kData, data);
  return builder.Finish().size();
}

}  // namespace sotto::tools
