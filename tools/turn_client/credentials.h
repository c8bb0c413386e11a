// SPDX-License-Identifier: Apache-2.0
// What a TURN client authenticates with, and the keys that are made from it (RFC 8489, section
// 9.2.2; time-limited credentials in the form that coturn's use-auth-secret made standard).
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "relay/stun/attributes.h"

namespace sotto::tools {

// User name and password are used as they are: who takes them from people prepares them first
// (RFC 8265, OpaqueString). ASCII needs no preparation.
struct Credentials {
  std::string username;
  std::string password;
};

// User name "expiry:name" and the base64 HMAC-SHA1 of it under `secret`; `expiry` is in Unix
// seconds.
Credentials TimeLimitedCredentials(std::string_view secret, int64_t expiry, std::string_view name);

// The key for MESSAGE-INTEGRITY and MESSAGE-INTEGRITY-SHA256: 16 bytes with MD5, 32 with SHA-256.
std::vector<uint8_t> LongTermKey(relay::PasswordAlgorithm algorithm, const Credentials& credentials,
                                 std::string_view realm);

// The value of USERHASH (RFC 8489, section 14.4): 32 bytes.
std::vector<uint8_t> UserHash(std::string_view username, std::string_view realm);

// STUN Security Features that a nonce announces (RFC 8489, sections 9.2 and 18.1).
struct SecurityFeatures {
  bool password_algorithms = false;
  bool username_anonymity = false;
};

// Nothing is announced by a nonce without the nonce cookie.
SecurityFeatures FeaturesOfNonce(std::string_view nonce);

}  // namespace sotto::tools
