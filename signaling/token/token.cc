// SPDX-License-Identifier: Apache-2.0
#include "signaling/token/token.h"

#include <algorithm>
#include <cstring>

#include "relay/base/big_endian.h"
#include "signaling/token/sodium.h"
#include "signaling/token/terms.h"

namespace sotto::signaling {
namespace {

constexpr std::string_view kTokenContext("sotto privacy token v1\0", 23);
constexpr std::string_view kNullifierContext("sotto nullifier v1\0", 19);
constexpr size_t kSerialAt = 5;
constexpr size_t kSignatureAt = 21;

// What is signed and hashed: context | length of the account(1) | account | epoch(4) | serial(16).
class Statement {
 public:
  Statement(std::string_view context, const AccountId& account, Epoch epoch,
            const TokenSerial& serial) {
    Append(context.data(), context.size());
    const uint8_t length = static_cast<uint8_t>(account.text().size());
    Append(&length, 1);
    Append(account.text().data(), length);
    uint8_t epoch_bytes[4];
    StoreBe32(epoch_bytes, epoch);
    Append(epoch_bytes, sizeof(epoch_bytes));
    Append(serial.data(), serial.size());
  }
  const uint8_t* data() const { return bytes_; }
  size_t size() const { return size_; }

 private:
  void Append(const void* bytes, size_t size) {
    std::memcpy(bytes_ + size_, bytes, size);
    size_ += size;
  }
  uint8_t bytes_[kTokenContext.size() + 1 + kMaxAccountSize + 4 + 16];
  size_t size_ = 0;
};

// libsodium returns early from what these find. Finding it first lets a stand-in be verified
// instead, so that a malformed token takes no less time than others.

using Encoding = std::array<uint8_t, 32>;  // little-endian

constexpr Encoding FromBigEndianHex(std::string_view hex) {
  Encoding bytes = {};
  const auto nibble = [](char c) { return c <= '9' ? c - '0' : c - 'a' + 10; };
  for (size_t i = 0; i < 32; ++i) {
    bytes[31 - i] = static_cast<uint8_t>(nibble(hex[2 * i]) << 4 | nibble(hex[2 * i + 1]));
  }
  return bytes;
}

// RFC 8032, section 5.1: L, the order of the base point, and p = 2^255 - 19.
constexpr Encoding kGroupOrder =
    FromBigEndianHex("1000000000000000000000000000000014def9dea2f79cd65812631a5cf5d3ed");
constexpr Encoding kFieldPrime =
    FromBigEndianHex("7fffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffed");

// The y of the points whose order divides 8; those that aren't canonical (p and p + 1) too.
constexpr Encoding kSmallOrderY[] = {
    FromBigEndianHex("0000000000000000000000000000000000000000000000000000000000000000"),
    FromBigEndianHex("0000000000000000000000000000000000000000000000000000000000000001"),
    FromBigEndianHex("05fc536d880238b13933c6d305acdfd5f098eff289f4c345b027b2c28f95e826"),
    FromBigEndianHex("7a03ac9277fdc74ec6cc392cfa53202a0f67100d760b3cba4fd84d3d706a17c7"),
    FromBigEndianHex("7fffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffec"),
    kFieldPrime,
    FromBigEndianHex("7fffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffee"),
};

bool IsBelow(const Encoding& value, const Encoding& bound) {
  return std::lexicographical_compare(value.rbegin(), value.rend(), bound.rbegin(), bound.rend());
}

Encoding YOf(std::span<const uint8_t, 32> point) {
  Encoding y;
  std::copy(point.begin(), point.end(), y.begin());
  y[31] &= 0x7f;
  return y;
}

bool HasSmallOrder(const Encoding& y) { return std::ranges::count(kSmallOrderY, y) != 0; }

bool IsWellFormed(const Token& token, const EpochPublicKey& key) {
  const std::span<const uint8_t, 64> signature(token.signature);
  Encoding scalar;
  std::copy(signature.begin() + 32, signature.end(), scalar.begin());
  const Encoding key_y = YOf(key);
  return AllOf(IsBelow(scalar, kGroupOrder), !HasSmallOrder(YOf(signature.first<32>())),
               !HasSmallOrder(key_y), IsBelow(key_y, kFieldPrime));
}

bool VerifySignature(const Token& token, const AccountId& recipient, const EpochPublicKey& key) {
  const Statement statement(kTokenContext, recipient, token.epoch, token.serial);
  return crypto_sign_verify_detached(token.signature.data(), statement.data(), statement.size(),
                                     key.data()) == 0;
}

Epoch LatestCurrentEpoch(int64_t unix_s) {
  return EpochAt(std::min(unix_s, INT64_MAX - kEpochSkewSeconds) + kEpochSkewSeconds);
}

}  // namespace

Epoch EpochAt(int64_t unix_s) {
  return static_cast<Epoch>(std::clamp<int64_t>(unix_s, 0, int64_t{UINT32_MAX} * kEpochSeconds) /
                            kEpochSeconds);
}

Epoch OldestLiveEpoch(int64_t unix_s) {
  const Epoch current = EpochAt(std::max(unix_s, kEpochSkewSeconds) - kEpochSkewSeconds);
  return current == 0 ? 0 : current - 1;
}

bool IsEpochLive(Epoch epoch, int64_t unix_s) {
  return epoch >= OldestLiveEpoch(unix_s) && epoch <= LatestCurrentEpoch(unix_s);
}

bool IsEpochKeyable(Epoch epoch, int64_t unix_s) {
  return epoch >= OldestLiveEpoch(unix_s) && epoch <= uint64_t{LatestCurrentEpoch(unix_s)} + 1;
}

std::optional<Token> Token::Parse(std::span<const uint8_t> bytes) {
  if (bytes.size() != kTokenSize || bytes[0] != kTokenVersion) return std::nullopt;
  Token token;
  token.epoch = LoadBe32(&bytes[1]);
  std::copy_n(&bytes[kSerialAt], token.serial.size(), token.serial.begin());
  std::copy_n(&bytes[kSignatureAt], token.signature.size(), token.signature.begin());
  return token;
}

bool IsEpochPublicKey(const EpochPublicKey& key) {
  EnsureSodium();
  return crypto_core_ed25519_is_valid_point(key.data()) == 1;
}

bool VerifyToken(const Token& token, const AccountId& recipient, const EpochPublicKey& key) {
  const DummyToken& dummy = TheDummyToken();
  const bool well_formed = IsWellFormed(token, key);
  const bool verified =
      VerifySignature(well_formed ? token : dummy.token, recipient, well_formed ? key : dummy.key);
  return AllOf(well_formed, verified);
}

Nullifier MakeNullifier(const AccountId& recipient, Epoch epoch, const TokenSerial& serial) {
  EnsureSodium();
  const Statement statement(kNullifierContext, recipient, epoch, serial);
  Nullifier nullifier;
  crypto_generichash(nullifier.data(), nullifier.size(), statement.data(), statement.size(),
                     nullptr, 0);
  return nullifier;
}

const DummyToken& TheDummyToken() {
  static const DummyToken kDummy = [] {
    EnsureSodium();
    DummyToken dummy;
    std::array<uint8_t, 64> secret_key;
    crypto_sign_keypair(dummy.key.data(), secret_key.data());
    TokenSerial serial;
    randombytes_buf(serial.data(), serial.size());
    dummy.token =
        *Token::Parse(IssueToken(secret_key, AccountId::Parse("dummy").value(), 0, serial));
    sodium_memzero(secret_key.data(), secret_key.size());
    return dummy;
  }();
  return kDummy;
}

const AccountId& TheDummyAccount() {
  static const AccountId kDummy = [] {
    EnsureSodium();
    std::array<uint8_t, kMaxAccountSize / 2> random;
    std::array<char, kMaxAccountSize + 1> text;
    randombytes_buf(random.data(), random.size());
    sodium_bin2hex(text.data(), text.size(), random.data(), random.size());
    return AccountId::Parse(text.data()).value();
  }();
  return kDummy;
}

TokenBytes IssueToken(std::span<const uint8_t, 64> secret_key, const AccountId& recipient,
                      Epoch epoch, const TokenSerial& serial) {
  EnsureSodium();
  TokenBytes token;
  token[0] = kTokenVersion;
  StoreBe32(&token[1], epoch);
  std::ranges::copy(serial, token.begin() + kSerialAt);
  const Statement statement(kTokenContext, recipient, epoch, serial);
  crypto_sign_detached(token.data() + kSignatureAt, nullptr, statement.data(), statement.size(),
                       secret_key.data());
  return token;
}

}  // namespace sotto::signaling
