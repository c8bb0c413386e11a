// SPDX-License-Identifier: Apache-2.0
// Privacy tokens: proof that the recipient gave this to somebody, and nothing else.
//
//   version(1) = 1 | epoch(4, big-endian) | serial(16) | signature(64)            85 bytes
//
// The signature is Ed25519 (RFC 8032, strict: small-order and non-canonical keys and points are
// refused) by the recipient's key of that epoch, over
//
//   "sotto privacy token v1" 0x00 | recipient's length(1) | recipient | epoch(4) | serial(16)
//
// An epoch is 7 days of Unix time, counted from 1970-01-01T00:00:00Z. Nothing here keeps state or
// asks for the time; any thread.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>

#include "signaling/identity/account.h"

namespace sotto::signaling {

constexpr size_t kTokenSize = 85;
constexpr uint8_t kTokenVersion = 1;
constexpr int64_t kEpochSeconds = 7 * 24 * 3600;
// Clocks of devices may be off by this much: around the edge of two epochs, both count as current.
constexpr int64_t kEpochSkewSeconds = 300;
constexpr uint16_t kMaxTokenUses = 1000;

using Epoch = uint32_t;
using TokenSerial = std::array<uint8_t, 16>;
using TokenBytes = std::array<uint8_t, kTokenSize>;
using EpochPublicKey = std::array<uint8_t, 32>;
// BLAKE2b-256 of "sotto nullifier v1" 0x00 | recipient's length(1) | recipient | epoch(4) | serial.
using Nullifier = std::array<uint8_t, 32>;

// Times before 1970 and beyond the last epoch count as the first and the last.
Epoch EpochAt(int64_t unix_s);
// Tokens of this epoch ring now: it is the current one or the one before, by a clock that may be
// off by kEpochSkewSeconds either way.
bool IsEpochLive(Epoch epoch, int64_t unix_s);
// An epoch for which a key may be put: the ones that are live, and the next.
bool IsEpochKeyable(Epoch epoch, int64_t unix_s);
// Earlier ones can be forgotten (Store::Forget).
Epoch OldestLiveEpoch(int64_t unix_s);

struct Token {
  Epoch epoch = 0;
  TokenSerial serial = {};
  std::array<uint8_t, 64> signature = {};

  // Nothing if it hasn't the size or the version of a token.
  static std::optional<Token> Parse(std::span<const uint8_t> bytes);
};

// A canonical point of the prime-order subgroup: what may be put as a key. As long as a
// verification.
bool IsEpochPublicKey(const EpochPublicKey& key);

// Does the same work for every token, well-formed or not, and every key that IsEpochPublicKey().
bool VerifyToken(const Token& token, const AccountId& recipient, const EpochPublicKey& key);

Nullifier MakeNullifier(const AccountId& recipient, Epoch epoch, const TokenSerial& serial);

// A token and a key that are well-formed and belong to nobody: what is verified where one is
// missing, so that it takes as long. The token verifies under the key, for the recipient "dummy";
// both are made anew by each process, so that nobody can work out how long they take.
struct DummyToken {
  Token token;
  EpochPublicKey key;
};
const DummyToken& TheDummyToken();
// Likewise, an account that nobody has: 64 random hexadecimal digits.
const AccountId& TheDummyAccount();

// Signs a token, as a recipient's device does: for tests and benchmarks (clients have their own).
TokenBytes IssueToken(std::span<const uint8_t, 64> secret_key, const AccountId& recipient,
                      Epoch epoch, const TokenSerial& serial);

}  // namespace sotto::signaling
