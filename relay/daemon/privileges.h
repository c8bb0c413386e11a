// SPDX-License-Identifier: Apache-2.0
// Giving up, after the start, what the start alone needed.
//
// Linux keeps capabilities for each thread, and EAL's threads exist by then; so they are dropped on
// every thread of the process, and that is checked.
#pragma once

#include <sys/types.h>

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace sotto {

struct PrivilegeOptions {
  // Whom to run as, when started as root. Empty: "sotto" if there is such a user, else as before.
  std::string user;
  // Keep CAP_NET_ADMIN, CAP_SYS_ADMIN and CAP_BPF permitted, but not in effect, on the calling
  // thread, for RaiseForClose(): net_af_xdp detaches its program when it is closed. A thread that
  // this one starts later would inherit them, so let others start what must start later.
  bool keep_for_close = false;
};

// Whom DropPrivileges() will make this process, for files that it is to own: its user, and that
// user's group. Errors of CheckPrivileges().
struct RunAs {
  uid_t uid = 0;
  gid_t gid = 0;
};
absl::StatusOr<RunAs> WillRunAs(const PrivilegeOptions& options);

// Says early what DropPrivileges() would fail with: NOT_FOUND if there is no such user,
// FAILED_PRECONDITION if only root could become it.
absl::Status CheckPrivileges(const PrivilegeOptions& options);

// From the main thread, once: changes user and groups, empties every capability set and forbids new
// privileges on all threads, forbids core dumps and tracing by others (memory holds secrets), and
// filters away system calls that a relay never makes. Returns a few words about what is left, for
// the log.
absl::StatusOr<std::string> DropPrivileges(const PrivilegeOptions& options);

// Puts what `keep_for_close` kept into effect, on the calling thread.
void RaiseForClose();

}  // namespace sotto
