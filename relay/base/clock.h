// SPDX-License-Identifier: Apache-2.0
// Time, as it is passed into everything that has a unit test.
#pragma once

#include <cstdint>

namespace sotto {

// Milliseconds on a clock that only goes forward; its zero means nothing.
using MonotonicMs = uint64_t;
constexpr MonotonicMs kNever = UINT64_MAX;

// The time of one call into a state machine.
struct Now {
  MonotonicMs monotonic_ms = 0;
  int64_t unix_s = 0;  // seconds since 1970, for what has a date: credentials, identities, tokens
};

}  // namespace sotto
