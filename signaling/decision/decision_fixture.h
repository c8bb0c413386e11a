// SPDX-License-Identifier: Apache-2.0
// A store with people in it, for tests and benchmarks of decisions.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include "relay/base/big_endian.h"
#include "signaling/decision/decider.h"
#include "signaling/decision/notice_box.h"
#include "signaling/store/sqlite_store.h"
#include "signaling/token/sodium.h"

namespace sotto::signaling {

constexpr Epoch kTestEpoch = 2922;
// In the middle of it.
constexpr int64_t kTestNow = kTestEpoch * kEpochSeconds + kEpochSeconds / 2;

inline AccountId Account(std::string_view name) { return AccountId::Parse(name).value(); }
inline VerifiedAccount Verified(std::string_view name) {
  return VerifiedAccountForTest::Make(name);
}

// A number, as 16 bytes.
inline std::array<uint8_t, 16> Id(uint64_t number) {
  std::array<uint8_t, 16> id = {};
  StoreBe64(id.data(), number);
  return id;
}

// An account's keys on its device: makes its tokens.
class TestPerson {
 public:
  explicit TestPerson(std::string_view name) : account_(Account(name)) {
    EnsureSodium();
    crypto_sign_keypair(public_key_.data(), secret_key_.data());
  }
  const AccountId& account() const { return account_; }
  EpochKey Key(Epoch epoch = kTestEpoch, uint16_t uses = 1) const {
    return {.epoch = epoch, .public_key = public_key_, .uses = uses};
  }
  Token Issue(uint64_t serial, Epoch epoch = kTestEpoch) const {
    return *Token::Parse(IssueToken(secret_key_, account_, epoch, Id(serial)));
  }
  const std::array<uint8_t, 64>& secret_key() const { return secret_key_; }
  // `secret`: what opens its notices.
  static Device MakeDevice(uint64_t number, NoticeKey* secret = nullptr) {
    Device device = {.id = Id(number), .notice_key = {}};
    NoticeKey unwanted;
    crypto_box_keypair(device.notice_key.data(), (secret ? *secret : unwanted).data());
    return device;
  }

 private:
  AccountId account_;
  EpochPublicKey public_key_;
  std::array<uint8_t, 64> secret_key_;
};

}  // namespace sotto::signaling
