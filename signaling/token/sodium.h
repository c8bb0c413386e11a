// SPDX-License-Identifier: Apache-2.0
// libsodium, made ready: its fast code is chosen by sodium_init(). Costs a load when it is.
#pragma once

#include <sodium.h>

#include <cstdlib>

namespace sotto::signaling {

inline void EnsureSodium() {
  // It fails only where the system has no randomness to give, and then nothing here may go on.
  static const bool kReady = sodium_init() >= 0 || (std::abort(), false);
  (void)kReady;
}

}  // namespace sotto::signaling
