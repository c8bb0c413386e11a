// SPDX-License-Identifier: Apache-2.0
// sottoctl capture: what it asks, and where and how it writes what comes.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <thread>

#include "relay/api/admin.pb.h"
#include "tools/sottoctl/command_fixture.h"

namespace sotto::tools {
namespace {

using ::testing::HasSubstr;

const std::string kAdmin = "sotto.relay.v1.Admin.";

using CaptureCommand = CommandTest;

TEST_F(CaptureCommand, CaptureWritesWhatComes) {
  relay::v1::CaptureChunk first, last;
  first.set_pcapng("head");
  first.set_packets(1);
  last.set_pcapng("tail");
  last.set_packets(3);
  last.set_missed(2);
  fake_.Answer(kAdmin + "Capture", first, last);
  const std::string path = ::testing::TempDir() + "/capture_writes_what_comes.pcapng";
  EXPECT_EQ(
      Table({"capture", "--to", path, "--filter", "host=192.0.2.0/24", "drop=any", "port=3478",
             "direction=rx", "allocation=9", "--packets", "50", "--duration", "2m", "--payload"}),
      "3 packets captured, 2 missed.\n");
  std::ifstream file(path, std::ios::binary);
  EXPECT_EQ(std::string(std::istreambuf_iterator<char>(file), {}), "headtail");
  EXPECT_EQ(std::filesystem::status(path).permissions(),
            std::filesystem::perms::owner_read | std::filesystem::perms::owner_write)
      << "packets are nobody else's business";
  const auto request = fake_.Last<relay::v1::CaptureRequest>(kAdmin + "Capture");
  EXPECT_EQ(request.filter().host(), "192.0.2.0/24");
  EXPECT_EQ(request.filter().drop_reason(), "any");
  EXPECT_EQ(request.filter().udp_port(), 3478u);
  EXPECT_EQ(request.filter().direction(), relay::v1::CaptureRequest::Filter::DIRECTION_RX);
  EXPECT_EQ(request.filter().allocation(), 9u);
  EXPECT_EQ(request.max_packets(), 50u);
  EXPECT_EQ(request.max_seconds(), 120u);
  EXPECT_TRUE(request.payload());
  EXPECT_EQ(InJson({"capture", "--to", path})["missed"], 2);
  std::filesystem::remove(path);

  const Ran piped = Run({"capture", "--to", "-"});
  EXPECT_EQ(piped.out, "headtail");
  EXPECT_EQ(piped.err, "sottoctl: 3 packets captured, 2 missed.\n");
  runner_.terminal_width = 80;
  EXPECT_THAT(Run({"capture", "--to", "-"}).err, HasSubstr("to a terminal"));
}

TEST_F(CaptureCommand, ACaptureThatIsRefusedLeavesTheFileAsItWas) {
  fake_.Refuse(kAdmin + "Capture", absl::StatusCode::kFailedPrecondition, "another one runs");
  const std::string path = ::testing::TempDir() + "/capture_refused.pcapng";
  std::ofstream(path) << "precious";
  const Ran ran = Run({"capture", "--to", path});
  EXPECT_EQ(ran.code, kExitFailed);
  EXPECT_EQ(ran.err, "sottoctl: another one runs\n");
  std::ifstream file(path);
  EXPECT_EQ(std::string(std::istreambuf_iterator<char>(file), {}), "precious");
  std::filesystem::remove(path);
}

TEST_F(CaptureCommand, CaptureFiltersAreCheckedBeforeAnythingIsAsked) {
  for (const char* filter : {"host=nowhere", "port=0", "port=65536", "direction=up",
                             "drop=", "colour=red", "port", "allocation=x"}) {
    const Ran ran = Run({"capture", "--to", "/nonexistent/file", "--filter", filter});
    EXPECT_EQ(ran.code, kExitUsage) << filter;
    EXPECT_THAT(ran.err, HasSubstr(filter));
  }
  EXPECT_EQ(fake_.calls(kAdmin + "Capture"), 0u);
}

// A folder of our own, and a relay that has one packet.
class CaptureFileCommand : public CommandTest {
 protected:
  CaptureFileCommand() : folder_(::testing::TempDir() + "capture-XXXXXX") {
    EXPECT_NE(mkdtemp(folder_.data()), nullptr);
    relay::v1::CaptureChunk chunk;
    chunk.set_pcapng("packets");
    chunk.set_packets(1);
    fake_.Answer(kAdmin + "Capture", chunk);
  }
  ~CaptureFileCommand() override { std::filesystem::remove_all(folder_); }

