// SPDX-License-Identifier: Apache-2.0
#include "tools/signaling_client/keys.h"

#include <gtest/gtest.h>
#include <sodium.h>

#include "tools/signaling_client/token.h"

namespace sotto::tools {
namespace {

Key CountedKey() {
  Key key;
  for (size_t i = 0; i < key.size(); ++i) key[i] = static_cast<uint8_t>(i);
  return key;
}

// Expected values were made without libsodium: BLAKE2b with salt and personalization as
// crypto_kdf's documentation says (Python's hashlib), SHA-512 and the public keys by OpenSSL.
TEST(KeysTest, AreDerivedAsTheProtocolSays) {
  const AccountSecret secret(CountedKey());
  EXPECT_EQ(ToHex(secret.Box().public_key),
            "138b4943214a1effc13fbc9f6ae9a4e3f7b524b96cf0c5826385d10234191561");
  EXPECT_EQ(ToHex(secret.Sign().public_key),
            "c6af4d6d148099cf42acb7875bacd98b9e3359ca8ef51da21ba6d9cbc812d824");
  EXPECT_EQ(ToHex(secret.EpochKey(2922, 0).public_key),
            "5a58860eac545349817a2eec88874289110ff42b237d8557b55b7fda9f8f4ffc");
  EXPECT_EQ(ToHex(secret.EpochKey(2922, 3).public_key),
            "49b1c8b4afde426398bd1fae856b8a23a4578365c7ac36ec70b424950bdbd257");
}

TEST(KeysTest, AccountNamesAreThoseOfTheProtocol) {
  for (const char* name : {"a", "bob@example.org", "A-Z.a_z~0+9"}) {
    EXPECT_TRUE(IsAccountName(name)) << name;
  }
  for (const char* name : {"", "a b", "a/b", "caf\xc3\xa9", "a\n"}) {
    EXPECT_FALSE(IsAccountName(name)) << name;
  }
  EXPECT_TRUE(IsAccountName(std::string(64, 'x')));
  EXPECT_FALSE(IsAccountName(std::string(65, 'x')));
}

TEST(KeysTest, TextFormsComeBack) {
  for (size_t size = 0; size < 70; ++size) {
    const std::string bytes = RandomBytes(size);
    EXPECT_EQ(FromHex(ToHex(AsBytes(bytes))).value(), bytes);
    EXPECT_EQ(FromBase64Url(ToBase64Url(AsBytes(bytes))).value(), bytes);
  }
  EXPECT_EQ(ToBase64Url(AsBytes("\xfb\xff")), "-_8");
  for (const char* wrong : {"0", "0g", "00 ", " 00"}) EXPECT_FALSE(FromHex(wrong).ok()) << wrong;
  for (const char* wrong : {"-_8=", "+/8", "a", "AAA AA"}) {
    EXPECT_FALSE(FromBase64Url(wrong).ok()) << wrong;
  }
}

// The example of docs/protocol.md.
TEST(TokenTest, IsTheExampleOfTheProtocol) {
  const Key seed = CountedKey();
  SignKeyPair pair;
  crypto_sign_seed_keypair(pair.public_key.data(), pair.secret_key.data(), seed.data());
  TokenSerial serial;
  for (size_t i = 0; i < serial.size(); ++i) serial[i] = static_cast<uint8_t>(0xa0 + i);
  const std::string token = IssueToken(pair, "bob@example.org", 2922, serial);
  EXPECT_EQ(ToHex(AsBytes(token)),
            "0100000b6aa0a1a2a3a4a5a6a7a8a9aaabacadaeaf"
            "19dbb87d334641fabf223d617b391efeca15a0f457404e9955d0a460b4fa422d"
            "898209f504478b8f6d090116da001776289549896ac26db03ae529b86b5c4b06");
  EXPECT_EQ(ToHex(NullifierOf("bob@example.org", 2922, serial)),
            "c4b145de349864a5724e1520bdbdb8c94f91777fb65bce2f7c82074b947fb517");
  const auto fields = ReadToken(token);
  ASSERT_TRUE(fields.has_value());
  EXPECT_EQ(fields->epoch, 2922u);
  EXPECT_EQ(fields->serial, serial);
}

TEST(TokenTest, OfAnotherVersionOrSizeIsNone) {
  std::string token(kTokenSize, '\0');
  EXPECT_FALSE(ReadToken(token));
  token[0] = 1;
  EXPECT_TRUE(ReadToken(token));
  EXPECT_FALSE(ReadToken(token.substr(1)));
  EXPECT_FALSE(ReadToken(token + "x"));
  EXPECT_FALSE(ReadToken(""));
}

TEST(TokenTest, EpochsAreWeeksSince1970) {
  EXPECT_EQ(EpochAt(0), 0u);
  EXPECT_EQ(EpochAt(604'799), 0u);
  EXPECT_EQ(EpochAt(604'800), 1u);
  EXPECT_EQ(EpochAt(1'767'225'600), 2922u);  // 2026-01-01
}

}  // namespace
}  // namespace sotto::tools
