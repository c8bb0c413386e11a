// SPDX-License-Identifier: Apache-2.0
#include "relay/daemon/instance_lock.h"

#include <fmt/format.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <functional>
#include <utility>

namespace sotto {

absl::StatusOr<InstanceLock> InstanceLock::Acquire(std::string_view program,
                                                   std::string_view name) {
  const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return absl::ErrnoToStatus(errno, "can't open a Unix socket");
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  // A leading NUL makes it abstract. A name that is too long is held by its digest.
  std::string text = fmt::format("{}:{}", program, name);
  if (text.size() > sizeof(address.sun_path) - 1) {
    text = fmt::format("{}:#{:016x}", program, std::hash<std::string_view>{}(name));
  }
  text.copy(address.sun_path + 1, text.size());
  const auto size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + 1 + text.size());
  if (bind(fd, reinterpret_cast<const sockaddr*>(&address), size) != 0) {
    const int error = errno;
    close(fd);
    if (error == EADDRINUSE) {
      return absl::AlreadyExistsError(fmt::format("{} is in use by another {}", name, program));
    }
    return absl::ErrnoToStatus(error, fmt::format("can't lock {}", name));
  }
  return InstanceLock(fd);
}

InstanceLock::InstanceLock(InstanceLock&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}

InstanceLock& InstanceLock::operator=(InstanceLock&& other) noexcept {
  std::swap(fd_, other.fd_);
  return *this;
}

InstanceLock::~InstanceLock() {
  if (fd_ >= 0) close(fd_);
}

}  // namespace sotto
