// SPDX-License-Identifier: Apache-2.0
#include "signaling/token/token.h"

#include <gtest/gtest.h>
#include <openssl/evp.h>

#include <memory>
#include <set>
#include <string>
#include <vector>

#include "absl/strings/escaping.h"
#include "relay/base/test_hex.h"
#include "signaling/token/sodium.h"

namespace sotto::signaling {
namespace {

constexpr Epoch kEpoch = 2922;
constexpr int64_t kEpochBegan = kEpoch * kEpochSeconds;  // 2026-01-01T00:00:00Z

const AccountId& Bob() {
  static const AccountId kBob = *AccountId::Parse("bob@example.org");
  return kBob;
}

template <size_t kSize>
std::array<uint8_t, kSize> FromHex(std::string_view hex) {
  const std::vector<uint8_t> bytes = BytesFromHex(hex);
  std::array<uint8_t, kSize> array = {};
  EXPECT_EQ(bytes.size(), kSize);
  std::copy_n(bytes.begin(), std::min(kSize, bytes.size()), array.begin());
  return array;
}

struct KeyPair {
  EpochPublicKey public_key;
  std::array<uint8_t, 64> secret_key;
};

KeyPair MakeKeyPair(uint8_t seed_byte) {
  EnsureSodium();
  std::array<uint8_t, 32> seed;
  seed.fill(seed_byte);
  KeyPair pair;
  crypto_sign_seed_keypair(pair.public_key.data(), pair.secret_key.data(), seed.data());
  return pair;
}

TokenSerial Serial(uint8_t first) {
  TokenSerial serial;
  for (size_t i = 0; i < serial.size(); ++i) serial[i] = static_cast<uint8_t>(first + i);
  return serial;
}

// OpenSSL's verification takes what RFC 8032 leaves open: it shows that a forgery of these tests
// satisfies the equation, so that refusing it is strictness.
bool LenientlyVerifies(const Token& token, const AccountId& recipient, const EpochPublicKey& key) {
  std::string message("sotto privacy token v1\0", 23);
  message += static_cast<char>(recipient.text().size());
  message += recipient.text();
  for (int shift = 24; shift >= 0; shift -= 8) message += static_cast<char>(token.epoch >> shift);
  message.append(token.serial.begin(), token.serial.end());
  const std::unique_ptr<EVP_PKEY, decltype(&EVP_PKEY_free)> pkey(
      EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, nullptr, key.data(), key.size()),
      &EVP_PKEY_free);
  const std::unique_ptr<EVP_MD_CTX, decltype(&EVP_MD_CTX_free)> context(EVP_MD_CTX_new(),
                                                                        &EVP_MD_CTX_free);
  return EVP_DigestVerifyInit(context.get(), nullptr, nullptr, nullptr, pkey.get()) == 1 &&
         EVP_DigestVerify(context.get(), token.signature.data(), token.signature.size(),
                          reinterpret_cast<const uint8_t*>(message.data()), message.size()) == 1;
}

// All encodings of the eight points of small order, canonical or not.
std::vector<std::array<uint8_t, 32>> SmallOrderPoints() {
  std::vector<std::array<uint8_t, 32>> points;
  for (std::string_view y : {"0000000000000000000000000000000000000000000000000000000000000000",
                             "0100000000000000000000000000000000000000000000000000000000000000",
                             "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
                             "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
                             "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
                             "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
                             "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f"}) {
    points.push_back(FromHex<32>(y));
    points.push_back(points.back());
    points.back()[31] |= 0x80;
  }
  return points;
}

// The example of docs/protocol.md, made with Python's cryptography and hashlib too.
TEST(TokenTest, IsThatOfTheSpecification) {
  EnsureSodium();
  std::array<uint8_t, 32> seed;
  for (size_t i = 0; i < seed.size(); ++i) seed[i] = static_cast<uint8_t>(i);
  KeyPair pair;
  crypto_sign_seed_keypair(pair.public_key.data(), pair.secret_key.data(), seed.data());
  EXPECT_EQ(pair.public_key,
            FromHex<32>("03a107bff3ce10be1d70dd18e74bc09967e4d6309ba50d5f1ddc8664125531b8"));
  const TokenBytes token = IssueToken(pair.secret_key, Bob(), kEpoch, Serial(0xa0));
  EXPECT_EQ(token, FromHex<kTokenSize>(
                       "01"
                       "00000b6a"
                       "a0a1a2a3a4a5a6a7a8a9aaabacadaeaf"
                       "19dbb87d334641fabf223d617b391efeca15a0f457404e9955d0a460b4fa422d"
                       "898209f504478b8f6d090116da001776289549896ac26db03ae529b86b5c4b06"));
  EXPECT_EQ(MakeNullifier(Bob(), kEpoch, Serial(0xa0)),
            FromHex<32>("c4b145de349864a5724e1520bdbdb8c94f91777fb65bce2f7c82074b947fb517"));
  EXPECT_TRUE(VerifyToken(*Token::Parse(token), Bob(), pair.public_key));
}

TEST(TokenTest, EveryOneBitChangeIsRefused) {
  const KeyPair pair = MakeKeyPair(1);
  const TokenBytes good = IssueToken(pair.secret_key, Bob(), kEpoch, Serial(0));
  for (size_t bit = 0; bit < kTokenSize * 8; ++bit) {
    TokenBytes bad = good;
    bad[bit / 8] ^= static_cast<uint8_t>(1 << bit % 8);
    const std::optional<Token> token = Token::Parse(bad);
    EXPECT_EQ(token.has_value(), bit >= 8) << bit;
    if (token) {
      EXPECT_FALSE(VerifyToken(*token, Bob(), pair.public_key)) << bit;
    }
  }
  for (size_t bit = 0; bit < 256; ++bit) {
    EpochPublicKey key = pair.public_key;
    key[bit / 8] ^= static_cast<uint8_t>(1 << bit % 8);
    EXPECT_FALSE(VerifyToken(*Token::Parse(good), Bob(), key)) << bit;
  }
}

TEST(TokenTest, OtherRecipientsAndKeysAreRefused) {
  const KeyPair pair = MakeKeyPair(1);
  const Token token = *Token::Parse(IssueToken(pair.secret_key, Bob(), kEpoch, Serial(0)));
  ASSERT_TRUE(VerifyToken(token, Bob(), pair.public_key));
  for (const char* other : {"bob@example.or", "bob@example.orgg", "Bob@example.org", "b"}) {
    EXPECT_FALSE(VerifyToken(token, *AccountId::Parse(other), pair.public_key)) << other;
  }
  EXPECT_FALSE(VerifyToken(token, Bob(), MakeKeyPair(2).public_key));
}

TEST(TokenTest, OtherSizesAreNotTokens) {
  const KeyPair pair = MakeKeyPair(1);
  const TokenBytes token = IssueToken(pair.secret_key, Bob(), kEpoch, Serial(0));
  std::vector<uint8_t> bytes(token.begin(), token.end());
  bytes.push_back(0);
  for (size_t size = 0; size <= bytes.size(); ++size) {
    EXPECT_EQ(Token::Parse(std::span(bytes).first(size)).has_value(), size == kTokenSize) << size;
  }
}

TEST(TokenTest, SmallOrderKeysVerifyNothing) {
  size_t forgeries = 0;
  for (const EpochPublicKey& key : SmallOrderPoints()) {
    EXPECT_FALSE(IsEpochPublicKey(key)) << absl::BytesToHexString(
        absl::string_view(reinterpret_cast<const char*>(key.data()), key.size()));
    for (const auto& point : SmallOrderPoints()) {
      // With S = 0 the equation is R = -hA: of eight serials, one has an h that fits.
      for (uint8_t serial = 0; serial < 8; ++serial) {
        Token token{.epoch = kEpoch, .serial = Serial(serial), .signature = {}};
        std::ranges::copy(point, token.signature.begin());
        EXPECT_FALSE(VerifyToken(token, Bob(), key));
        forgeries += LenientlyVerifies(token, Bob(), key);
      }
    }
  }
  EXPECT_GT(forgeries, 0u);
}

TEST(TokenTest, SmallOrderCommitmentsAreRefused) {
  const KeyPair pair = MakeKeyPair(3);
  std::array<uint8_t, 64> hashed;
  crypto_hash_sha512(hashed.data(), pair.secret_key.data(), 32);
  hashed[0] &= 248;
  hashed[31] = static_cast<uint8_t>((hashed[31] & 127) | 64);

  // The owner of the key can sign with R = the neutral element and S = h * a.
  Token token{.epoch = kEpoch, .serial = Serial(7), .signature = {1}};
  std::string message(token.signature.begin(), token.signature.begin() + 32);
  message.append(pair.public_key.begin(), pair.public_key.end());
  message.append("sotto privacy token v1\0", 23);
  message += static_cast<char>(Bob().text().size());
  message += Bob().text();
  message += {0, 0, 0x0b, 0x6a};
  message.append(token.serial.begin(), token.serial.end());
  std::array<uint8_t, 64> digest;
  crypto_hash_sha512(digest.data(), reinterpret_cast<const uint8_t*>(message.data()),
                     message.size());
  std::array<uint8_t, 32> h, secret, s;
  crypto_core_ed25519_scalar_reduce(h.data(), digest.data());
  std::array<uint8_t, 64> wide = {};
  std::copy_n(hashed.begin(), 32, wide.begin());
  crypto_core_ed25519_scalar_reduce(secret.data(), wide.data());
  crypto_core_ed25519_scalar_mul(s.data(), h.data(), secret.data());
  std::ranges::copy(s, token.signature.begin() + 32);
  EXPECT_TRUE(LenientlyVerifies(token, Bob(), pair.public_key));
  EXPECT_FALSE(VerifyToken(token, Bob(), pair.public_key));
}

TEST(TokenTest, AScalarBeyondTheGroupOrderIsRefused) {
  const KeyPair pair = MakeKeyPair(4);
  Token token = *Token::Parse(IssueToken(pair.secret_key, Bob(), kEpoch, Serial(0)));
  const auto order =
      FromHex<32>("edd3f55c1a631258d69cf7a2def9de1400000000000000000000000000000010");
  unsigned carry = 0;
  for (size_t i = 0; i < 32; ++i) {
    carry += token.signature[32 + i] + order[i];
    token.signature[32 + i] = static_cast<uint8_t>(carry);
    carry >>= 8;
  }
  ASSERT_EQ(carry, 0u);
  EXPECT_FALSE(VerifyToken(token, Bob(), pair.public_key));
}

TEST(TokenTest, OnlyCanonicalPointsOfThePrimeOrderSubgroupAreKeys) {
  const KeyPair pair = MakeKeyPair(5);
  EXPECT_TRUE(IsEpochPublicKey(pair.public_key));
  // y = p + n for every n that fits 255 bits.
  for (int n = 0; n < 19; ++n) {
    auto key = FromHex<32>("edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f");
    key[0] = static_cast<uint8_t>(0xed + n);
    EXPECT_FALSE(IsEpochPublicKey(key)) << n;
    key[31] |= 0x80;
    EXPECT_FALSE(IsEpochPublicKey(key)) << n;
  }
  // A good key plus a point of order 8 is on the curve, and outside the subgroup.
  EpochPublicKey mixed;
  const auto order8 =
      FromHex<32>("26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05");
  ASSERT_EQ(crypto_core_ed25519_add(mixed.data(), pair.public_key.data(), order8.data()), 0);
  EXPECT_FALSE(IsEpochPublicKey(mixed));
}

TEST(TokenTest, TheDummyIsGoodForNobodyElse) {
  const DummyToken& dummy = TheDummyToken();
  EXPECT_TRUE(IsEpochPublicKey(dummy.key));
  EXPECT_TRUE(VerifyToken(dummy.token, *AccountId::Parse("dummy"), dummy.key));
  EXPECT_FALSE(VerifyToken(dummy.token, Bob(), dummy.key));
  // Nor is what is verified in its place: a malformed token, for an account that has the dummy's
  // name.
  Token malformed = dummy.token;
  malformed.signature[63] = 0xff;
  EXPECT_FALSE(VerifyToken(malformed, *AccountId::Parse("dummy"), dummy.key));
}

TEST(TokenTest, NullifiersDifferInRecipientEpochAndSerial) {
  std::set<Nullifier> nullifiers;
  for (const char* recipient : {"bob", "alice", "bo"}) {
    for (Epoch epoch : {kEpoch, kEpoch + 1, 0u}) {
      for (uint8_t serial : {0, 1, 255}) {
        nullifiers.insert(MakeNullifier(*AccountId::Parse(recipient), epoch, Serial(serial)));
      }
    }
  }
  EXPECT_EQ(nullifiers.size(), 27u);
}

TEST(EpochTest, IsSevenDaysOfUnixTime) {
  EXPECT_EQ(EpochAt(0), 0u);
  EXPECT_EQ(EpochAt(kEpochSeconds - 1), 0u);
  EXPECT_EQ(EpochAt(kEpochBegan - 1), kEpoch - 1);
  EXPECT_EQ(EpochAt(kEpochBegan), kEpoch);
  EXPECT_EQ(EpochAt(INT64_MIN), 0u);
  EXPECT_EQ(EpochAt(INT64_MAX), UINT32_MAX);
}

TEST(EpochTest, TheCurrentAndTheOneBeforeAreLive) {
  const int64_t middle = kEpochBegan + kEpochSeconds / 2;
  EXPECT_FALSE(IsEpochLive(kEpoch - 2, middle));
  EXPECT_TRUE(IsEpochLive(kEpoch - 1, middle));
  EXPECT_TRUE(IsEpochLive(kEpoch, middle));
  EXPECT_FALSE(IsEpochLive(kEpoch + 1, middle));
  EXPECT_EQ(OldestLiveEpoch(middle), kEpoch - 1);
}

TEST(EpochTest, AroundAnEdgeBothViewsCountToTheSecond) {
  // Towards the edge: the coming epoch is live once a clock 300 s ahead has crossed it.
  EXPECT_FALSE(IsEpochLive(kEpoch, kEpochBegan - kEpochSkewSeconds - 1));
  EXPECT_TRUE(IsEpochLive(kEpoch, kEpochBegan - kEpochSkewSeconds));
  EXPECT_TRUE(IsEpochLive(kEpoch, kEpochBegan - 1));
  // After it: what was the one before is live until a clock 300 s behind has crossed it.
  EXPECT_TRUE(IsEpochLive(kEpoch - 2, kEpochBegan - 1));
  EXPECT_TRUE(IsEpochLive(kEpoch - 2, kEpochBegan + kEpochSkewSeconds - 1));
  EXPECT_FALSE(IsEpochLive(kEpoch - 2, kEpochBegan + kEpochSkewSeconds));
  // Never more than these.
  for (int64_t t = kEpochBegan - 302; t <= kEpochBegan + 302; ++t) {
    EXPECT_FALSE(IsEpochLive(kEpoch + 1, t));
    EXPECT_TRUE(IsEpochLive(kEpoch - 1, t));
    EXPECT_FALSE(IsEpochLive(kEpoch - 3, t));
    EXPECT_TRUE(IsEpochLive(OldestLiveEpoch(t), t));
    EXPECT_FALSE(IsEpochLive(OldestLiveEpoch(t) - 1, t));
  }
}

TEST(EpochTest, KeysMayBePutForTheNextOneToo) {
  const int64_t middle = kEpochBegan + kEpochSeconds / 2;
  EXPECT_FALSE(IsEpochKeyable(kEpoch - 2, middle));
  EXPECT_TRUE(IsEpochKeyable(kEpoch - 1, middle));
  EXPECT_TRUE(IsEpochKeyable(kEpoch, middle));
  EXPECT_TRUE(IsEpochKeyable(kEpoch + 1, middle));
  EXPECT_FALSE(IsEpochKeyable(kEpoch + 2, middle));
  EXPECT_TRUE(IsEpochKeyable(kEpoch + 1, kEpochBegan - kEpochSkewSeconds));
  EXPECT_FALSE(IsEpochKeyable(kEpoch + 1, kEpochBegan - kEpochSkewSeconds - 1));
}

TEST(EpochTest, HoldsAtTheEndsOfTime) {
  EXPECT_TRUE(IsEpochLive(0, 0));
  EXPECT_TRUE(IsEpochLive(0, INT64_MIN));
  EXPECT_FALSE(IsEpochLive(1, INT64_MIN));
  EXPECT_TRUE(IsEpochLive(UINT32_MAX, INT64_MAX));
  EXPECT_TRUE(IsEpochKeyable(UINT32_MAX, INT64_MAX));
  EXPECT_FALSE(IsEpochKeyable(0, INT64_MAX));
}

}  // namespace
}  // namespace sotto::signaling
