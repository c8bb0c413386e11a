// SPDX-License-Identifier: Apache-2.0
// Names that one process of a program holds, so that a second one on the same interface, socket or
// store says so instead of sharing it.
//
// A lock is an abstract Unix socket: it belongs to the network namespace, as interfaces do, and is
// gone with the process, however that ends.
#pragma once

#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace sotto {

class InstanceLock {
 public:
  // `program`, such as "sotto-relayd". ALREADY_EXISTS if a process of this network namespace holds
  // the name.
  static absl::StatusOr<InstanceLock> Acquire(std::string_view program, std::string_view name);
  InstanceLock(InstanceLock&& other) noexcept;
  InstanceLock& operator=(InstanceLock&& other) noexcept;
  ~InstanceLock();

 private:
  explicit InstanceLock(int fd) : fd_(fd) {}
  int fd_;
};

}  // namespace sotto
