// SPDX-License-Identifier: Apache-2.0
#include "tools/signaling_client/notice.h"

#include <gtest/gtest.h>
#include <sodium.h>

namespace sotto::tools {
namespace {

// As docs/protocol.md lays it out; written here byte by byte so that it checks the reader.
std::string Plain(uint8_t kind, uint16_t count, uint32_t minute, std::string_view caller) {
  std::string bytes(96, '\0');
  bytes[0] = 1;
  bytes[1] = static_cast<char>(kind);
  bytes[2] = static_cast<char>(count >> 8);
  bytes[3] = static_cast<char>(count);
  for (int i = 0; i < 4; ++i) bytes[4 + i] = static_cast<char>(minute >> (24 - 8 * i));
  bytes[8] = static_cast<char>(caller.size());
  bytes.replace(9, caller.size(), caller);
  return bytes;
}

std::string Seal(const std::string& plain, const BoxKeyPair& device) {
  std::string sealed(plain.size() + crypto_box_SEALBYTES, '\0');
  crypto_box_seal(reinterpret_cast<uint8_t*>(sealed.data()), AsBytes(plain).data(), plain.size(),
                  device.public_key.data());
  return sealed;
}

TEST(NoticeTest, IsReadAsTheProtocolSays) {
  const BoxKeyPair device = MakeBoxKeyPair();
  const std::string sealed = Seal(Plain(1, 0x1234, 29'453'760, "mallory"), device);
  EXPECT_EQ(sealed.size(), kSealedNoticeSize);
  const auto notice = OpenNotice(sealed, device);
  ASSERT_TRUE(notice.ok()) << notice.status();
  EXPECT_EQ(notice->kind, OpenedNotice::Kind::kSilenced);
  EXPECT_EQ(notice->count, 0x1234);
  EXPECT_EQ(notice->minute, 29'453'760u);
  EXPECT_EQ(notice->caller, "mallory");
  EXPECT_TRUE(OpenNotice(Seal(Plain(3, 9, 1, ""), device), device).ok());
  EXPECT_TRUE(OpenNotice(Seal(Plain(2, 1, 1, std::string(64, 'x')), device), device).ok());
}

TEST(NoticeTest, NothingElseIsOne) {
  const BoxKeyPair device = MakeBoxKeyPair();
  const auto opens = [&](std::string plain) {
    return OpenNotice(Seal(plain, device), device).ok();
  };
  const std::string good = Plain(1, 1, 1, "mallory");
  EXPECT_TRUE(opens(good));
  const auto with = [&](size_t at, char byte) {
    std::string changed = good;
    changed[at] = byte;
    return changed;
  };
  EXPECT_FALSE(opens(with(0, 2))) << "version";
  EXPECT_FALSE(opens(with(1, 0))) << "kind";
  EXPECT_FALSE(opens(with(1, 4))) << "kind";
  EXPECT_FALSE(opens(with(3, 0))) << "count of none";
  EXPECT_FALSE(opens(with(8, 65))) << "length";
  EXPECT_FALSE(opens(with(8, 6))) << "padding behind the name";
  EXPECT_FALSE(opens(with(9, ' '))) << "name";
  EXPECT_FALSE(opens(with(95, 1))) << "zeros";
  EXPECT_FALSE(opens(Plain(1, 1, 1, ""))) << "silenced, by nobody";
  EXPECT_FALSE(opens(Plain(3, 1, 1, "mallory"))) << "more, with a caller";
  EXPECT_FALSE(opens(good + '\0')) << "size";
  EXPECT_FALSE(OpenNotice(Seal(good, device), MakeBoxKeyPair()).ok()) << "another device's";
}

}  // namespace
}  // namespace sotto::tools
