// SPDX-License-Identifier: Apache-2.0
// Identities for development: JWTs for whoever asks, signed by a key that the server made itself.
// Whoever can reach it can be anybody.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "signaling/identity/identity_verifier.h"

namespace sotto::signaling {

constexpr int64_t kDevelopmentIdentitySeconds = 24 * 3600;

class DevelopmentIssuer {
 public:
  // A new P-256 private key, in PEM.
  static absl::StatusOr<std::string> MakePrivateKey();

  // `private_key` is PEM of a P-256 key, `name` what messages call it. Identities carry `options`'
  // issuer and first audience, so that a verifier with the same options takes them.
  static absl::StatusOr<DevelopmentIssuer> Create(std::string_view private_key,
                                                  std::string_view name,
                                                  const IdentityOptions& options);

  // An ES256 JWT, valid for a day from `unix_s`.
  absl::StatusOr<std::string> Issue(const AccountId& account, int64_t unix_s) const;

  const IdentityKeys& public_keys() const { return public_keys_; }

 private:
  DevelopmentIssuer() = default;
  std::string private_key_;
  IdentityKeys public_keys_;
  std::string issuer_;
  std::string audience_;
};

}  // namespace sotto::signaling
