// SPDX-License-Identifier: Apache-2.0
// Mints identities as an operator does: JWTs signed with ES256 (RFC 7518, section 3.4).
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace sotto::tools {

class IdentityMinter {
 public:
  // A PEM file with a P-256 private key. INVALID_ARGUMENT if it isn't one.
  static absl::StatusOr<IdentityMinter> Load(const std::string& pem_file);
  IdentityMinter(IdentityMinter&&) noexcept;
  ~IdentityMinter();

  // Valid from `unix_s` on for `lifetime_s`. `issuer` and `audience` are left out when empty.
  std::string Mint(std::string_view account, int64_t unix_s, int64_t lifetime_s,
                   std::string_view issuer = "", std::string_view audience = "") const;

 private:
  struct Key;
  explicit IdentityMinter(std::unique_ptr<Key> key);
  std::unique_ptr<Key> key_;
};

}  // namespace sotto::tools
