// SPDX-License-Identifier: Apache-2.0
#include "relay/auth/nonce.h"

#include <gtest/gtest.h>

#include <string>

namespace sotto::relay {
namespace {

const TransportAddress kClient = {IpAddress::V4(203, 0, 113, 5), 40000};
constexpr uint32_t kBoth = kPasswordAlgorithmsFeature | kUsernameAnonymityFeature;
constexpr uint32_t kLifetime = 600;
constexpr uint64_t kNow = 5'000'000;

std::string Make(const NonceMaker& maker, uint64_t now = kNow,
                 const TransportAddress& client = kClient) {
  const NonceMaker::Text text = maker.Make(client, now);
  return {text.begin(), text.end()};
}

TEST(Nonce, BeginsWithTheCookieAndTheFeatures) {
  Random random;
  // Base64 of 0xC00000, 0x800000 and 0x000000 (RFC 8489, section 9.2: bit 0 is the leftmost).
  EXPECT_EQ(Make(NonceMaker(kBoth, kLifetime, random)).substr(0, 13), "obMatJos2wAAA");
  EXPECT_EQ(Make(NonceMaker(kPasswordAlgorithmsFeature, kLifetime, random)).substr(0, 13),
            "obMatJos2gAAA");
  EXPECT_EQ(Make(NonceMaker(0, kLifetime, random)).substr(0, 13), "obMatJos2AAAA");
}

TEST(Nonce, AnnouncesFeaturesOnlyBehindTheCookie) {
  EXPECT_EQ(NonceFeatures("obMatJos2wAAAxyz"), kBoth);
  EXPECT_EQ(NonceFeatures("obMatJos2gAAA"), kPasswordAlgorithmsFeature);
  EXPECT_EQ(NonceFeatures("obMatJos2AAAC"), 2u);  // the nonce of RFC 8489, appendix B.1
  for (const char* text :
       {"", "obMatJos2", "obMatJos2wAA", "ObMatJos2wAAA", "xbMatJos2wAAA", "obMatJos2!!!!"}) {
    EXPECT_EQ(NonceFeatures(text), 0u) << text;
  }
}

TEST(Nonce, IsValidForALifetimeAndNoLonger) {
  Random random;
  const NonceMaker maker(kBoth, kLifetime, random);
  const std::string nonce = Make(maker);
  EXPECT_EQ(nonce.size(), kNonceSize);
  EXPECT_TRUE(maker.Valid(nonce, kClient, kNow));
  EXPECT_TRUE(maker.Valid(nonce, kClient, kNow + kLifetime * 1000 - 1));
  EXPECT_FALSE(maker.Valid(nonce, kClient, kNow + kLifetime * 1000));
  EXPECT_FALSE(maker.Valid(nonce, kClient, kNow - 1000));  // from the future
}

TEST(Nonce, IsWorthNothingElsewhere) {
  Random random;
  const NonceMaker maker(kBoth, kLifetime, random);
  const std::string nonce = Make(maker);
  EXPECT_FALSE(maker.Valid(nonce, {IpAddress::V4(203, 0, 113, 6), 40000}, kNow));
  EXPECT_FALSE(maker.Valid(nonce, {IpAddress::V4(203, 0, 113, 5), 40001}, kNow));
  const NonceMaker other(kBoth, kLifetime, random);
  EXPECT_FALSE(other.Valid(nonce, kClient, kNow));
}

TEST(Nonce, ChangesWithEveryByte) {
  Random random;
  const NonceMaker maker(kBoth, kLifetime, random);
  const std::string nonce = Make(maker);
  for (size_t i = 0; i < nonce.size(); ++i) {
    for (char c : {'A', 'B', '/', '=', ' ', '\0', '\n'}) {
      std::string forged = nonce;
      if (forged[i] == c) continue;
      forged[i] = c;
      EXPECT_FALSE(maker.Valid(forged, kClient, kNow)) << i << " " << int{c};
    }
  }
  EXPECT_FALSE(maker.Valid(nonce.substr(1), kClient, kNow));
  EXPECT_FALSE(maker.Valid(nonce + "A", kClient, kNow));
  EXPECT_FALSE(maker.Valid("", kClient, kNow));
}

TEST(Nonce, TellsAnIpv4AddressFromAnIpv6OneOfTheSameBytes) {
  Random random;
  const NonceMaker maker(kBoth, kLifetime, random);
  std::array<uint8_t, 16> bytes = {203, 0, 113, 5};
  const std::string nonce = Make(maker);
  EXPECT_FALSE(maker.Valid(nonce, {IpAddress::V6(bytes), 40000}, kNow));
}

}  // namespace
}  // namespace sotto::relay
