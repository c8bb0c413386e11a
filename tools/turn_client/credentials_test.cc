// SPDX-License-Identifier: Apache-2.0
#include "tools/turn_client/credentials.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/escaping.h"

namespace sotto::tools {
namespace {

std::string Hex(const std::vector<uint8_t>& bytes) {
  return absl::BytesToHexString(
      absl::string_view(reinterpret_cast<const char*>(bytes.data()), bytes.size()));
}

// Keys of RFC 5769, section 2.4 and RFC 8489, appendix B.1; made with coreutils:
//   printf 'マトリックス:example.org:TheMatrIX' | md5sum (sha256sum)
TEST(CredentialsTest, LongTermKeys) {
  const Credentials credentials = {"マトリックス", "TheMatrIX"};
  EXPECT_EQ(Hex(LongTermKey(relay::PasswordAlgorithm::kMd5, credentials, "example.org")),
            "e8ca7ad59d5eb0518e312911d2dab2a9");
  EXPECT_EQ(Hex(LongTermKey(relay::PasswordAlgorithm::kSha256, credentials, "example.org")),
            "dd295a613b9058c3c23d6dc7165bda072304d989c9d0af3a8c7e184b4f9bb4a1");
}

// RFC 8489, appendix B.1.
TEST(CredentialsTest, UserHash) {
  EXPECT_EQ(Hex(UserHash("マトリックス", "example.org")),
            "4a3cf38fef6992bda952c6780417da0f24819415569e60b205c46e41407f1704");
}

// printf 1800000000:alice | openssl dgst -sha1 -hmac north -binary | base64
TEST(CredentialsTest, TimeLimited) {
  const Credentials credentials = TimeLimitedCredentials("north", 1'800'000'000, "alice");
  EXPECT_EQ(credentials.username, "1800000000:alice");
  EXPECT_EQ(credentials.password, "sIm7pn/teO7y3AyXGeXl/xAQR6Q=");
}

TEST(CredentialsTest, FeaturesOfNonce) {
  const struct {
    std::string_view nonce;
    bool password_algorithms, username_anonymity;
  } kCases[] = {
      {"", false, false},
      {"0123456789", false, false},
      {"obMatJos2", false, false},
      {"obMatJos2wA", false, false},
      {"obMatJos2AAAA", false, false},
      {"obMatJos2gAAA0123", true, false},   // 100000 ...: bit 0 is the leftmost
      {"obMatJos2QAAA0123", false, true},   // 010000 ...
      {"obMatJos2wAAA0123", true, true},    // 110000 ...
      {"obMatJos2PwAA", false, false},      // 001111 110000 ...: bits that nobody has named
      {"obMatJos2****0123", false, false},  // not base64
      {"ObMatJos2wAAA0123", false, false},
  };
  for (const auto& c : kCases) {
    const SecurityFeatures features = FeaturesOfNonce(c.nonce);
    EXPECT_EQ(features.password_algorithms, c.password_algorithms) << c.nonce;
    EXPECT_EQ(features.username_anonymity, c.username_anonymity) << c.nonce;
  }
}

}  // namespace
}  // namespace sotto::tools
