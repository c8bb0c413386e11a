// SPDX-License-Identifier: Apache-2.0
// What a device is told of a call that didn't ring on it. The server makes it, from types that
// can't hold a byte of the caller's choice: whoever called, whatever they sent, it has this size
// and form.
//
//   version(1) = 1 | kind(1) | count(2, big-endian, saturating) | minute(4, big-endian: Unix time /
//   60) | caller's length(1) | caller, zero-padded(64) | zero(23)                        96 bytes
//
// Sealed to the device's X25519 key with libsodium's crypto_box_seal: 144 bytes. The sealed form is
// all that is ever stored or sent.
#pragma once

#include <array>
#include <cstdint>
#include <optional>

#include "signaling/identity/account.h"

namespace sotto::signaling {

constexpr size_t kNoticeSize = 96;
constexpr size_t kSealedNoticeSize = kNoticeSize + 48;
constexpr uint8_t kNoticeVersion = 1;

enum class NoticeKind : uint8_t {
  kSilenced = 1,  // the decision was not to ring
  kMissed = 2,    // it rang, or would have, and wasn't answered
  kMore = 3,      // calls beyond what the device's box holds; no caller
};

// A count that stays at its highest.
class SaturatingCount {
 public:
  constexpr explicit SaturatingCount(uint16_t value = 1) : value_(value) {}
  constexpr void Increment() { value_ += value_ < UINT16_MAX ? 1 : 0; }
  constexpr uint16_t value() const { return value_; }

 private:
  uint16_t value_;
};

// Unix time in minutes: what remains of a time stamp that nobody shall correlate by.
class UnixMinute {
 public:
  static constexpr UnixMinute Of(int64_t unix_s) {
    return UnixMinute(static_cast<uint32_t>(unix_s / 60));
  }
  constexpr uint32_t value() const { return value_; }

 private:
  constexpr explicit UnixMinute(uint32_t value) : value_(value) {}
  uint32_t value_;
};

struct Notice {
  NoticeKind kind;
  // None with kMore, and for a caller that the server doesn't know: zeros, and a length of zero.
  std::optional<VerifiedAccount> caller;
  UnixMinute minute;
  SaturatingCount count;
};

using NoticeBytes = std::array<uint8_t, kNoticeSize>;
using SealedNotice = std::array<uint8_t, kSealedNoticeSize>;

NoticeBytes EncodeNotice(const Notice& notice);
// Sealing to a low-order key fails in libsodium: then the bytes are random, which no device can
// open, and which the store can't tell from others.
SealedNotice SealNotice(const Notice& notice, const NoticeKey& device);

}  // namespace sotto::signaling
