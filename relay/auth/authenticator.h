// SPDX-License-Identifier: Apache-2.0
// Authenticates requests by the long-term credential mechanism (RFC 8489, section 9.2.4).
//
// Two sources of credentials: static users, and time-limited credentials under one of several
// shared secrets. Keeps no state for any client. One thread only.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "relay/auth/credential.h"
#include "relay/auth/nonce.h"
#include "relay/base/random.h"
#include "relay/stun/message.h"

namespace sotto::relay {

struct AuthenticatorOptions {
  std::string realm;
  std::map<std::string, std::string> users;  // name to password
  std::vector<std::string> shared_secrets;
  uint32_t nonce_lifetime_s = 3600;
  // Offer SHA-256 alone: a request whose key is an MD5, or whose MAC is a SHA-1, gets 401.
  bool require_sha256 = false;
};

// The credential that a running allocation goes on with, whatever has become of it since.
struct RunningCredential {
  std::string_view username;
  CredentialKey key;
};

struct Authentication {
  // Nothing if the request is authentic; else 400, 401 or 438.
  std::optional<StunError> error;
  // The request's MAC was right (so for 438 as well): answers carry integrity under `key`.
  bool mac_verified = false;
  bool answer_with_sha256 = false;  // MESSAGE-INTEGRITY-SHA256 rather than MESSAGE-INTEGRITY
  // The user name as sent, or the one that USERHASH stands for. Views the request or the
  // authenticator.
  std::string_view username;
  // What the user name names: for a time-limited credential what follows the expiry.
  std::string_view name;
  std::optional<int64_t> expiry_unix_s;  // of a time-limited credential
  CredentialKey key;
};

class Authenticator {
 public:
  Authenticator(AuthenticatorOptions options, Random& random);

  using Users = std::map<std::string, std::string>;
  // Other users than those of `before`, secrets and lifetime of nonces; `realm` and
  // `require_sha256`, which clients were told of, must be as they were. Nonces that clients hold
  // stay good.
  void Reconfigure(const AuthenticatorOptions& options, const Users& before);

  // A credential that has expired is still authentic; whoever lets it in decides by
  // `expiry_unix_s`. An unknown user and a wrong password take the same work.
  Authentication Authenticate(const StunMessage& request, const TransportAddress& client,
                              uint64_t now_ms, const RunningCredential* running) const;

  // Adds REALM, NONCE and PASSWORD-ALGORITHMS, as 401 and 438 carry them.
  void AddChallenge(StunBuilder& response, const TransportAddress& client, uint64_t now_ms) const;

 private:
  struct User {
    std::string name;
    UserHash hash;
    CredentialKey md5;
    CredentialKey sha256;
  };

  // Those who stood in `before` with the same password needn't have their keys derived again, which
  // takes long with many.
  void TakeUsers(const Users& users, const Users& before);
  const User* FindUser(const StunMessage& request, std::string_view& username) const;
  bool MeansRunning(const StunMessage& request, const RunningCredential& running) const;
  // Finds the key under which the request's MAC is right.
  bool VerifyMac(const StunMessage& request, PasswordAlgorithm algorithm, const User* user,
                 const RunningCredential* running, Authentication& result) const;
  // The algorithm of the key, or nothing if the request contradicts what it was offered.
  std::optional<PasswordAlgorithm> ChooseAlgorithm(const StunMessage& request,
                                                   std::string_view nonce) const;

  std::string realm_;
  std::vector<std::string> shared_secrets_;
  bool require_sha256_;
  std::vector<uint8_t> offered_algorithms_;  // the value of PASSWORD-ALGORITHMS
  NonceMaker nonces_;
  std::vector<User> users_;
  absl::flat_hash_map<std::string, size_t> by_name_;
  absl::flat_hash_map<UserHash, size_t> by_hash_;
  User nobody_;  // keys that no password has
};

}  // namespace sotto::relay
