// SPDX-License-Identifier: Apache-2.0
#include "relay/auth/authenticator.h"

#include <algorithm>
#include <array>
#include <utility>

#include "relay/base/big_endian.h"
#include "relay/stun/integrity.h"

namespace sotto::relay {
namespace {

using enum StunAttributeType;

uint32_t FeaturesOf(const AuthenticatorOptions& options) {
  uint32_t features = kPasswordAlgorithmsFeature;
  // A client that sees this bit must send USERHASH, from which the user name of a time-limited
  // credential can't be had: so it is set only where all users are known.
  if (!options.users.empty() && options.shared_secrets.empty()) {
    features |= kUsernameAnonymityFeature;
  }
  return features;
}

// The value of PASSWORD-ALGORITHMS (RFC 8489, section 14.11), in the order of preference.
std::vector<uint8_t> OfferedAlgorithms(bool require_sha256) {
  constexpr uint8_t kSha256 = static_cast<uint8_t>(PasswordAlgorithm::kSha256);
  constexpr uint8_t kMd5 = static_cast<uint8_t>(PasswordAlgorithm::kMd5);
  if (require_sha256) return {0, kSha256, 0, 0};
  return {0, kSha256, 0, 0, 0, kMd5, 0, 0};
}

bool MacMatches(const StunMessage& request, const CredentialKey& key) {
  return request.Has(kMessageIntegritySha256) ? VerifyIntegritySha256(request, key.bytes())
                                              : VerifyIntegrity(request, key.bytes());
}

}  // namespace

Authenticator::Authenticator(AuthenticatorOptions options, Random& random)
    : realm_(std::move(options.realm)),
      shared_secrets_(options.shared_secrets),
      require_sha256_(options.require_sha256),
      offered_algorithms_(OfferedAlgorithms(options.require_sha256)),
      nonces_(FeaturesOf(options), options.nonce_lifetime_s, random) {
  TakeUsers(options.users, {});
  std::array<char, 32> password;
  random.Fill({reinterpret_cast<uint8_t*>(password.data()), password.size()});
  const std::string_view secret(password.data(), password.size());
  nobody_.md5 = CredentialKey(PasswordAlgorithm::kMd5, "", realm_, secret);
  nobody_.sha256 = CredentialKey(PasswordAlgorithm::kSha256, "", realm_, secret);
}

void Authenticator::TakeUsers(const Users& users, const Users& before) {
  std::vector<User> known = std::exchange(users_, {});
  const auto known_by_name = std::exchange(by_name_, {});
  by_hash_.clear();
  users_.reserve(users.size());
  for (const auto& [name, password] : users) {
    const auto was = before.find(name);
    if (was != before.end() && was->second == password) {
      users_.push_back(std::move(known[known_by_name.at(name)]));
    } else {
      users_.push_back({name, MakeUserHash(name, realm_),
                        CredentialKey(PasswordAlgorithm::kMd5, name, realm_, password),
                        CredentialKey(PasswordAlgorithm::kSha256, name, realm_, password)});
    }
    by_name_.emplace(name, users_.size() - 1);
    by_hash_.emplace(users_.back().hash, users_.size() - 1);
  }
}

void Authenticator::Reconfigure(const AuthenticatorOptions& options, const Users& before) {
  shared_secrets_ = options.shared_secrets;
  nonces_.Reconfigure(FeaturesOf(options), options.nonce_lifetime_s);
  TakeUsers(options.users, before);
}

void Authenticator::AddChallenge(StunBuilder& response, const TransportAddress& client,
                                 uint64_t now_ms) const {
  const NonceMaker::Text nonce = nonces_.Make(client, now_ms);
  response.AddText(kRealm, realm_);
  response.AddText(kNonce, {nonce.data(), nonce.size()});
  response.Add(kPasswordAlgorithms, offered_algorithms_);
}

std::optional<PasswordAlgorithm> Authenticator::ChooseAlgorithm(const StunMessage& request,
                                                                std::string_view nonce) const {
  const auto chosen = request.Find(kPasswordAlgorithm);
  const auto offered = request.Find(kPasswordAlgorithms);
  if (!chosen && !offered) return PasswordAlgorithm::kMd5;

  std::optional<PasswordAlgorithm> algorithm;
  if (chosen) {
    for (size_t i = 0; i + 4 <= offered_algorithms_.size(); i += 4) {
      const std::span entry = std::span(offered_algorithms_).subspan(i, 4);
      if (std::ranges::equal(chosen->value, entry)) {
        algorithm = static_cast<PasswordAlgorithm>(LoadBe16(entry.data()));
      }
    }
  }
  // Without the cookie the nonce isn't ours, and the answer will be 438 at best: the attributes
  // are held against the client only with it (RFC 8489, section 9.2.4).
  if ((NonceFeatures(nonce) & kPasswordAlgorithmsFeature) == 0) {
    return algorithm.value_or(PasswordAlgorithm::kMd5);
  }
  if (!offered || !std::ranges::equal(offered->value, offered_algorithms_)) return std::nullopt;
  return algorithm;
}

// A user who was taken away since is known by USERHASH to the allocation alone.
bool Authenticator::MeansRunning(const StunMessage& request,
                                 const RunningCredential& running) const {
  const auto hash = request.Find(kUserHash);
  return hash && !request.Has(kUsername) &&
         std::ranges::equal(hash->value, MakeUserHash(running.username, realm_));
}

const Authenticator::User* Authenticator::FindUser(const StunMessage& request,
                                                   std::string_view& username) const {
  if (const auto text = request.FindText(kUsername)) {
    username = *text;
    const auto found = by_name_.find(absl::string_view(text->data(), text->size()));
    return found == by_name_.end() ? nullptr : &users_[found->second];
  }
  const auto hash = request.Find(kUserHash);
  UserHash key;
  if (!hash || hash->value.size() != key.size()) return nullptr;
  std::copy(hash->value.begin(), hash->value.end(), key.begin());
  const auto found = by_hash_.find(key);
  if (found == by_hash_.end()) return nullptr;
  username = users_[found->second].name;
  return &users_[found->second];
}

bool Authenticator::VerifyMac(const StunMessage& request, PasswordAlgorithm algorithm,
                              const User* user, const RunningCredential* running,
                              Authentication& result) const {
  const auto accept = [&](const CredentialKey& key) {
    if (!MacMatches(request, key)) return false;
    result.key = key;
    return true;
  };
  if (running != nullptr && !result.username.empty() && running->username == result.username &&
      running->key.algorithm() == algorithm && accept(running->key)) {
    return true;
  }
  // From here on the work doesn't depend on who is asked for, until a MAC is right.
  const User& candidate = user != nullptr ? *user : nobody_;
  const bool is_static =
      accept(algorithm == PasswordAlgorithm::kMd5 ? candidate.md5 : candidate.sha256);
  if (is_static && user != nullptr) return true;
  const bool can_be_time_limited =
      user == nullptr && request.Has(kUsername) && result.expiry_unix_s.has_value();
  for (const std::string& secret : shared_secrets_) {
    const std::string password = MintTimeLimitedPassword(secret, result.username);
    const bool matches = accept(CredentialKey(algorithm, result.username, realm_, password));
    if (matches && can_be_time_limited) return true;
  }
  return false;
}

Authentication Authenticator::Authenticate(const StunMessage& request,
                                           const TransportAddress& client, uint64_t now_ms,
                                           const RunningCredential* running) const {
  Authentication result;
  const bool sha256 = request.Has(kMessageIntegritySha256);
  if (!sha256 && !request.Has(kMessageIntegrity)) {
    result.error = StunError::kUnauthenticated;
    return result;
  }
  const auto nonce = request.FindText(kNonce);
  if ((!request.Has(kUsername) && !request.Has(kUserHash)) || !request.Has(kRealm) || !nonce) {
    result.error = StunError::kBadRequest;
    return result;
  }
  const std::optional<PasswordAlgorithm> algorithm = ChooseAlgorithm(request, *nonce);
  if (!algorithm) {
    result.error = StunError::kBadRequest;
    return result;
  }
  result.answer_with_sha256 =
      sha256 || request.Has(kPasswordAlgorithm) || request.Has(kPasswordAlgorithms);

  const User* const user = FindUser(request, result.username);
  if (running != nullptr && result.username.empty() && MeansRunning(request, *running)) {
    result.username = running->username;
  }
  if (result.username.size() > kMaxUsernameSize) result.username = {};
  result.name = result.username;
  if (user == nullptr && !shared_secrets_.empty()) {
    if (const auto parsed = ParseTimeLimitedName(result.username)) {
      result.name = parsed->name;
      result.expiry_unix_s = parsed->expiry_unix_s;
    }
  }
  const bool weak = require_sha256_ && (!sha256 || *algorithm != PasswordAlgorithm::kSha256);
  if (!VerifyMac(request, *algorithm, user, running, result) || weak) {
    result.error = StunError::kUnauthenticated;
    return result;
  }
  result.mac_verified = true;
  if (!nonces_.Valid(*nonce, client, now_ms)) result.error = StunError::kStaleNonce;
  return result;
}

}  // namespace sotto::relay
