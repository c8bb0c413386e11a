// SPDX-License-Identifier: Apache-2.0
// How sottoctl finds its daemon, and what it says if it doesn't.
#include "tools/sottoctl/daemon_client.h"

#include <gmock/gmock.h>
#include <grp.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstring>
#include <filesystem>
#include <fstream>
#include <thread>

#include "relay/api/admin.pb.h"
#include "tools/sottoctl/fake_daemon.h"
#include "tools/sottoctl/run_sottoctl.h"

namespace sotto::tools {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::StartsWith;

const std::string kGetStatus = "sotto.relay.v1.Admin.GetStatus";
const std::string kListAllocations = "sotto.relay.v1.Admin.ListAllocations";

class DaemonClientTest : public ::testing::Test {
 protected:
  DaemonClientTest() {
    std::string folder =
        (std::filesystem::temp_directory_path() / "daemon-client-test-XXXXXX").string();
    EXPECT_NE(mkdtemp(folder.data()), nullptr);
    folder_ = folder;
  }
  ~DaemonClientTest() override { std::filesystem::remove_all(folder_); }

  Ran Status(const std::string& target) { return runner_.Run({"status", "--target", target}); }

  // A socket, whose name stays in its folder.
  int Bind(const std::string& path) {
    sockaddr_un address = {};
    address.sun_family = AF_UNIX;
    std::strncpy(address.sun_path, path.c_str(), sizeof(address.sun_path) - 1);
    const int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    EXPECT_EQ(bind(fd, reinterpret_cast<sockaddr*>(&address), sizeof(address)), 0);
    return fd;
  }
  std::string DeadSocket() {
    const std::string path = folder_ + "/dead.sock";
    close(Bind(path));
    return path;
  }

