// SPDX-License-Identifier: Apache-2.0
// Runs a function on every thread of the process, whatever library made it.
#pragma once

#include "absl/status/status.h"

namespace sotto {

// `step` runs once on each thread, in a signal handler on all but the calling one: it may make
// system calls and nothing else. It returns 0, or an errno, which ends up in the status. Threads
// that start meanwhile are found too. DEADLINE_EXCEEDED if a thread doesn't take the signal within
// seconds. From one thread at a time.
absl::Status RunOnEveryThread(int (*step)());

}  // namespace sotto
