// SPDX-License-Identifier: Apache-2.0
#include "relay/auth/credential.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "absl/strings/escaping.h"
#include "relay/base/test_hex.h"
#include "relay/stun/integrity.h"
#include "relay/stun/message.h"

namespace sotto::relay {
namespace {

std::string Hex(std::span<const uint8_t> bytes) {
  return absl::BytesToHexString(
      absl::string_view(reinterpret_cast<const char*>(bytes.data()), bytes.size()));
}

// "matorikkusu" in katakana, as RFC 5769 and RFC 8489 use it.
constexpr std::string_view kMatrix =
    "\xe3\x83\x9e\xe3\x83\x88\xe3\x83\xaa\xe3\x83\x83\xe3\x82\xaf\xe3\x82\xb9";

TEST(CredentialKey, Md5IsThatOfTheExampleInRfc8489) {
  const CredentialKey key(PasswordAlgorithm::kMd5, "user", "realm", "pass");
  EXPECT_EQ(Hex(key.bytes()), "8493fbc53ba582fb4c044c456bdc40eb");
  EXPECT_EQ(key.algorithm(), PasswordAlgorithm::kMd5);
}

TEST(CredentialKey, Md5VerifiesTheRequestOfRfc5769) {
  const std::vector<uint8_t> request = BytesFromHex(
      "000100602112a44278ad3433c6ad72c029da412e"
      "00060012e3839ee38388e383aae38383e382afe382b90000"
      "0015001c662f2f3439396b3935346436"
      "4f4c33346f4c39465354767936347341"
      "0014000b6578616d706c652e6f726700"
      "00080014f67024656dd64a3e02b8e0712e85c9a28ca89666");
  const auto message = StunMessage::Parse(request);
  ASSERT_TRUE(message);
  const CredentialKey right(PasswordAlgorithm::kMd5, kMatrix, "example.org", "TheMatrIX");
  const CredentialKey wrong(PasswordAlgorithm::kMd5, kMatrix, "example.org", "TheMatrix");
  EXPECT_TRUE(VerifyIntegrity(*message, right.bytes()));
  EXPECT_FALSE(VerifyIntegrity(*message, wrong.bytes()));
}

// RFC 8489, appendix B.1, as corrected by erratum 6268.
TEST(CredentialKey, Sha256VerifiesTheRequestOfRfc8489) {
  const std::vector<uint8_t> request = BytesFromHex(
      "000100902112a44278ad3433c6ad72c029da412e"
      "001e00204a3cf38fef6992bda952c6780417da0f24819415569e60b205c46e41407f1704"
      "001500296f624d61744a6f73324141414366"
      "2f2f3439396b39353464364f4c33346f4c39465354767936347341000000"
      "0014000b6578616d706c652e6f726700"
      "001d000400020000"
      "001c0020b5c7bf005b6c52a21c51c5e892f81924136296cb927c43149309278cc6518e65");
  const auto message = StunMessage::Parse(request);
  ASSERT_TRUE(message);
  const CredentialKey right(PasswordAlgorithm::kSha256, kMatrix, "example.org", "TheMatrIX");
  const CredentialKey md5(PasswordAlgorithm::kMd5, kMatrix, "example.org", "TheMatrIX");
  EXPECT_EQ(right.algorithm(), PasswordAlgorithm::kSha256);
  EXPECT_TRUE(VerifyIntegritySha256(*message, right.bytes()));
  EXPECT_FALSE(VerifyIntegritySha256(*message, md5.bytes()));

  const UserHash hash = MakeUserHash(kMatrix, "example.org");
  EXPECT_EQ(Hex(hash), Hex(message->Find(StunAttributeType::kUserHash)->value));
}

TEST(TimeLimitedName, IsAnExpiryAndAName) {
  const auto name = ParseTimeLimitedName("1700000000:call-7/a");
  ASSERT_TRUE(name);
  EXPECT_EQ(name->expiry_unix_s, 1700000000);
  EXPECT_EQ(name->name, "call-7/a");
  // Only the first colon parts the two.
  EXPECT_EQ(ParseTimeLimitedName("5:a:b")->name, "a:b");
}

TEST(TimeLimitedName, MayBeAnExpiryAlone) {
  const auto name = ParseTimeLimitedName("1700000000");
  ASSERT_TRUE(name);
  EXPECT_EQ(name->name, "1700000000");
}

TEST(TimeLimitedName, IsNothingElse) {
  for (const char* text : {"", ":", "1:", ":alice", "alice", "17x:alice", "-1:alice", " 1:alice",
                           "+1:alice", "9999999999999999:alice", "1 :alice"}) {
    EXPECT_FALSE(ParseTimeLimitedName(text)) << text;
  }
}

// Worked out with: printf 1700000000:alice | openssl dgst -sha1 -hmac north -binary | base64
TEST(TimeLimitedPassword, IsTheBase64OfAnHmac) {
  EXPECT_EQ(MintTimeLimitedPassword("north", "1700000000:alice"), "Cd/49soE35ICqcJF/bCTn8Z4OyE=");
}

}  // namespace
}  // namespace sotto::relay
