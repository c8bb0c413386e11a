// SPDX-License-Identifier: Apache-2.0
#include "tools/signaling_client/keys.h"

#include <fmt/format.h>
#include <sodium.h>

#include <algorithm>
#include <cstdlib>

namespace sotto::tools {
namespace {

// libsodium must be initialised before anything asks it for random bytes.
[[maybe_unused]] const bool kSodiumIsReady = [] {
  if (sodium_init() < 0) std::abort();
  return true;
}();

constexpr int kBase64Url = sodium_base64_VARIANT_URLSAFE_NO_PADDING;

}  // namespace

AccountSecret AccountSecret::Generate() {
  Key bytes;
  randombytes_buf(bytes.data(), bytes.size());
  return AccountSecret(bytes);
}

AccountSecret::~AccountSecret() { sodium_memzero(bytes_.data(), bytes_.size()); }

Key AccountSecret::Derive(std::string_view context, uint64_t id) const {
  static_assert(crypto_kdf_KEYBYTES == sizeof(Key) && crypto_kdf_CONTEXTBYTES == 8);
  Key key;
  crypto_kdf_derive_from_key(key.data(), key.size(), id, context.data(), bytes_.data());
  return key;
}

BoxKeyPair AccountSecret::Box() const {
  const Key seed = Derive("sottobox", 1);
  BoxKeyPair pair;
  crypto_box_seed_keypair(pair.public_key.data(), pair.secret_key.data(), seed.data());
  return pair;
}

SignKeyPair AccountSecret::Sign() const {
  const Key seed = Derive("sottosgn", 1);
  SignKeyPair pair;
  crypto_sign_seed_keypair(pair.public_key.data(), pair.secret_key.data(), seed.data());
  return pair;
}

AccountPublicKeys AccountSecret::PublicKeys() const {
  return {Box().public_key, Sign().public_key};
}

SignKeyPair AccountSecret::EpochKey(uint32_t epoch, uint16_t generation) const {
  const Key seed = Derive("sottoepo", uint64_t{epoch} * 65536 + generation);
  SignKeyPair pair;
  crypto_sign_seed_keypair(pair.public_key.data(), pair.secret_key.data(), seed.data());
  return pair;
}

BoxKeyPair MakeBoxKeyPair() {
  BoxKeyPair pair;
  crypto_box_keypair(pair.public_key.data(), pair.secret_key.data());
  return pair;
}

BoxKeyPair BoxKeyPairFromSecret(const Key& secret_key) {
  BoxKeyPair pair{.public_key = {}, .secret_key = secret_key};
  crypto_scalarmult_base(pair.public_key.data(), secret_key.data());
  return pair;
}

bool IsAccountName(std::string_view text) {
  static constexpr std::string_view kOthers = "._~@+-";
  return !text.empty() && text.size() <= 64 && std::all_of(text.begin(), text.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           kOthers.find(c) != std::string_view::npos;
  });
}

absl::StatusOr<Key> ReadKey(std::string_view bytes, std::string_view what) {
  Key key;
  if (bytes.size() != key.size()) {
    return absl::InvalidArgumentError(
        fmt::format("{} has {} bytes; must have {}", what, bytes.size(), key.size()));
  }
  std::copy(bytes.begin(), bytes.end(), key.begin());
  return key;
}

std::string RandomBytes(size_t size) {
  std::string bytes(size, '\0');
  randombytes_buf(bytes.data(), bytes.size());
  return bytes;
}

Hash Blake2b(std::span<const uint8_t> bytes) {
  Hash hash;
  crypto_generichash(hash.data(), hash.size(), bytes.data(), bytes.size(), nullptr, 0);
  return hash;
}

std::string ToHex(std::span<const uint8_t> bytes) {
  std::string hex(bytes.size() * 2 + 1, '\0');
  sodium_bin2hex(hex.data(), hex.size(), bytes.data(), bytes.size());
  hex.pop_back();
  return hex;
}

absl::StatusOr<std::string> FromHex(std::string_view hex) {
  std::string bytes(hex.size() / 2, '\0');
  size_t size = 0;
  const char* end = nullptr;
  if (sodium_hex2bin(reinterpret_cast<uint8_t*>(bytes.data()), bytes.size(), hex.data(), hex.size(),
                     nullptr, &size, &end) != 0 ||
      end != hex.data() + hex.size() || size * 2 != hex.size()) {
    return absl::InvalidArgumentError(
        "not hexadecimal; must be an even number of digits 0 to 9 and letters a to f");
  }
  return bytes;
}

std::string ToBase64Url(std::span<const uint8_t> bytes) {
  std::string text(sodium_base64_ENCODED_LEN(bytes.size(), kBase64Url), '\0');
  sodium_bin2base64(text.data(), text.size(), bytes.data(), bytes.size(), kBase64Url);
  text.pop_back();
  return text;
}

absl::StatusOr<std::string> FromBase64Url(std::string_view text) {
  std::string bytes(text.size() / 4 * 3 + 3, '\0');
  size_t size = 0;
  const char* end = nullptr;
  if (sodium_base642bin(reinterpret_cast<uint8_t*>(bytes.data()), bytes.size(), text.data(),
                        text.size(), nullptr, &size, &end, kBase64Url) != 0 ||
      end != text.data() + text.size()) {
    return absl::InvalidArgumentError("not base64url without padding");
  }
  bytes.resize(size);
  return bytes;
}

}  // namespace sotto::tools
