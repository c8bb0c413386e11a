// SPDX-License-Identifier: Apache-2.0
// What the kernel says about a network interface that a port sits on.
#pragma once

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"

namespace sotto::dataplane {

struct KernelInterface {
  bool up = false;
  uint16_t mtu = 0;  // bytes of IP packet
};
absl::StatusOr<KernelInterface> ReadKernelInterface(const std::string& name);

// Asks the kernel to take frames for all groups (or for everyone) on the interface for as long as
// the descriptor that is returned stays open. Needs CAP_NET_RAW.
absl::StatusOr<int> OpenMembership(const std::string& name, bool promiscuous);

}  // namespace sotto::dataplane
