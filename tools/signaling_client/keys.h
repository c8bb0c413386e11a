// SPDX-License-Identifier: Apache-2.0
// The keys of an account and of its devices, as docs/protocol.md ("Keys of an account") derives
// them. Nothing here keeps state or asks for the time; any thread.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace sotto::tools {

using Key = std::array<uint8_t, 32>;
using Hash = std::array<uint8_t, 32>;  // BLAKE2b-256

struct BoxKeyPair {  // X25519
  Key public_key = {};
  Key secret_key = {};
};

struct SignKeyPair {  // Ed25519
  Key public_key = {};
  std::array<uint8_t, 64> secret_key = {};
};

// The public half of an account's long-lived keys.
struct AccountPublicKeys {
  Key box = {};
  Key sign = {};
  bool operator==(const AccountPublicKeys&) const = default;
};

// The 32 bytes that the devices of an account share and the server never sees.
class AccountSecret {
 public:
  static AccountSecret Generate();
  explicit AccountSecret(const Key& bytes) : bytes_(bytes) {}
  AccountSecret(const AccountSecret&) = default;
  AccountSecret& operator=(const AccountSecret&) = default;
  ~AccountSecret();

  const Key& bytes() const { return bytes_; }

  BoxKeyPair Box() const;
  SignKeyPair Sign() const;
  AccountPublicKeys PublicKeys() const;
  // `generation` is 0, and one more for each time that all tokens of the epoch were revoked.
  SignKeyPair EpochKey(uint32_t epoch, uint16_t generation) const;

 private:
  Key Derive(std::string_view context, uint64_t id) const;

  Key bytes_;
};

// New random keys: of a call, or of a device for its notices.
BoxKeyPair MakeBoxKeyPair();
BoxKeyPair BoxKeyPairFromSecret(const Key& secret_key);

// 1 to 64 characters of A-Z a-z 0-9 . _ ~ @ + and -.
bool IsAccountName(std::string_view text);

// Bytes as std::string, which is how protobuf has them, and back.
inline std::span<const uint8_t> AsBytes(std::string_view text) {
  return {reinterpret_cast<const uint8_t*>(text.data()), text.size()};
}
inline std::string AsString(std::span<const uint8_t> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}
// INVALID_ARGUMENT, naming `what`, if `bytes` hasn't the size of a key.
absl::StatusOr<Key> ReadKey(std::string_view bytes, std::string_view what);

std::string RandomBytes(size_t size);
Hash Blake2b(std::span<const uint8_t> bytes);

std::string ToHex(std::span<const uint8_t> bytes);
absl::StatusOr<std::string> FromHex(std::string_view hex);
// URL-safe alphabet, without padding.
std::string ToBase64Url(std::span<const uint8_t> bytes);
absl::StatusOr<std::string> FromBase64Url(std::string_view text);

}  // namespace sotto::tools
