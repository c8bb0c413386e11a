// SPDX-License-Identifier: Apache-2.0
// Long-term credentials (RFC 8489, section 9.2) and time-limited ones.
//
// User names and passwords are taken as they are: for ASCII that is what OpaqueString (RFC 8265)
// makes of them; text beyond ASCII must already be in that form (NFC, no other spaces).
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "relay/stun/attributes.h"

namespace sotto::relay {

// RFC 8489, section 14.3: less than 509 bytes.
constexpr size_t kMaxUsernameSize = 508;

// The key of a MESSAGE-INTEGRITY or MESSAGE-INTEGRITY-SHA256: a hash of
// "username:realm:password" (RFC 8489, section 18.5.1), 16 bytes (MD5) or 32 (SHA-256).
class CredentialKey {
 public:
  CredentialKey() = default;  // the MD5 key of all zeros
  CredentialKey(PasswordAlgorithm algorithm, std::string_view username, std::string_view realm,
                std::string_view password);
  // Of what bytes() gave: 16 or 32.
  explicit CredentialKey(std::span<const uint8_t> bytes) : sha256_(bytes.size() == 32) {
    std::copy(bytes.begin(), bytes.end(), bytes_.begin());
  }

  PasswordAlgorithm algorithm() const {
    return sha256_ ? PasswordAlgorithm::kSha256 : PasswordAlgorithm::kMd5;
  }
  std::span<const uint8_t> bytes() const { return {bytes_.data(), sha256_ ? 32u : 16u}; }

 private:
  std::array<uint8_t, 32> bytes_ = {};
  bool sha256_ = false;
};

// USERHASH (RFC 8489, section 14.4): SHA-256 of "username:realm".
using UserHash = std::array<uint8_t, 32>;
UserHash MakeUserHash(std::string_view username, std::string_view realm);

// A user name of a time-limited credential: "expiry:name" or "expiry", with expiry the last second
// (Unix time, decimal) at which the credential opens an allocation.
struct TimeLimitedName {
  int64_t expiry_unix_s = 0;
  std::string_view name;  // views the user name; all of it if there is no colon
};
std::optional<TimeLimitedName> ParseTimeLimitedName(std::string_view username);

// Its password: base64 of HMAC-SHA1 of the whole user name under the shared secret.
std::string MintTimeLimitedPassword(std::string_view secret, std::string_view username);

}  // namespace sotto::relay
