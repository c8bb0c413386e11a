// SPDX-License-Identifier: Apache-2.0
// Who a client is: a JWT (RFC 7519) that the operator signed, whose `sub` is the account.
//
// ES256 (ECDSA on P-256) and RS256 (RSA of 2048 bits at least), and nothing else. Which algorithm
// applies is said by the key, never by the token: a token whose `alg` isn't that of a configured
// key is refused before its signature is looked at, "none" and HMAC under a public key included.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "signaling/identity/account.h"
#include "signaling/identity/identity_fault.h"

namespace sotto::signaling {

constexpr size_t kMaxIdentitySize = 8 * 1024;  // of a JWT, in bytes
constexpr size_t kMaxIdentityKeys = 16;
constexpr int64_t kIdentityLeewaySeconds = 60;  // how far the operator's clock may be off

// Public keys that the operator signs with.
class IdentityKeys {
 public:
  // A PEM file's text: one or several "PUBLIC KEY" blocks (RFC 7468, section 13). `name` is what
  // messages call it. INVALID_ARGUMENT: no key, a private key, a curve other than P-256, RSA of
  // less than 2048 bits, another kind of key, or too many.
  static absl::StatusOr<IdentityKeys> Parse(std::string_view pem, std::string_view name);

  void Add(const IdentityKeys& other);
  size_t size() const { return keys_.size(); }

 private:
  friend class IdentityVerifier;
  struct Key {
    bool elliptic = false;  // ES256; else RS256
    std::string pem;
  };
  std::vector<Key> keys_;
};

struct IdentityOptions {
  std::string issuer;                  // what `iss` must be; empty: anything
  std::vector<std::string> audiences;  // `aud` must have one of them; empty: anything
  bool operator==(const IdentityOptions&) const = default;
};

struct VerifiedIdentity {
  VerifiedAccount account;
  int64_t valid_until_unix_s = 0;  // `exp` and the leeway
};

class IdentityVerifier {
 public:
  IdentityVerifier(IdentityOptions options, IdentityKeys keys);

  // UNAUTHENTICATED, with a few words of ours that may be shown to the client; FaultOf() has it in
  // one.
  absl::StatusOr<VerifiedIdentity> Verify(std::string_view jwt, int64_t unix_s) const;

  static IdentityFault FaultOf(const absl::Status& refused);

  // From the thread that verifies.
  void Set(IdentityOptions options, IdentityKeys keys) {
    options_ = std::move(options);
    keys_ = std::move(keys);
  }
  const IdentityOptions& options() const { return options_; }

 private:
  IdentityOptions options_;
  IdentityKeys keys_;
};

}  // namespace sotto::signaling
