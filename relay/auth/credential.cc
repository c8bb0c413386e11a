// SPDX-License-Identifier: Apache-2.0
#include "relay/auth/credential.h"

#include <openssl/evp.h>

#include <algorithm>
#include <cstdlib>

#include "relay/stun/integrity.h"

namespace sotto::relay {
namespace {

std::span<const uint8_t> AsBytes(std::string_view text) {
  return {reinterpret_cast<const uint8_t*>(text.data()), text.size()};
}

// Kept per thread: OpenSSL's one-shot functions look the algorithm up and allocate each time.
class Digest {
 public:
  // "provider" MD5 is absent under FIPS, where the process can't serve these clients at all.
  explicit Digest(const char* name)
      : digest_(EVP_MD_fetch(nullptr, name, nullptr)), context_(EVP_MD_CTX_new()) {
    if (digest_ == nullptr || context_ == nullptr) std::abort();
  }
  ~Digest() {
    EVP_MD_CTX_free(context_);
    EVP_MD_free(digest_);
  }
  Digest(const Digest&) = delete;
  Digest& operator=(const Digest&) = delete;

  // The digest of the parts with a colon between each two.
  void OfJoined(std::initializer_list<std::string_view> parts, uint8_t* out) {
    EVP_DigestInit_ex2(context_, digest_, nullptr);
    bool first = true;
    for (std::string_view part : parts) {
      if (!first) EVP_DigestUpdate(context_, ":", 1);
      EVP_DigestUpdate(context_, part.data(), part.size());
      first = false;
    }
    EVP_DigestFinal_ex(context_, out, nullptr);
  }

 private:
  EVP_MD* digest_;
  EVP_MD_CTX* context_;
};

Digest& Md5() {
  thread_local Digest digest("MD5");
  return digest;
}
Digest& Sha256() {
  thread_local Digest digest("SHA256");
  return digest;
}

}  // namespace

CredentialKey::CredentialKey(PasswordAlgorithm algorithm, std::string_view username,
                             std::string_view realm, std::string_view password)
    : sha256_(algorithm == PasswordAlgorithm::kSha256) {
  (sha256_ ? Sha256() : Md5()).OfJoined({username, realm, password}, bytes_.data());
}

UserHash MakeUserHash(std::string_view username, std::string_view realm) {
  UserHash hash;
  Sha256().OfJoined({username, realm}, hash.data());
  return hash;
}

std::optional<TimeLimitedName> ParseTimeLimitedName(std::string_view username) {
  const size_t colon = username.find(':');
  const std::string_view digits = username.substr(0, colon);
  // 15 digits reach millions of years and can't overflow.
  if (digits.empty() || digits.size() > 15 ||
      !std::all_of(digits.begin(), digits.end(), [](char c) { return c >= '0' && c <= '9'; })) {
    return std::nullopt;
  }
  TimeLimitedName result;
  for (char c : digits) result.expiry_unix_s = result.expiry_unix_s * 10 + (c - '0');
  result.name = colon == std::string_view::npos ? username : username.substr(colon + 1);
  if (result.name.empty()) return std::nullopt;
  return result;
}

std::string MintTimeLimitedPassword(std::string_view secret, std::string_view username) {
  std::array<uint8_t, 20> mac;
  const std::span<const uint8_t> parts[] = {AsBytes(username)};
  HmacSha1(AsBytes(secret), parts, mac);
  std::array<uint8_t, 29> text;  // 28 characters, and the NUL that OpenSSL adds
  EVP_EncodeBlock(text.data(), mac.data(), mac.size());
  return {text.begin(), text.end() - 1};
}

}  // namespace sotto::relay