  std::string folder_;
  Runner runner_;
};

TEST_F(DaemonClientTest, AMissingSocketIsNamed) {
  const Ran ran = Status("unix:" + folder_ + "/none.sock");
  EXPECT_EQ(ran.code, kExitUnreachable);
  EXPECT_EQ(ran.err, "sottoctl: there is no socket " + folder_ +
                         "/none.sock; is sotto-relayd running, and is this its [admin] socket? "
                         "(--target names another)\n");
  EXPECT_EQ(ran.out, "");
}

TEST_F(DaemonClientTest, ADeadSocketSaysThatTheDaemonHasEnded) {
  const std::string path = DeadSocket();
  const Ran ran = Status("unix:" + path);
  EXPECT_EQ(ran.code, kExitUnreachable);
  EXPECT_EQ(ran.err, "sottoctl: nothing listens on " + path +
                         "; sotto-relayd is not running: see systemctl status sotto-relayd\n");
}

TEST_F(DaemonClientTest, APermissionThatIsMissingNamesTheGroup) {
  ASSERT_EQ(geteuid(), 0u) << "only root may become somebody else: run this as root";
  const std::string path = DeadSocket();
  ASSERT_EQ(chmod(folder_.c_str(), 0755), 0);
  ASSERT_EQ(chmod(path.c_str(), 0660), 0);
  const group* owners = getgrnam("adm");
  ASSERT_NE(owners, nullptr);
  ASSERT_EQ(chown(path.c_str(), 0, owners->gr_gid), 0);
  // In a process of its own: gRPC's threads stay root.
  int ends[2];
  ASSERT_EQ(pipe(ends), 0);
  const pid_t child = fork();
  if (child == 0) {
    if (setgroups(0, nullptr) != 0 || setgid(65534) != 0 || setuid(65534) != 0) _exit(99);
    const Ran ran = Status("unix:" + path);
    if (write(ends[1], ran.err.data(), ran.err.size()) < 0) _exit(98);
    _exit(ran.code);
  }
  close(ends[1]);
  std::string words(4096, '\0');
  words.resize(
      static_cast<size_t>(std::max<ssize_t>(0, read(ends[0], words.data(), words.size()))));
  close(ends[0]);
  int status = 0;
  waitpid(child, &status, 0);
  EXPECT_EQ(WEXITSTATUS(status), kExitUnreachable);
  EXPECT_EQ(words, "sottoctl: no permission for " + path +
                       ": it belongs to root:adm with mode 0660; run this as root, or as a member "
                       "of the group adm\n");
}

TEST_F(DaemonClientTest, TargetsThatAreNoneAreRefused) {
  for (const char* target : {"relay", "unix:", "/run/x.sock", "relay:", ":3479"}) {
    const Ran ran = Status(target);
    EXPECT_EQ(ran.code, kExitUsage) << target;
    EXPECT_THAT(ran.err, StartsWith(std::string("sottoctl: \"") + target + "\"")) << target;
  }
  EXPECT_EQ(Status("unix:/" + std::string(200, 'x')).code, kExitUsage);
}

TEST_F(DaemonClientTest, TcpNeedsAllThreeFiles) {
  EXPECT_THAT(Status("127.0.0.1:1").err, HasSubstr("mutual TLS: give --ca, --cert and --key"));
  EXPECT_THAT(runner_.Run({"status", "--target", "unix:/x", "--ca", "x"}).err,
              HasSubstr("is guarded by file permissions"));
  const Ran ran = runner_.Run({"status", "--target", "127.0.0.1:1", "--ca", folder_ + "/ca.pem",
                               "--cert", "x", "--key", "x"});
  EXPECT_EQ(ran.code, kExitUsage);
  EXPECT_EQ(ran.err, "sottoctl: --ca: " + folder_ + "/ca.pem can't be read as a PEM file\n");
}

TEST_F(DaemonClientTest, TheEnvironmentNamesTheTarget) {
  runner_.environment["SOTTO_TARGET"] = "unix:" + folder_ + "/other.sock";
  EXPECT_THAT(runner_.Run({"status"}).err, HasSubstr(folder_ + "/other.sock"));
  runner_.environment.clear();
  EXPECT_THAT(runner_.Run({"status"}).err, HasSubstr("/run/sotto/relayd.sock"));
}

TEST_F(DaemonClientTest, NoAnswerInTimeIsUnreachable) {
  FakeDaemon fake;
  fake.Hang(kGetStatus);
  const Ran ran = runner_.Run({"status", "--target", fake.target(), "--timeout", "300ms"});
  EXPECT_EQ(ran.code, kExitUnreachable);
  EXPECT_THAT(ran.err, AllOf(HasSubstr("no answer from sotto-relayd"), HasSubstr("0.3 s")));
}

// Its kernel takes connections, and it says nothing on them.
TEST_F(DaemonClientTest, ADaemonThatHangsIsToldWhenTheTimeoutIsOverNoSoonerNorLater) {
  const std::string path = folder_ + "/hangs.sock";
  const int fd = Bind(path);
  ASSERT_EQ(listen(fd, 8), 0);
  for (const auto& [timeout, told] :
       {std::pair("200ms", "within 0.2 s"), std::pair("1500ms", "within 1.5 s")}) {
    const auto began = std::chrono::steady_clock::now();
    const Ran ran = runner_.Run({"status", "--target", "unix:" + path, "--timeout", timeout});
    EXPECT_EQ(ran.code, kExitUnreachable);
    EXPECT_THAT(ran.err, AllOf(HasSubstr("no answer from sotto-relayd"), HasSubstr(told)));
    // Far above any of them, as the machine may be busy, and below what it is without --timeout.
    EXPECT_LT(std::chrono::steady_clock::now() - began, std::chrono::seconds(8));
  }
  close(fd);
}

TEST_F(DaemonClientTest, AnInterruptEndsWhatWaits) {
  FakeDaemon fake;
  fake.Hang(kGetStatus);
  std::thread interrupt([&] {
    while (fake.calls(kGetStatus) == 0) std::this_thread::yield();
    runner_.stop = true;
  });
  const Ran ran = Status(fake.target());
  interrupt.join();
  EXPECT_EQ(ran.code, kExitFailed);
  EXPECT_EQ(ran.err, "sottoctl: interrupted\n");
}

TEST_F(DaemonClientTest, AnotherDaemonIsTold) {
  FakeDaemon fake;
  const Ran ran = Status(fake.target());
  EXPECT_EQ(ran.code, kExitFailed);
  EXPECT_THAT(ran.err,
              HasSubstr("does not know Admin.GetStatus; it is not sotto-relayd, or is older"));
}

TEST_F(DaemonClientTest, ADaemonThatCantForNowIsReached) {
  FakeDaemon fake;
  fake.Refuse(kGetStatus, absl::StatusCode::kUnavailable, "too many requests wait; try again");
  const Ran ran = Status(fake.target());
  EXPECT_EQ(ran.code, kExitFailed);
  EXPECT_EQ(ran.err, "sottoctl: too many requests wait; try again\n");
}

TEST_F(DaemonClientTest, WhatIsntAnAnswerIsRefused) {
  FakeDaemon fake;
  fake.Stream(kGetStatus, {"\xff\xff\xff"});
  const Ran ran = Status(fake.target());
  EXPECT_EQ(ran.code, kExitFailed);
  EXPECT_THAT(ran.err, HasSubstr("sent an invalid answer to Admin.GetStatus"));
}

TEST_F(DaemonClientTest, AStreamThatBreaksOffIsAFailureAfterWhatCame) {
  FakeDaemon fake;
  fake.Refuse(kListAllocations, absl::StatusCode::kResourceExhausted, "too many lists");
  const Ran ran = runner_.Run({"allocations", "list", "-o", "json", "--target", fake.target()});
  EXPECT_EQ(ran.code, kExitFailed);
  EXPECT_EQ(ran.out, "[]\n");
  EXPECT_EQ(ran.err, "sottoctl: too many lists\n");
}

// Counts lines and keeps nothing.
class CountingBuffer : public std::streambuf {
 public:
  size_t lines = 0;

