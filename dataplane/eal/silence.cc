// SPDX-License-Identifier: Apache-2.0
#include "dataplane/eal/silence.h"

#include <fcntl.h>
#include <unistd.h>

#include <cstdio>
#include <initializer_list>

namespace sotto::dataplane {

Silence::Silence() {
  fflush(stdout);
  const int nowhere = open("/dev/null", O_WRONLY | O_CLOEXEC);
  for (const int fd : {STDOUT_FILENO, STDERR_FILENO}) {
    saved_[fd] = fcntl(fd, F_DUPFD_CLOEXEC, 3);
    if (saved_[fd] >= 0 && nowhere >= 0) dup2(nowhere, fd);
  }
  if (nowhere >= 0) close(nowhere);
}

Silence::~Silence() {
  fflush(stdout);
  for (const int fd : {STDOUT_FILENO, STDERR_FILENO}) {
    if (saved_[fd] < 0) continue;
    dup2(saved_[fd], fd);
    close(saved_[fd]);
  }
}

}  // namespace sotto::dataplane
