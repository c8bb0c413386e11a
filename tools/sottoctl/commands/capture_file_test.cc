// SPDX-License-Identifier: Apache-2.0
#include "tools/sottoctl/commands/capture_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>

namespace sotto::tools {
namespace {

using ::testing::HasSubstr;

class CaptureFileTest : public ::testing::Test {
 protected:
  ~CaptureFileTest() override { std::filesystem::remove(path_); }

  // Words in this host's byte order, or in the other.
  void Words(std::initializer_list<uint32_t> words, bool swapped = false) {
    for (uint32_t word : words) {
      if (swapped) word = __builtin_bswap32(word);
      bytes_.append(reinterpret_cast<const char*>(&word), sizeof(word));
    }
  }
  absl::StatusOr<std::vector<CapturedFrame>> Frames() {
    std::ofstream(path_, std::ios::binary) << bytes_;
    auto file = CaptureFile::Open(path_);
    if (!file.ok()) return file.status();
    std::vector<CapturedFrame> frames;
    while (true) {
      auto frame = file->Next();
      if (!frame.ok()) return frame.status();
      if (!*frame) return frames;
      frames.push_back(**std::move(frame));
    }
  }
  void Section(bool swapped) {
    Words({0x0a0d0d0a, 28, 0x1a2b3c4d}, swapped);
    bytes_ += swapped ? std::string("\0\1\0\0", 4) : std::string("\1\0\0\0", 4);
    Words({0xffffffff, 0xffffffff, 28}, swapped);
  }
  void Interface(bool swapped, char link = 1) {
    Words({1, 20}, swapped);
    bytes_ += swapped ? std::string{0, link, 0, 0} : std::string{link, 0, 0, 0};
    Words({96, 20}, swapped);
  }

  const std::string path_ =
      ::testing::TempDir() + "/capture_file_" + std::to_string(getpid()) + ".cap";
  std::string bytes_;
};

TEST_F(CaptureFileTest, PcapOfEitherByteOrder) {
  for (const bool swapped : {false, true}) {
    bytes_.clear();
    Words({swapped ? 0xa1b23c4du : 0xa1b2c3d4u, 0x00040002, 0, 0, 65535, 1}, swapped);
    Words({1, 2, 3, 100}, swapped);
    bytes_ += "abc";
    const auto frames = Frames();
    ASSERT_TRUE(frames.ok()) << frames.status();
    ASSERT_EQ(frames->size(), 1u);
    EXPECT_EQ(frames->at(0).bytes, "abc");
    EXPECT_EQ(frames->at(0).original_size, 100u);
  }
}

TEST_F(CaptureFileTest, PcapngOfSeveralSections) {
  for (const bool swapped : {false, true}) {
    Section(swapped);
    Words({0x0bad, 16, 0, 16}, swapped);  // a block of no known type
    Interface(swapped);
    Words({6, 36, 0, 0, 0, 3, 60}, swapped);
    bytes_ += std::string("abc\0", 4);
    Words({36}, swapped);
    Words({3, 20, 4}, swapped);
    bytes_ += "wxyz";
    Words({20}, swapped);
  }
  const auto frames = Frames();
  ASSERT_TRUE(frames.ok()) << frames.status();
  ASSERT_EQ(frames->size(), 4u);
  for (const size_t i : {0, 2}) {
    EXPECT_EQ(frames->at(i).bytes, "abc");
    EXPECT_EQ(frames->at(i).original_size, 60u);
    EXPECT_EQ(frames->at(i + 1).bytes, "wxyz");
  }
}

TEST_F(CaptureFileTest, OtherFilesAreRefused) {
  EXPECT_THAT(std::string(Frames().status().message()), HasSubstr("it is empty"));
  bytes_ = "GIF89a, or so";
  EXPECT_THAT(std::string(Frames().status().message()), HasSubstr("neither pcap nor pcapng"));
  bytes_.clear();
  Words({0xa1b2c3d4, 0x00040002, 0, 0, 65535, 113});
  EXPECT_THAT(std::string(Frames().status().message()), HasSubstr("not of Ethernet"));
  bytes_.clear();
  Section(false);
  Interface(false, 113);
  EXPECT_THAT(std::string(Frames().status().message()), HasSubstr("not of Ethernet"));
  EXPECT_FALSE(CaptureFile::Open("/nonexistent").ok());
}

TEST_F(CaptureFileTest, LyingLengthsAreRefused) {
  const auto refused = [this](std::string_view what) {
    const auto frames = Frames();
    ASSERT_FALSE(frames.ok()) << what;
    EXPECT_THAT(std::string(frames.status().message()), HasSubstr("at byte ")) << what;
    bytes_.clear();
  };
  Words({0xa1b2c3d4, 0x00040002, 0, 0, 65535, 1, 0, 0, 0xffffffff, 1});
  refused("a packet of 4 GiB");
  Section(false);
  Words({7, 0xfffffffc});
  refused("a block of 4 GiB");
  Section(false);
  Words({7, 8, 0, 0});
  refused("a block shorter than its header");
  Section(false);
  Interface(false);
  Words({6, 36, 0, 0, 0, 5, 5, 0, 36});
  refused("more captured than the block has");
  Section(false);
  Words({6, 36, 0, 0, 0, 4, 4, 0, 36});
  refused("an interface that isn't");
  Words({0x0a0d0d0a, 8, 0x1a2b3c4d, 1, 0, 0, 28});
  refused("a section header shorter than itself");
}

TEST_F(CaptureFileTest, EveryTruncationEndsInOrder) {
  Section(false);
  Interface(false);
  Words({6, 36, 0, 0, 0, 4, 4});
  bytes_ += "abcd";
  Words({36});
  const std::string whole = bytes_;
  for (size_t size = 0; size < whole.size(); ++size) {
    bytes_ = whole.substr(0, size);
    const auto frames = Frames();
    // Between two blocks the file is whole.
    const bool between = size == 28 || size == 48;
    EXPECT_EQ(frames.ok(), between) << size;
    if (frames.ok()) {
      EXPECT_TRUE(frames->empty()) << size;
    }
  }
}

}  // namespace
}  // namespace sotto::tools
