// SPDX-License-Identifier: Apache-2.0
// Numbers that name what lives for as long as the process at most.
#pragma once

#include <cstdint>

namespace sotto::signaling {

using SessionId = uint64_t;     // never used twice within a process; 0: none
using ConnectionId = uint64_t;  // never used twice within a process; 0: none

}  // namespace sotto::signaling