 private:
  int overflow(int c) override {
    lines += c == '\n';
    return 0;
  }
  std::streamsize xsputn(const char* bytes, std::streamsize size) override {
    lines += static_cast<size_t>(std::count(bytes, bytes + size, '\n'));
    return size;
  }
};

size_t ResidentKib() {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);) {
    if (line.starts_with("VmRSS:")) return std::stoul(line.substr(6));
  }
  return 0;
}

TEST_F(DaemonClientTest, AMillionAllocationsAreListedInBoundedMemory) {
  constexpr size_t kAllocations = 1'000'000;
  // Half of them, kept, would take some 150 MiB, and more under a sanitizer. By then, most of what
  // an allocator holds back is held back: not all, a sanitizer's grows by some 35 MiB.
  constexpr size_t kMaxGrowthKib = 75 << 10;
  FakeDaemon fake;
  size_t at_half = 0, at_end = 0;
  fake.Generate(kListAllocations, [&](size_t i) {
    if (i == kAllocations / 2) at_half = ResidentKib();
    if (i == kAllocations) {
      at_end = ResidentKib();
      return std::string();
    }
    relay::v1::Allocation allocation;
    allocation.set_id(i + 1);
    allocation.set_user("a-user-with-a-name");
    return allocation.SerializeAsString();
  });
  CountingBuffer counting;
  std::ostream out(&counting);
  std::ostringstream err;
  EXPECT_EQ(runner_.RunInto({"allocations", "list", "--target", fake.target()}, out, err),
            kExitDone)
      << err.str();
  EXPECT_EQ(counting.lines, kAllocations + 1);
  EXPECT_GT(at_half, 0u);
  EXPECT_LT(at_end, at_half + kMaxGrowthKib);
}

TEST_F(DaemonClientTest, AFullDiskIsAFailure) {
  FakeDaemon fake;
  fake.Answer(kGetStatus, relay::v1::Status());
  std::ofstream full("/dev/full");
  std::ostringstream err;
  EXPECT_EQ(runner_.RunInto({"status", "--target", fake.target()}, full, err), kExitFailed);
  EXPECT_THAT(err.str(), HasSubstr("can't write the output"));
}

}  // namespace
}  // namespace sotto::tools
