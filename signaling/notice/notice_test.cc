// SPDX-License-Identifier: Apache-2.0
#include "signaling/notice/notice.h"

#include <gtest/gtest.h>

#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include "signaling/token/sodium.h"

namespace sotto::signaling {
namespace {

// --- The guarantee, kept by the compiler: there is no way from a caller's bytes into a notice.

template <typename Caller>
concept NoticeTakesCaller = requires(Caller caller) {
  Notice{NoticeKind::kSilenced, caller, UnixMinute::Of(0), SaturatingCount()};
};
static_assert(NoticeTakesCaller<VerifiedAccount>);
static_assert(NoticeTakesCaller<std::nullopt_t>);
static_assert(!NoticeTakesCaller<AccountId>);
static_assert(!NoticeTakesCaller<std::string>);
static_assert(!NoticeTakesCaller<std::string_view>);
static_assert(!NoticeTakesCaller<const char*>);
static_assert(!NoticeTakesCaller<std::vector<uint8_t>>);
static_assert(!NoticeTakesCaller<std::span<const uint8_t>>);

template <typename Bytes>
constexpr bool kMakesAny =
    std::is_constructible_v<VerifiedAccount, Bytes> || std::is_constructible_v<Notice, Bytes> ||
    std::is_constructible_v<UnixMinute, Bytes> || std::is_constructible_v<SaturatingCount, Bytes> ||
    std::is_constructible_v<NoticeKind, Bytes>;
static_assert(!kMakesAny<std::string> && !kMakesAny<std::string_view> && !kMakesAny<const char*>);
static_assert(!kMakesAny<std::vector<uint8_t>> && !kMakesAny<std::span<const uint8_t>>);
static_assert(!std::is_constructible_v<VerifiedAccount, AccountId>);
static_assert(!std::is_default_constructible_v<VerifiedAccount>);
static_assert(!std::is_constructible_v<UnixMinute, uint32_t>);
static_assert(!std::is_constructible_v<AccountId, std::string>);

struct KeyPair {
  KeyPair() {
    EnsureSodium();
    crypto_box_keypair(public_key.data(), secret_key.data());
  }
  bool Open(const SealedNotice& sealed, NoticeBytes& notice) const {
    return crypto_box_seal_open(notice.data(), sealed.data(), sealed.size(), public_key.data(),
                                secret_key.data()) == 0;
  }
  NoticeKey public_key;
  std::array<uint8_t, 32> secret_key;
};

Notice SomeNotice(std::string_view caller = "eve@example.org") {
  return {.kind = NoticeKind::kSilenced,
          .caller = VerifiedAccountForTest::Make(caller),
          .minute = UnixMinute::Of(1767225659),
          .count = SaturatingCount(0x1234)};
}

TEST(NoticeTest, HasTheFormOfTheSpecification) {
  const NoticeBytes bytes = EncodeNotice(SomeNotice());
  const std::string text(bytes.begin(), bytes.end());
  // 1767225659 / 60 = 29453760 = 0x01c16dc0
  EXPECT_EQ(text, std::string("\x01\x01\x12\x34\x01\xc1\x6d\xc0\x0f", 9) + "eve@example.org" +
                      std::string(96 - 9 - 15, '\0'));
}

TEST(NoticeTest, TheLongestCallerFits) {
  const std::string longest(kMaxAccountSize, 'z');
  const NoticeBytes bytes = EncodeNotice(SomeNotice(longest));
  EXPECT_EQ(bytes[8], 64);
  EXPECT_EQ(std::string(&bytes[9], &bytes[73]), longest);
  EXPECT_EQ(std::string(&bytes[73], bytes.data() + bytes.size()), std::string(23, '\0'));
}

TEST(NoticeTest, OfMoreNamesNobody) {
  const NoticeBytes bytes = EncodeNotice({.kind = NoticeKind::kMore,
                                          .caller = std::nullopt,
                                          .minute = UnixMinute::Of(0),
                                          .count = SaturatingCount(UINT16_MAX)});
  EXPECT_EQ(bytes[1], 3);
  EXPECT_EQ(std::string(&bytes[8], bytes.data() + bytes.size()), std::string(88, '\0'));
}

TEST(NoticeTest, CountsStayAtTheHighest) {
  SaturatingCount count(UINT16_MAX - 1);
  count.Increment();
  EXPECT_EQ(count.value(), UINT16_MAX);
  count.Increment();
  EXPECT_EQ(count.value(), UINT16_MAX);
}

TEST(NoticeTest, OpensWithTheDevicesKeyAndNoOther) {
  const KeyPair device, other;
  const SealedNotice sealed = SealNotice(SomeNotice(), device.public_key);
  NoticeBytes opened;
  ASSERT_TRUE(device.Open(sealed, opened));
  EXPECT_EQ(opened, EncodeNotice(SomeNotice()));
  EXPECT_FALSE(other.Open(sealed, opened));
}

TEST(NoticeTest, TheSameNoticeIsNeverSealedAlike) {
  const KeyPair device;
  EXPECT_NE(SealNotice(SomeNotice(), device.public_key),
            SealNotice(SomeNotice(), device.public_key));
}

TEST(NoticeTest, AKeyOfLowOrderGetsRandomBytes) {
  const NoticeKey zero = {}, one = {1};
  for (const NoticeKey& key : {zero, one}) {
    const SealedNotice first = SealNotice(SomeNotice(), key);
    EXPECT_NE(first, SealNotice(SomeNotice(), key));
    EXPECT_EQ(std::string(first.begin(), first.end()).find("eve"), std::string::npos);
  }
}

}  // namespace
}  // namespace sotto::signaling
