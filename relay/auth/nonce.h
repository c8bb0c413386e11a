// SPDX-License-Identifier: Apache-2.0
// Nonces without state (RFC 8489, section 9.2): a nonce says by itself when it was made, for whom,
// and which security features the server had announced, under a MAC whose key never leaves the
// process.
//
//   "obMatJos2"  base64(features: 3 bytes)  base64(second of issue: 4 bytes | MAC: 8 bytes)
//
// 29 characters. The MAC is HMAC-SHA256, truncated, over features, second, and the client's
// address and port, so a nonce is worth nothing anywhere else, and a client that was told of fewer
// features than the server has can't be answered.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>

#include "relay/base/ip_address.h"
#include "relay/base/random.h"

namespace sotto::relay {

constexpr std::string_view kNonceCookie = "obMatJos2";
constexpr size_t kNonceSize = 29;

// STUN Security Features (RFC 8489, section 18.1), bit 0 being the leftmost of the 24.
enum SecurityFeature : uint32_t {
  kPasswordAlgorithmsFeature = 1u << 23,
  kUsernameAnonymityFeature = 1u << 22,
};

// The features that a nonce announces; 0 if it has no nonce cookie.
uint32_t NonceFeatures(std::string_view nonce);

class NonceMaker {
 public:
  // `features`: bits of SecurityFeature. Each maker draws a key of its own.
  NonceMaker(uint32_t features, uint32_t lifetime_s, Random& random);

  // Nonces that were made before are good under the new rules, if they announced the same features.
  void Reconfigure(uint32_t features, uint32_t lifetime_s) {
    features_ = features;
    lifetime_s_ = lifetime_s;
  }

  using Text = std::array<char, kNonceSize>;
  Text Make(const TransportAddress& client, uint64_t now_ms) const;
  // Whether this maker made it for this client less than a lifetime ago.
  bool Valid(std::string_view nonce, const TransportAddress& client, uint64_t now_ms) const;

 private:
  Text MakeAt(const TransportAddress& client, uint32_t second) const;

  uint32_t features_;
  uint32_t lifetime_s_;
  std::array<uint8_t, 32> key_;
};

}  // namespace sotto::relay
