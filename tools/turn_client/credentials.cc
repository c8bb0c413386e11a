// SPDX-License-Identifier: Apache-2.0
#include "tools/turn_client/credentials.h"

#include <fmt/format.h>
#include <openssl/evp.h>

#include <array>
#include <cstdio>
#include <cstdlib>
#include <span>

#include "absl/strings/escaping.h"
#include "relay/stun/integrity.h"

namespace sotto::tools {
namespace {

// RFC 8489, section 9.2.
constexpr std::string_view kNonceCookie = "obMatJos2";
constexpr size_t kFeaturesSize = 4;  // base64 of 24 bits

std::span<const uint8_t> Bytes(std::string_view text) {
  return {reinterpret_cast<const uint8_t*>(text.data()), text.size()};
}

// Fetched once: EVP_sha256() and its like look the algorithm up at every use.
const EVP_MD* Sha256() {
  static const EVP_MD* const algorithm = EVP_MD_fetch(nullptr, "SHA256", nullptr);
  return algorithm;
}
const EVP_MD* Md5() {
  static const EVP_MD* const algorithm = EVP_MD_fetch(nullptr, "MD5", nullptr);
  return algorithm;
}

std::vector<uint8_t> Digest(const EVP_MD* algorithm, std::string_view text) {
  std::vector<uint8_t> digest(EVP_MAX_MD_SIZE);
  unsigned size = 0;
  if (algorithm == nullptr ||
      EVP_Digest(text.data(), text.size(), digest.data(), &size, algorithm, nullptr) != 1) {
    std::fputs("OpenSSL can't compute MD5 or SHA-256; is its provider disabled (FIPS)?\n", stderr);
    std::abort();
  }
  digest.resize(size);
  return digest;
}

}  // namespace

Credentials TimeLimitedCredentials(std::string_view secret, int64_t expiry, std::string_view name) {
  Credentials credentials;
  credentials.username = fmt::format("{}:{}", expiry, name);
  std::array<uint8_t, 20> mac;
  const std::span<const uint8_t> parts[] = {Bytes(credentials.username)};
  relay::HmacSha1(Bytes(secret), parts, mac);
  credentials.password =
      absl::Base64Escape(absl::string_view(reinterpret_cast<const char*>(mac.data()), mac.size()));
  return credentials;
}

std::vector<uint8_t> LongTermKey(relay::PasswordAlgorithm algorithm, const Credentials& credentials,
                                 std::string_view realm) {
  const EVP_MD* digest = algorithm == relay::PasswordAlgorithm::kSha256 ? Sha256() : Md5();
  return Digest(digest, fmt::format("{}:{}:{}", credentials.username, realm, credentials.password));
}

std::vector<uint8_t> UserHash(std::string_view username, std::string_view realm) {
  return Digest(Sha256(), fmt::format("{}:{}", username, realm));
}

SecurityFeatures FeaturesOfNonce(std::string_view nonce) {
  if (!nonce.starts_with(kNonceCookie) || nonce.size() < kNonceCookie.size() + kFeaturesSize) {
    return {};
  }
  std::string bits;
  if (!absl::Base64Unescape(absl::string_view(nonce.data() + kNonceCookie.size(), kFeaturesSize),
                            &bits) ||
      bits.size() != 3) {
    return {};
  }
  // Bit 0 is the leftmost one.
  const uint8_t first = static_cast<uint8_t>(bits[0]);
  return {.password_algorithms = (first & 0x80) != 0, .username_anonymity = (first & 0x40) != 0};
}

}  // namespace sotto::tools
