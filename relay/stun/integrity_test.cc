// SPDX-License-Identifier: Apache-2.0
#include "relay/stun/integrity.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <openssl/evp.h>

#include <functional>
#include <string>
#include <vector>

#include "relay/base/big_endian.h"
#include "relay/base/test_hex.h"
#include "relay/stun/rfc_vectors.h"

namespace sotto::relay {
namespace {

using ::testing::ElementsAreArray;
using Bytes = std::vector<uint8_t>;
using Type = StunAttributeType;

std::span<const uint8_t> Key(std::string_view text) {
  return {reinterpret_cast<const uint8_t*>(text.data()), text.size()};
}
Bytes Digest(const EVP_MD* algorithm, std::string_view text) {
  Bytes out(EVP_MD_get_size(algorithm));
  EVP_Digest(text.data(), text.size(), out.data(), nullptr, algorithm, nullptr);
  return out;
}
const std::string kLongTermInput =
    std::string(kSampleUsername) + ":" + std::string(kSampleRealm) + ":TheMatrIX";

constexpr TransactionId kTransactionId = {0xb7, 0xe7, 0xa7, 0x01, 0xbc, 0x34,
                                          0xd6, 0x86, 0xfa, 0x87, 0xdf, 0xae};
constexpr TransactionId kLongTermTransactionId = {0x78, 0xad, 0x34, 0x33, 0xc6, 0xad,
                                                  0x72, 0xc0, 0x29, 0xda, 0x41, 0x2e};

// Every single-bit change of a byte that the MAC covers must be noticed.
void ExpectEveryFlipIsNoticed(const Bytes& message, size_t covered,
                              const std::function<bool(const StunMessage&)>& verify) {
  for (size_t i = 0; i < covered; ++i) {
    Bytes flipped = message;
    flipped[i] ^= 0x01;
    const auto parsed = StunMessage::Parse(flipped);
    EXPECT_FALSE(parsed && verify(*parsed)) << "byte " << i;
  }
}

TEST(Rfc5769Test, SampleRequest) {
  const Bytes bytes = BytesFromHex(kRfc5769Request);
  const auto message = StunMessage::Parse(bytes);
  ASSERT_TRUE(message);
  EXPECT_EQ(message->method(), StunMethod::kBinding);
  EXPECT_EQ(message->message_class(), StunClass::kRequest);
  EXPECT_EQ(message->transaction_id(), kTransactionId);
  EXPECT_EQ(message->FindText(Type::kSoftware), "STUN test client");
  EXPECT_EQ(message->FindText(Type::kUsername), "evtj:h6vY");
  EXPECT_EQ(message->FindU32(Type::kPriority), 0x6e0001ffu);
  EXPECT_TRUE(VerifyIntegrity(*message, Key(kRfc5769Password)));
  EXPECT_FALSE(VerifyIntegrity(*message, Key("VOkJxbRl1RmTxUk/WvJxBT")));
  EXPECT_FALSE(VerifyIntegritySha256(*message, Key(kRfc5769Password)));
  EXPECT_TRUE(VerifyFingerprint(*message));
  // The length field is computed, so its bytes don't enter the MAC as they stand.
  ExpectEveryFlipIsNoticed(bytes, bytes.size() - 8, [](const StunMessage& m) {
    return VerifyIntegrity(m, Key(kRfc5769Password));
  });
  ExpectEveryFlipIsNoticed(bytes, bytes.size(), VerifyFingerprint);
}

TEST(Rfc5769Test, Ipv4Response) {
  const Bytes bytes = BytesFromHex(kRfc5769Ipv4Response);
  const auto message = StunMessage::Parse(bytes);
  ASSERT_TRUE(message);
  EXPECT_EQ(message->message_class(), StunClass::kSuccess);
  EXPECT_EQ(message->FindText(Type::kSoftware), "test vector");
  EXPECT_EQ(message->FindXorAddress(Type::kXorMappedAddress)->ToString(), "192.0.2.1:32853");
  EXPECT_TRUE(VerifyIntegrity(*message, Key(kRfc5769Password)));
  EXPECT_TRUE(VerifyFingerprint(*message));
}

TEST(Rfc5769Test, Ipv6Response) {
  const Bytes bytes = BytesFromHex(kRfc5769Ipv6Response);
  const auto message = StunMessage::Parse(bytes);
  ASSERT_TRUE(message);
  EXPECT_EQ(message->FindXorAddress(Type::kXorMappedAddress)->ToString(),
            "[2001:db8:1234:5678:11:2233:4455:6677]:32853");
  EXPECT_TRUE(VerifyIntegrity(*message, Key(kRfc5769Password)));
  EXPECT_TRUE(VerifyFingerprint(*message));
}

TEST(Rfc5769Test, BuilderMakesTheIpv6ResponseByteForByteButForPadding) {
  uint8_t buffer[256];
  StunBuilder builder(buffer, StunMethod::kBinding, StunClass::kSuccess, kTransactionId);
  builder.AddText(Type::kSoftware, "test vector");
  builder.AddXorAddress(
      Type::kXorMappedAddress,
      TransportAddress::Parse("[2001:db8:1234:5678:11:2233:4455:6677]:32853").value());
  const std::span<uint8_t> built = builder.Finish();
  Bytes expected = BytesFromHex(kRfc5769Ipv6Response);
  expected.resize(built.size());
  StoreBe16(&expected[2], static_cast<uint16_t>(built.size() - kStunHeaderSize));
  expected[35] = 0;  // the RFC's sample pads with a space
  EXPECT_THAT(built, ElementsAreArray(expected));
}

TEST(Rfc5769Test, LongTermRequest) {
  const Bytes bytes = BytesFromHex(kRfc5769LongTerm);
  const auto message = StunMessage::Parse(bytes);
  ASSERT_TRUE(message);
  EXPECT_EQ(message->FindText(Type::kUsername), kSampleUsername);
  EXPECT_EQ(message->FindText(Type::kRealm), kSampleRealm);
  const Bytes key = Digest(EVP_md5(), kLongTermInput);
  EXPECT_TRUE(VerifyIntegrity(*message, key));
  EXPECT_FALSE(VerifyFingerprint(*message)) << "it has none";

  uint8_t buffer[256];
  StunBuilder builder(buffer, StunMethod::kBinding, StunClass::kRequest, kLongTermTransactionId);
  builder.AddText(Type::kUsername, kSampleUsername);
  builder.AddText(Type::kNonce, "f//499k954d6OL34oL9FSTvy64sA");
  builder.AddText(Type::kRealm, kSampleRealm);
  builder.AddIntegrity(key);
  EXPECT_THAT(builder.Finish(), ElementsAreArray(bytes));
}

TEST(Rfc8489Test, LongTermRequestWithSha256AndUserHash) {
  const Bytes bytes = BytesFromHex(kRfc8489LongTermSha256);
  const auto message = StunMessage::Parse(bytes);
  ASSERT_TRUE(message);
  const Bytes key = Digest(EVP_sha256(), kLongTermInput);
  EXPECT_TRUE(VerifyIntegritySha256(*message, key));
  EXPECT_FALSE(VerifyIntegrity(*message, key));
  const Bytes user_hash =
      Digest(EVP_sha256(), std::string(kSampleUsername) + ":" + std::string(kSampleRealm));
  EXPECT_THAT(message->Find(Type::kUserHash)->value, ElementsAreArray(user_hash));
  ExpectEveryFlipIsNoticed(bytes, bytes.size(),
                           [&](const StunMessage& m) { return VerifyIntegritySha256(m, key); });

  uint8_t buffer[256];
  StunBuilder builder(buffer, StunMethod::kBinding, StunClass::kRequest, kLongTermTransactionId);
  builder.Add(Type::kUserHash, user_hash);
  builder.AddText(Type::kNonce, "obMatJos2AAACf//499k954d6OL34oL9FSTvy64sA");
  builder.AddText(Type::kRealm, kSampleRealm);
  builder.AddU32(Type::kPasswordAlgorithm, 0x00020000);
  builder.AddIntegritySha256(key);
  EXPECT_THAT(builder.Finish(), ElementsAreArray(bytes));
}

TEST(Rfc8489Test, MacAsPrinted) {
  const Bytes covered = BytesFromHex(kRfc8489PrintedCovered);
  const std::span<const uint8_t> parts[] = {covered};
  std::array<uint8_t, 32> mac;
  HmacSha256(Digest(EVP_sha256(), kLongTermInput), parts, mac);
  EXPECT_THAT(mac, ElementsAreArray(BytesFromHex(kRfc8489PrintedMac)));
}

// RFC 4231 and RFC 2202, test case 6: a key longer than a block is hashed first.
TEST(HmacTest, KeysLongerThanABlock) {
  const Bytes long_key_256(131, 0xaa), long_key_1(80, 0xaa);
  const std::span<const uint8_t> parts[] = {Key("Test Using Larger Than Block-Size "),
                                            Key("Key - Hash Key First")};
  std::array<uint8_t, 32> mac256;
  HmacSha256(long_key_256, parts, mac256);
  EXPECT_THAT(mac256, ElementsAreArray(BytesFromHex(
                          "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54")));
  std::array<uint8_t, 20> mac1;
  HmacSha1(long_key_1, parts, mac1);
  EXPECT_THAT(mac1, ElementsAreArray(BytesFromHex("aa4ae5e15272d00e95705637ce8a3b55ed402112")));
}

TEST(Crc32Test, CheckValue) { EXPECT_EQ(Crc32(Key("123456789")), 0xCBF43926u); }

// RFC 8489, section 14.6: 16 to 32 bytes in steps of four, and nothing else.
TEST(IntegrityTest, TruncatedSha256) {
  for (size_t size = 0; size <= 40; ++size) {
    uint8_t buffer[128];
    StunBuilder builder(buffer, StunMethod::kBinding, StunClass::kRequest, kTransactionId);
    builder.AddText(Type::kUsername, "user");
    builder.AddIntegritySha256(Key("key"), size);
    const auto message = StunMessage::Parse(builder.Finish());
    const bool legal = size >= 16 && size <= 32 && size % 4 == 0;
    ASSERT_EQ(message.has_value(), legal) << size;
    if (!message) continue;
    EXPECT_TRUE(VerifyIntegritySha256(*message, Key("key"))) << size;
    EXPECT_FALSE(VerifyIntegritySha256(*message, Key("kex"))) << size;
  }
  // A peer may send any size: what is too short to trust, or too long, is refused even if right.
  for (size_t size : {0u, 4u, 12u, 13u, 18u, 36u}) {
    uint8_t buffer[128];
    StunBuilder builder(buffer, StunMethod::kBinding, StunClass::kRequest, kTransactionId);
    builder.Add(Type::kMessageIntegritySha256, Bytes(size));
    const std::span<uint8_t> bytes = builder.Finish();
    const std::span<const uint8_t> parts[] = {bytes.first(kStunHeaderSize)};
    std::array<uint8_t, 32> mac;
    HmacSha256(Key("key"), parts, mac);
    std::copy_n(mac.begin(), std::min<size_t>(size, 32), bytes.begin() + 24);
    EXPECT_FALSE(VerifyIntegritySha256(*StunMessage::Parse(bytes), Key("key"))) << size;
  }
}

TEST(IntegrityTest, BothAlgorithmsAndFingerprintInOneMessage) {
  uint8_t buffer[256];
  StunBuilder builder(buffer, StunMethod::kAllocate, StunClass::kRequest, kTransactionId);
  builder.AddText(Type::kUsername, "user");
  builder.AddIntegrity(Key("md5 key"));
  builder.AddIntegritySha256(Key("sha key"));
  builder.AddFingerprint();
  const auto message = StunMessage::Parse(builder.Finish());
  ASSERT_TRUE(message);
  EXPECT_TRUE(VerifyIntegrity(*message, Key("md5 key")));
  EXPECT_TRUE(VerifyIntegritySha256(*message, Key("sha key")));
  EXPECT_TRUE(VerifyFingerprint(*message));
}

TEST(IntegrityTest, FingerprintMustBeLast) {
  for (const bool last : {true, false}) {
    uint8_t buffer[256];
    StunBuilder builder(buffer, StunMethod::kBinding, StunClass::kRequest, kTransactionId);
    builder.AddFingerprint();
    if (!last) builder.AddText(Type::kSoftware, "late");
    const std::span<uint8_t> bytes = builder.Finish();
    // Right over the header as it stands now: its place alone is what makes the difference.
    StoreBe32(&bytes[24], Crc32(bytes.first(kStunHeaderSize)) ^ 0x5354554e);
    EXPECT_EQ(VerifyFingerprint(*StunMessage::Parse(bytes)), last);
  }
}

}  // namespace
}  // namespace sotto::relay
