// SPDX-License-Identifier: Apache-2.0
#include "relay/daemon/unix_listener.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

namespace sotto {
namespace {

constexpr int kBacklog = 128;

bool Fill(const std::string& path, sockaddr_un& address) {
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof(address.sun_path)) return false;
  path.copy(address.sun_path, path.size());
  return true;
}

std::string FolderOf(const std::string& path) {
  const size_t slash = path.rfind('/');
  return slash == std::string::npos ? "." : path.substr(0, slash + 1);
}

}  // namespace

absl::StatusOr<UnixListener> UnixListener::Open(const UnixListenerOptions& options) {
  const std::string& path = options.path;
  sockaddr_un address = {};
  if (!Fill(path, address)) {
    return absl::InvalidArgumentError(fmt::format("{} is too long for a Unix socket", path));
  }
  struct stat st = {};
  if (lstat(path.c_str(), &st) == 0) {
    if (!S_ISSOCK(st.st_mode)) {
      return absl::AlreadyExistsError(
          fmt::format("{} exists and is not a socket; remove it, or name another path", path));
    }
    if (IsServed(path)) {
      return absl::AlreadyExistsError(fmt::format(
          "{} is in use by another process; stop that process, or name another path", path));
    }
    if (unlink(path.c_str()) != 0) {
      return absl::ErrnoToStatus(
          errno, fmt::format("{} is left over from an earlier run and can't be removed; remove it "
                             "by hand",
                             path));
    }
  }
  const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0) return absl::ErrnoToStatus(errno, "can't open a Unix socket");
  // The file is made with the socket's own mode, so that nobody else gets in before it is chosen;
  // and nobody can connect before listen().
  const auto fail = [&](const std::string& what) {
    const int error = errno;
    close(fd);
    return absl::ErrnoToStatus(error, what);
  };
  if (fchmod(fd, 0600) != 0) return fail("can't set the mode of a Unix socket");
  if (bind(fd, reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0) {
    return fail(
        fmt::format("can't create {}; create its folder, and let this user write to it", path));
  }
  if (lstat(path.c_str(), &st) != 0)
    return fail(fmt::format("{} was removed by another process", path));
  UnixListener listener(fd, path, st.st_dev, st.st_ino);
  // The listener closes and removes from here on.
  if (lchown(path.c_str(), options.owner, options.group) != 0) {
    return absl::ErrnoToStatus(
        errno, fmt::format("can't change the owner of {} to user {} and group {}; start as root, "
                           "or as a member of the group",
                           path, static_cast<int64_t>(static_cast<int32_t>(options.owner)),
                           static_cast<int64_t>(static_cast<int32_t>(options.group))));
  }
  if (chmod(path.c_str(), 0660) != 0 || listen(fd, kBacklog) != 0) {
    return absl::ErrnoToStatus(errno, fmt::format("can't listen on {}", path));
  }
  return listener;
}

UnixListener::UnixListener(UnixListener&& other) noexcept
    : fd_(std::exchange(other.fd_, -1)),
      path_(std::move(other.path_)),
      device_(other.device_),
      inode_(other.inode_) {}

UnixListener& UnixListener::operator=(UnixListener&& other) noexcept {
  std::swap(fd_, other.fd_);
  std::swap(path_, other.path_);
  std::swap(device_, other.device_);
  std::swap(inode_, other.inode_);
  return *this;
}

UnixListener::~UnixListener() {
  if (fd_ < 0) return;
  struct stat st = {};
  if (lstat(path_.c_str(), &st) == 0 && st.st_dev == device_ && st.st_ino == inode_) {
    unlink(path_.c_str());
  }
  close(fd_);
}

bool UnixListener::Removable() const {
  return faccessat(AT_FDCWD, FolderOf(path_).c_str(), W_OK | X_OK, AT_EACCESS) == 0;
}

bool IsServed(const std::string& path) {
  sockaddr_un address = {};
  if (!Fill(path, address)) return false;
  const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0) return false;
  const bool served =
      connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof(address)) == 0 ||
      errno == EAGAIN;  // its queue is full
  close(fd);
  return served;
}

}  // namespace sotto