  std::string Path(const std::string& name) const { return folder_ + "/" + name; }
  // A file that is there before.
  std::string Make(const std::string& name, mode_t mode) const {
    const std::string path = Path(name);
    std::ofstream(path) << "something longer that was there before";
    EXPECT_EQ(chmod(path.c_str(), mode), 0);
    return path;
  }
  static std::string Content(const std::string& path) {
    std::ifstream file(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), {}};
  }
  static mode_t Mode(const std::string& path) {
    struct stat file = {};
    EXPECT_EQ(lstat(path.c_str(), &file), 0);
    return file.st_mode & 07777;
  }
  void ExpectRefused(const std::string& path, const std::string& why) {
    const Ran ran = Run({"capture", "--to", path});
    EXPECT_EQ(ran.code, kExitFailed);
    EXPECT_THAT(ran.err, HasSubstr("sottoctl: " + path + " " + why));
  }

  std::string folder_;
};

TEST_F(CaptureFileCommand, AFileThatIsThereIsEmptiedAndClosedToOthers) {
  const std::string path = Make("old.pcapng", 0644);
  EXPECT_EQ(Table({"capture", "--to", path}), "1 packet captured, 0 missed.\n");
  EXPECT_EQ(Content(path), "packets");
  EXPECT_EQ(Mode(path), 0600u);
}

TEST_F(CaptureFileCommand, ASymbolicLinkIsRefusedAndWhatItLeadsToStays) {
  const std::string precious = Make("precious", 0644);
  std::filesystem::create_symlink(precious, Path("link"));
  ExpectRefused(Path("link"), "is a symbolic link");
  EXPECT_THAT(Content(precious), HasSubstr("before"));
  EXPECT_EQ(Mode(precious), 0644u);
  // Nor is a file made through one.
  std::filesystem::create_symlink(Path("none"), Path("dangling"));
  ExpectRefused(Path("dangling"), "is a symbolic link");
  EXPECT_FALSE(std::filesystem::exists(Path("none")));
}

TEST_F(CaptureFileCommand, AFileOfAnotherUserIsRefusedAndStays) {
  ASSERT_EQ(geteuid(), 0u) << "only root may write another's file: run this as root";
  const std::string path = Make("theirs", 0666);
  ASSERT_EQ(chown(path.c_str(), 65534, 65534), 0);
  ExpectRefused(path, "belongs to another user");
  EXPECT_THAT(Content(path), HasSubstr("before"));
  EXPECT_EQ(Mode(path), 0666u);
}

TEST_F(CaptureFileCommand, NamedPipesAndDevicesAreWrittenAsTheyAre) {
  const std::string pipe = Path("pipe");
  ASSERT_EQ(mkfifo(pipe.c_str(), 0644), 0);
  ASSERT_EQ(chmod(pipe.c_str(), 0644), 0);
  std::string read;
  std::thread reader([&] { read = Content(pipe); });
  EXPECT_EQ(Run({"capture", "--to", pipe}).code, kExitDone);
  reader.join();
  EXPECT_EQ(read, "packets");
  EXPECT_EQ(Mode(pipe), 0644u);

  EXPECT_EQ(Run({"capture", "--to", "/dev/null"}).code, kExitDone);
  EXPECT_EQ(Mode("/dev/null"), 0666u);
  const Ran full = Run({"capture", "--to", "/dev/full"});
  EXPECT_EQ(full.code, kExitFailed);
  EXPECT_THAT(full.err, HasSubstr("/dev/full can't be written"));
  ExpectRefused(Path("no/folder"), "can't be opened: No such file or directory");
}

TEST_F(CaptureFileCommand, StandardOutputAndThePipesOfShellsAreWrittenThrough) {
  EXPECT_EQ(Run({"capture", "--to", "/dev/stdout"}).out, "packets");
  int ends[2];
  ASSERT_EQ(pipe(ends), 0);
  EXPECT_EQ(Run({"capture", "--to", "/dev/fd/" + std::to_string(ends[1])}).code, kExitDone);
  close(ends[1]);
  char bytes[16];
  EXPECT_EQ(read(ends[0], bytes, sizeof(bytes)), 7);
  close(ends[0]);
}

}  // namespace
}  // namespace sotto::tools
