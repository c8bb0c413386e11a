// SPDX-License-Identifier: Apache-2.0
#include "relay/auth/nonce.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>

#include <algorithm>
#include <cstring>

#include "relay/base/big_endian.h"
#include "relay/stun/integrity.h"

namespace sotto::relay {
namespace {

constexpr size_t kFeaturesSize = 4;  // characters
constexpr size_t kStampSize = 16;
constexpr size_t kMacSize = 8;
static_assert(kNonceCookie.size() + kFeaturesSize + kStampSize == kNonceSize);

constexpr int kNotBase64 = -1;

// Decodes `text`, whose length is a multiple of four, without padding; false if it isn't base64.
template <size_t kSize>
bool DecodeBase64(std::string_view text, std::array<uint8_t, kSize>& out) {
  return EVP_DecodeBlock(out.data(), reinterpret_cast<const uint8_t*>(text.data()),
                         static_cast<int>(text.size())) != kNotBase64;
}

}  // namespace

uint32_t NonceFeatures(std::string_view nonce) {
  if (nonce.size() < kNonceCookie.size() + kFeaturesSize || !nonce.starts_with(kNonceCookie)) {
    return 0;
  }
  std::array<uint8_t, 3> bytes = {};
  if (!DecodeBase64(nonce.substr(kNonceCookie.size(), kFeaturesSize), bytes)) return 0;
  return uint32_t{bytes[0]} << 16 | uint32_t{bytes[1]} << 8 | bytes[2];
}

NonceMaker::NonceMaker(uint32_t features, uint32_t lifetime_s, Random& random)
    : features_(features), lifetime_s_(lifetime_s) {
  random.Fill(key_);
}

NonceMaker::Text NonceMaker::MakeAt(const TransportAddress& client, uint32_t second) const {
  std::array<uint8_t, 4> features;
  StoreBe32(features.data(), features_ << 8);
  std::array<uint8_t, 4 + kMacSize> stamp;
  StoreBe32(stamp.data(), second);

  std::array<uint8_t, 3> endpoint;
  endpoint[0] = static_cast<uint8_t>(client.ip.family());
  StoreBe16(&endpoint[1], client.port);
  const std::span<const uint8_t> parts[] = {std::span(features).first(3), std::span(stamp).first(4),
                                            endpoint, client.ip.bytes()};
  std::array<uint8_t, 32> mac;
  HmacSha256(key_, parts, mac);
  std::copy_n(mac.begin(), kMacSize, stamp.begin() + 4);

  // OpenSSL ends each block with a NUL that the next one overwrites.
  std::array<uint8_t, kNonceSize + 1> text;
  std::memcpy(text.data(), kNonceCookie.data(), kNonceCookie.size());
  EVP_EncodeBlock(&text[kNonceCookie.size()], features.data(), 3);
  EVP_EncodeBlock(&text[kNonceCookie.size() + kFeaturesSize], stamp.data(), stamp.size());
  Text nonce;
  std::copy_n(text.begin(), kNonceSize, nonce.begin());
  return nonce;
}

NonceMaker::Text NonceMaker::Make(const TransportAddress& client, uint64_t now_ms) const {
  return MakeAt(client, static_cast<uint32_t>(now_ms / 1000));
}

bool NonceMaker::Valid(std::string_view nonce, const TransportAddress& client,
                       uint64_t now_ms) const {
  if (nonce.size() != kNonceSize) return false;
  std::array<uint8_t, 4 + kMacSize> stamp = {};
  if (!DecodeBase64(nonce.substr(kNonceSize - kStampSize), stamp)) return false;
  const uint32_t second = LoadBe32(stamp.data());
  const Text expected = MakeAt(client, second);
  if (CRYPTO_memcmp(expected.data(), nonce.data(), kNonceSize) != 0) return false;
  // A nonce is never from the future: unsigned, that is an age beyond any lifetime.
  return static_cast<uint32_t>(now_ms / 1000) - second < lifetime_s_;
}

}  // namespace sotto::relay
