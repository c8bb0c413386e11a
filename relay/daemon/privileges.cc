// SPDX-License-Identifier: Apache-2.0
#include "relay/daemon/privileges.h"

#include <fmt/format.h>
#include <grp.h>
#include <linux/capability.h>
#include <pwd.h>
#include <seccomp.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <fstream>
#include <optional>

#include "relay/daemon/thread_broadcast.h"

namespace sotto {
namespace {

struct User {
  std::string name;
  uid_t uid = 0;
  gid_t gid = 0;
};

std::optional<User> FindUser(const std::string& name) {
  const passwd* entry = getpwnam(name.c_str());
  if (entry == nullptr) return std::nullopt;
  return User{entry->pw_name, entry->pw_uid, entry->pw_gid};
}

// Whom to become; nobody if things stay as they are.
absl::StatusOr<std::optional<User>> Target(const PrivilegeOptions& options) {
  const bool root = geteuid() == 0;
  if (options.user.empty()) return root ? FindUser("sotto") : std::nullopt;
  const std::optional<User> user = FindUser(options.user);
  if (!user) {
    return absl::NotFoundError(
        fmt::format("[process] user: there is no user {}; create it with useradd --system {}, or "
                    "name another.",
                    options.user, options.user));
  }
  if (user->uid == geteuid()) return std::optional<User>();
  if (!root) {
    return absl::FailedPreconditionError(
        fmt::format("[process] user: only root can become user {}; start as root, or as {}.",
                    options.user, options.user));
  }
  return user;
}

constexpr uint32_t Bit(int capability) { return uint32_t{1} << (capability & 31); }

int SetCapabilities(uint32_t low, uint32_t high, bool effective) {
  __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
  __user_cap_data_struct data[2] = {};
  data[0].permitted = low;
  data[1].permitted = high;
  if (effective) {
    data[0].effective = low;
    data[1].effective = high;
  }
  return syscall(SYS_capset, &header, data) == 0 ? 0 : errno;
}

constexpr uint32_t kForCloseLow = Bit(CAP_NET_ADMIN) | Bit(CAP_SYS_ADMIN);
constexpr uint32_t kForCloseHigh = Bit(CAP_BPF);

// The steps below run on every thread, so that none can hand on what another gave up.

int ForbidNewPrivileges() {
  for (int capability = 0; prctl(PR_CAPBSET_READ, capability, 0, 0, 0) >= 0; ++capability) {
    // Without CAP_SETPCAP the set stays, and PR_SET_NO_NEW_PRIVS makes it mean nothing.
    if (prctl(PR_CAPBSET_DROP, capability, 0, 0, 0) != 0 && errno != EPERM) return errno;
  }
  if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) != 0) return errno;
  return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 ? 0 : errno;
}

int DropAllCapabilities() { return SetCapabilities(0, 0, false); }

absl::Status BecomeUser(const User& user) {
  // glibc carries each of these to all threads.
  if (initgroups(user.name.c_str(), user.gid) != 0 ||
      setresgid(user.gid, user.gid, user.gid) != 0 ||
      setresuid(user.uid, user.uid, user.uid) != 0) {
    return absl::ErrnoToStatus(errno, fmt::format("can't become user {}", user.name));
  }
  return absl::OkStatus();
}

// A list of what is refused, and not of what is allowed: drivers and libraries differ too much in
// what they call.
absl::Status FilterSystemCalls(bool keep_bpf) {
  const int refused[] = {
      SCMP_SYS(execve),
      SCMP_SYS(execveat),
      SCMP_SYS(fork),
      SCMP_SYS(vfork),
      SCMP_SYS(process_vm_readv),
      SCMP_SYS(process_vm_writev),
      SCMP_SYS(mount),
      SCMP_SYS(umount2),
      SCMP_SYS(pivot_root),
      SCMP_SYS(chroot),
      SCMP_SYS(setns),
      SCMP_SYS(unshare),
      SCMP_SYS(init_module),
      SCMP_SYS(finit_module),
      SCMP_SYS(delete_module),
      SCMP_SYS(kexec_load),
      SCMP_SYS(kexec_file_load),
      SCMP_SYS(reboot),
      SCMP_SYS(swapon),
      SCMP_SYS(swapoff),
      SCMP_SYS(keyctl),
      SCMP_SYS(add_key),
      SCMP_SYS(request_key),
      SCMP_SYS(perf_event_open),
      SCMP_SYS(userfaultfd),
      SCMP_SYS(open_by_handle_at),
      SCMP_SYS(settimeofday),
      SCMP_SYS(clock_settime),
      SCMP_SYS(adjtimex),
      SCMP_SYS(clock_adjtime),
      SCMP_SYS(iopl),
      SCMP_SYS(ioperm),
      SCMP_SYS(acct),
      SCMP_SYS(quotactl),
      SCMP_SYS(io_uring_setup),
  };
  scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ALLOW);
  if (filter == nullptr) return absl::ResourceExhaustedError("out of memory for a seccomp filter");
  int error = seccomp_attr_set(filter, SCMP_FLTATR_CTL_TSYNC, 1);
  const auto refuse = [&](int call) {
    if (error == 0) error = seccomp_rule_add(filter, SCMP_ACT_ERRNO(EPERM), call, 0);
  };
  for (const int call : refused) refuse(call);
  if (!keep_bpf) refuse(SCMP_SYS(bpf));
