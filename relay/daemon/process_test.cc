// SPDX-License-Identifier: Apache-2.0
// Locks, and privileges given up on every thread. What changes the process runs in a child.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <linux/capability.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <filesystem>
#include <fstream>
#include <functional>
#include <thread>

#include "relay/daemon/instance_lock.h"
#include "relay/daemon/privileges.h"
#include "relay/daemon/thread_broadcast.h"
#include "relay/daemon/unix_listener.h"

namespace sotto {
namespace {

using testing::HasSubstr;

// Runs `body` in a child; its result is the exit status.
int InChild(const std::function<int()>& body) {
  const pid_t child = fork();
  if (child == 0) _exit(body());
  int status = 0;
  EXPECT_EQ(waitpid(child, &status, 0), child);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

// Threads of all habits: one sleeps in a system call, one computes, one waits.
struct Threads {
  std::atomic<bool> stop = false;
  int pipe_ends[2];
  std::thread sleeper, spinner, waiter;

  Threads() {
    EXPECT_EQ(pipe(pipe_ends), 0);
    sleeper = std::thread([this] {
      char byte;
      while (read(pipe_ends[0], &byte, 1) < 0 && errno == EINTR) {
      }
    });
    spinner = std::thread([this] {
      while (!stop.load(std::memory_order_relaxed)) {
      }
    });
    waiter = std::thread([this] {
      while (!stop.load()) std::this_thread::sleep_for(std::chrono::milliseconds(1));
    });
  }
  ~Threads() {
    stop = true;
    close(pipe_ends[1]);
    sleeper.join();
    spinner.join();
    waiter.join();
    close(pipe_ends[0]);
  }
};

// The values of a field of /proc/self/task/*/status, for all threads; empty if they differ.
std::string OfAllThreads(const std::string& field) {
  std::string common;
  int threads = 0;
  for (const auto& thread : std::filesystem::directory_iterator("/proc/self/task")) {
    std::ifstream status(thread.path() / "status");
    for (std::string line; std::getline(status, line);) {
      if (!line.starts_with(field + ":")) continue;
      const std::string value = line.substr(line.find_first_not_of("\t ", field.size() + 1));
      if (threads++ > 0 && value != common) return {};
      common = value;
    }
  }
  return threads > 3 ? common : "";
}

constexpr char kNone[] = "0000000000000000";

TEST(ThreadBroadcast, ReachesEveryThreadOnce) {
  static std::atomic<int> runs;
  static std::atomic<int> on_caller;
  static const auto caller = syscall(SYS_gettid);
  runs = on_caller = 0;
  // Sanitizers keep a thread of their own.
  const auto threads = std::distance(std::filesystem::directory_iterator("/proc/self/task"),
                                     std::filesystem::directory_iterator());
  Threads some;
  const absl::Status status = RunOnEveryThread([]() -> int {
    ++runs;
    if (syscall(SYS_gettid) == caller) ++on_caller;
    return 0;
  });
  EXPECT_TRUE(status.ok()) << status;
  EXPECT_EQ(runs, threads + 3);
  EXPECT_EQ(on_caller, 1);
}

TEST(ThreadBroadcast, TellsOfAStepThatFails) {
  Threads some;
  static const auto caller = syscall(SYS_gettid);
  const absl::Status status =
      RunOnEveryThread([]() -> int { return syscall(SYS_gettid) == caller ? 0 : EPERM; });
  EXPECT_EQ(status.code(), absl::StatusCode::kPermissionDenied) << status;
}

TEST(InstanceLock, IsHeldByOneAndFreedWithIt) {
  const std::string name = fmt::format("test {}", getpid());
  {
    const auto first = InstanceLock::Acquire("sotto-relayd", name);
    ASSERT_TRUE(first.ok()) << first.status();
    const auto second = InstanceLock::Acquire("sotto-relayd", name);
    EXPECT_EQ(second.status().code(), absl::StatusCode::kAlreadyExists);
    EXPECT_THAT(std::string(second.status().message()), HasSubstr(name + " is in use"));
    EXPECT_TRUE(InstanceLock::Acquire("sotto-relayd", name + "x").ok());
  }
  EXPECT_TRUE(InstanceLock::Acquire("sotto-relayd", name).ok());
}

TEST(InstanceLock, HoldsNamesOfAnyLength) {
  const std::string name = fmt::format("/{}/{}", getpid(), std::string(200, 'n'));
  const auto first = InstanceLock::Acquire("sotto-relayd", name);
  ASSERT_TRUE(first.ok()) << first.status();
  EXPECT_FALSE(InstanceLock::Acquire("sotto-relayd", name).ok());
  EXPECT_TRUE(InstanceLock::Acquire("sotto-relayd", name + "x").ok());
}

TEST(IsServed, TellsALiveSocketFromADeadOne) {
  const std::string path = testing::TempDir() + fmt::format("sotto_served_{}", getpid());
  EXPECT_FALSE(IsServed(path));
  const int fd = socket(AF_UNIX, SOCK_STREAM, 0);
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  path.copy(address.sun_path, sizeof(address.sun_path) - 1);
  ASSERT_EQ(bind(fd, reinterpret_cast<sockaddr*>(&address), sizeof(address)), 0);
  ASSERT_EQ(listen(fd, 1), 0);
  EXPECT_TRUE(IsServed(path));
  close(fd);
  EXPECT_FALSE(IsServed(path));
  unlink(path.c_str());
}

TEST(Privileges, UnknownUserIsToldEarly) {
  const absl::Status status = CheckPrivileges({.user = "no-such-user-here"});
  EXPECT_EQ(status.code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(std::string(status.message()), HasSubstr("there is no user no-such-user-here"));
}

TEST(Privileges, AreGoneOnEveryThread) {
  EXPECT_EQ(InChild([] {
              Threads some;
              if (!DropPrivileges({}).ok()) return 1;
              for (const char* set : {"CapInh", "CapPrm", "CapEff", "CapAmb"}) {
                if (OfAllThreads(set) != kNone) return 2;
              }
              if (geteuid() == 0 && OfAllThreads("CapBnd") != kNone) return 3;
              if (OfAllThreads("NoNewPrivs") != "1") return 4;
              if (OfAllThreads("Seccomp") != "2") return 5;
#ifndef __SANITIZE_ADDRESS__  // see DropPrivileges
              if (prctl(PR_GET_DUMPABLE, 0, 0, 0, 0) != 0) return 6;
#endif
              return 0;
            }),
            0);
}

TEST(Privileges, SystemCallsOfNoRelayAreRefused) {
  EXPECT_EQ(InChild([] {
              Threads some;
              if (!DropPrivileges({}).ok()) return 1;
              char* const argv[] = {nullptr};
              if (execve("/bin/true", argv, argv) != -1 || errno != EPERM) return 2;
              if (syscall(SYS_bpf, 0, nullptr, 0) != -1 || errno != EPERM) return 3;
              // What a relay does goes on.
              const int fd = socket(AF_INET, SOCK_DGRAM, 0);
              if (fd < 0) return 4;
              std::thread([] {}).join();
              return 0;
            }),
            0);
}

TEST(Privileges, RootBecomesAUserAndKeepsForClosingAlone) {
  if (geteuid() != 0) GTEST_SKIP() << "needs root";
  EXPECT_EQ(InChild([] {
              Threads some;
              if (!DropPrivileges({.user = "nobody"}).ok()) return 1;
              if (OfAllThreads("CapPrm") != kNone) return 2;
              const std::string uids = OfAllThreads("Uid");
              if (uids.empty() || uids.starts_with("0\t")) return 3;
              if (setresuid(0, 0, 0) == 0) return 4;
              return 0;
            }),
            0);
  EXPECT_EQ(InChild([] {
              Threads some;
              if (!DropPrivileges({.user = "nobody", .keep_for_close = true}).ok()) return 1;
              if (OfAllThreads("CapEff") != kNone) return 2;
              if (!OfAllThreads("CapPrm").empty()) return 3;  // main's differs
              RaiseForClose();
              __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
              __user_cap_data_struct data[2] = {};
              if (syscall(SYS_capget, &header, data) != 0) return 4;
              const uint32_t expected = (1u << CAP_NET_ADMIN) | (1u << CAP_SYS_ADMIN);
              return data[0].effective == expected && data[0].permitted == expected ? 0 : 5;
            }),
            0);
}

}  // namespace
}  // namespace sotto
