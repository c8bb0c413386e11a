// SPDX-License-Identifier: Apache-2.0
// A Unix socket that its file permissions guard, from the first moment on.
#pragma once

#include <sys/types.h>

#include <string>

#include "absl/status/statusor.h"

namespace sotto {

struct UnixListenerOptions {
  std::string path;
  // Who owns the file, mode 0660; -1: as this process makes files.
  uid_t owner = static_cast<uid_t>(-1);
  gid_t group = static_cast<gid_t>(-1);
};

class UnixListener {
 public:
  // Replaces a socket that nobody serves. ALREADY_EXISTS: another kind of file is there, or a
  // socket that is served.
  static absl::StatusOr<UnixListener> Open(const UnixListenerOptions& options);
  UnixListener(UnixListener&& other) noexcept;
  UnixListener& operator=(UnixListener&& other) noexcept;
  // Removes the file, if it is still this socket's.
  ~UnixListener();

  int fd() const { return fd_; }  // non-blocking
  // Whether the destructor will be able to remove the file: who runs must be able to write to its
  // folder.
  bool Removable() const;

 private:
  UnixListener(int fd, std::string path, dev_t device, ino_t inode)
      : fd_(fd), path_(std::move(path)), device_(device), inode_(inode) {}

  int fd_;
  std::string path_;
  dev_t device_;
  ino_t inode_;
};

// Whether a process accepts connections on a Unix socket, in any network namespace.
bool IsServed(const std::string& path);

}  // namespace sotto