#ifndef __SANITIZE_ADDRESS__  // its search for leaks traces the process
  refuse(SCMP_SYS(ptrace));
#endif
  if (error == 0) error = seccomp_load(filter);
  seccomp_release(filter);
  if (error != 0) return absl::ErrnoToStatus(-error, "can't install the system call filter");
  return absl::OkStatus();
}

// Reads back what the kernel holds for each thread.
absl::Status CheckThreads() {
  std::error_code error;
  for (const auto& thread : std::filesystem::directory_iterator("/proc/self/task", error)) {
    std::ifstream status(thread.path() / "status");
    for (std::string line; std::getline(status, line);) {
      if (!line.starts_with("CapEff:")) continue;
      if (line.find_first_not_of(" \t0", 7) != std::string::npos) {
        return absl::InternalError(fmt::format("thread {} still has capabilities, {}",
                                               thread.path().filename().string(), line));
      }
    }
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status CheckPrivileges(const PrivilegeOptions& options) { return Target(options).status(); }

absl::StatusOr<RunAs> WillRunAs(const PrivilegeOptions& options) {
  const absl::StatusOr<std::optional<User>> user = Target(options);
  if (!user.ok()) return user.status();
  if (!user->has_value()) return RunAs{geteuid(), getegid()};
  return RunAs{(*user)->uid, (*user)->gid};
}

absl::StatusOr<std::string> DropPrivileges(const PrivilegeOptions& options) {
  const absl::StatusOr<std::optional<User>> user = Target(options);
  if (!user.ok()) return user.status();

  const auto keep = [&] {
    __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
    __user_cap_data_struct data[2] = {};
    if (!options.keep_for_close || syscall(SYS_capget, &header, data) != 0)
      return std::pair(0u, 0u);
    return std::pair(data[0].permitted & kForCloseLow, data[1].permitted & kForCloseHigh);
  }();
  if (absl::Status status = RunOnEveryThread(ForbidNewPrivileges); !status.ok()) return status;
  if (user->has_value()) {
    if (options.keep_for_close) prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0);
    if (absl::Status status = BecomeUser(**user); !status.ok()) return status;
  }
  // This thread drops all with the others, unless it has something to keep.
  if (keep != std::pair(0u, 0u)) {
    static std::pair<uint32_t, uint32_t> kept;
    kept = keep;
    static const auto self = static_cast<pid_t>(syscall(SYS_gettid));
    const absl::Status status = RunOnEveryThread([]() -> int {
      if (static_cast<pid_t>(syscall(SYS_gettid)) != self) return DropAllCapabilities();
      return SetCapabilities(kept.first, kept.second, false);
    });
    if (!status.ok()) return status;
  } else if (absl::Status status = RunOnEveryThread(DropAllCapabilities); !status.ok()) {
    return status;
  }
#ifndef __SANITIZE_ADDRESS__  // its search for leaks traces the process, which this forbids
  if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0) {
    return absl::ErrnoToStatus(errno, "can't disable core dumps");
  }
#endif
  if (absl::Status status = FilterSystemCalls(options.keep_for_close); !status.ok()) return status;
  if (absl::Status status = CheckThreads(); !status.ok()) return status;
  return fmt::format("user {}, {}", user->has_value() ? (*user)->name : fmt::format("{}", getuid()),
                     keep != std::pair(0u, 0u) ? "keeps capabilities, out of reach, to close "
                                                 "net_af_xdp"
                                               : "no capabilities");
}

void RaiseForClose() {
  __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
  __user_cap_data_struct data[2] = {};
  if (syscall(SYS_capget, &header, data) != 0) return;
  SetCapabilities(data[0].permitted, data[1].permitted, true);
}

}  // namespace sotto
