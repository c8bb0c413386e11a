// SPDX-License-Identifier: Apache-2.0
// Names of accounts and devices.
#pragma once

#include <array>
#include <compare>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace sotto::signaling {

constexpr size_t kMaxAccountSize = 64;

// An account, by the `sub` of its JWT: 1 to 64 characters of A-Z a-z 0-9 . _ ~ @ + and -.
class AccountId {
 public:
  static std::optional<AccountId> Parse(std::string_view text);

  const std::string& text() const { return text_; }
  auto operator<=>(const AccountId&) const = default;
  template <typename H>
  friend H AbslHashValue(H h, const AccountId& id) {
    return H::combine(std::move(h), id.text_);
  }

 private:
  explicit AccountId(std::string text) : text_(std::move(text)) {}
  std::string text_;
};

// An account whose JWT this server has verified. Only the verifier makes one, so that a type can
// say that its bytes come from the operator and not from a caller.
class VerifiedAccount {
 public:
  const AccountId& id() const { return id_; }
  bool operator==(const VerifiedAccount&) const = default;

 private:
  friend class IdentityVerifier;
  friend class VerifiedAccountForTest;
  explicit VerifiedAccount(AccountId id) : id_(std::move(id)) {}
  AccountId id_;
};

// For unit tests of what takes a VerifiedAccount.
class VerifiedAccountForTest {
 public:
  static VerifiedAccount Make(std::string_view text) {
    return VerifiedAccount(AccountId::Parse(text).value());
  }
};

using DeviceId = std::array<uint8_t, 16>;   // random, made by the device
using NoticeKey = std::array<uint8_t, 32>;  // X25519 public key of a device

// A call. Made by the server from the caller, the recipient and the caller's `place_id` (16 random
// bytes) with a key of its own, so that a call that is placed again is the same call, also after a
// restart.
using CallId = std::array<uint8_t, 16>;

}  // namespace sotto::signaling
