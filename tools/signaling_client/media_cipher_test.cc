// SPDX-License-Identifier: Apache-2.0
#include "tools/signaling_client/media_cipher.h"

#include <gtest/gtest.h>

namespace sotto::tools {
namespace {

Key Filled(uint8_t byte) {
  Key key;
  key.fill(byte);
  return key;
}

class MediaCipherTest : public ::testing::Test {
 protected:
  MediaCipherTest() {
    for (size_t i = 0; i < hash_.size(); ++i) hash_[i] = static_cast<uint8_t>(i);
  }
  MediaCipher Make(CallSide side) {
    const BoxKeyPair& own = side == CallSide::kCaller ? caller_ : recipient_;
    const BoxKeyPair& peer = side == CallSide::kCaller ? recipient_ : caller_;
    return MediaCipher::Make(side, own, peer.public_key, hash_).value();
  }

  const BoxKeyPair caller_ = BoxKeyPairFromSecret(Filled(0x11));
  const BoxKeyPair recipient_ = BoxKeyPairFromSecret(Filled(0x22));
  Hash hash_;
};

// Expected values were made with Python's cryptography and hashlib.
TEST_F(MediaCipherTest, SealsAsTheProtocolSays) {
  MediaCipher caller = Make(CallSide::kCaller);
  EXPECT_EQ(ToHex(caller.Seal(AsBytes("sotto voce"))),
            "00000000000000005fda13c7f2b7d00f365631b6b49beb7972636a8dbcde0b0c44a1");
  MediaCipher recipient = Make(CallSide::kRecipient);
  recipient.Seal(AsBytes("before"));
  EXPECT_EQ(ToHex(recipient.Seal(AsBytes("sotto voce"))),
            "000000000000000163a8f5894d96cfa5266573e85ccaf29e36f0b09bf0d27270186a");
}

TEST_F(MediaCipherTest, EachSideOpensTheOthersAndNotItsOwn) {
  MediaCipher caller = Make(CallSide::kCaller), recipient = Make(CallSide::kRecipient);
  for (uint64_t i = 0; i < 3; ++i) {
    const auto sealed = caller.Seal(AsBytes("hush"));
    const auto opened = recipient.Open(sealed);
    ASSERT_TRUE(opened.has_value());
    EXPECT_EQ(opened->sequence, i);
    EXPECT_EQ(AsString(opened->media), "hush");
    EXPECT_FALSE(caller.Open(sealed).has_value());
  }
}

TEST_F(MediaCipherTest, AnyChangedBitIsNoticed) {
  MediaCipher caller = Make(CallSide::kCaller), recipient = Make(CallSide::kRecipient);
  const auto sealed = caller.Seal(AsBytes("hush"));
  for (size_t bit = 0; bit < sealed.size() * 8; ++bit) {
    std::vector<uint8_t> changed(sealed.begin(), sealed.end());
    changed[bit / 8] = static_cast<uint8_t>(changed[bit / 8] ^ (1 << bit % 8));
    EXPECT_FALSE(recipient.Open(changed).has_value()) << "bit " << bit;
  }
  EXPECT_FALSE(recipient.Open(sealed.first(kMediaOverhead - 1)).has_value());
  EXPECT_FALSE(recipient.Open({}).has_value());
}

TEST_F(MediaCipherTest, IsBoundToItsCall) {
  MediaCipher caller = Make(CallSide::kCaller);
  const auto sealed = caller.Seal(AsBytes("hush"));
  hash_[31] ^= 1;
  EXPECT_FALSE(Make(CallSide::kRecipient).Open(sealed).has_value());
}

TEST_F(MediaCipherTest, ShareOfLowOrderIsRefused) {
  EXPECT_FALSE(MediaCipher::Make(CallSide::kCaller, caller_, Key{}, hash_).ok());
  EXPECT_FALSE(MediaCipher::Make(CallSide::kCaller, caller_, Key{1}, hash_).ok());
}

}  // namespace
}  // namespace sotto::tools
