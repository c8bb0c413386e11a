// Names that one process holds, so that a second relay on the same interface or admin socket says
// so instead of sharing it.
//
// A lock is an abstract Unix socket: it belongs to the network namespace, as interfaces do, and is
// gone with the process, however that ends.
#pragma once

#include <string>

#include "absl/status/statusor.h"

namespace sotto {

class InstanceLock {
 public:
  // ALREADY_EXISTS if a process of this network namespace holds the name.
  static absl::StatusOr<InstanceLock> Acquire(const std::string& name);
  InstanceLock(InstanceLock&& other) noexcept;
  InstanceLock& operator=(InstanceLock&& other) noexcept;
  ~InstanceLock();

 private:
  explicit InstanceLock(int fd) : fd_(fd) {}
  int fd_;
};

// Whether a process accepts connections on a Unix socket, in any network namespace.
bool IsServed(const std::string& socket_path);

}  // namespace sotto
