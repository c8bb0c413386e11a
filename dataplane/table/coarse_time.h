// SPDX-License-Identifier: Apache-2.0
// The workers' clock: ticks of 128 ms since the process's start, in 32 bits (17 years). What a
// record says about its end is rounded up to the next tick, so nothing ends early, and at most a
// tick late.
#pragma once

#include <cstdint>

namespace sotto::dataplane {

using CoarseTime = uint32_t;

constexpr CoarseTime CoarseNow(uint64_t now_ms) { return static_cast<CoarseTime>(now_ms >> 7); }
// A record is alive while CoarseNow() < its end.
constexpr CoarseTime CoarseEnd(uint64_t expires_at_ms) {
  return static_cast<CoarseTime>((expires_at_ms + 127) >> 7);
}
// The moment of an end, in milliseconds: CoarseEnd() of it is the same.
constexpr uint64_t CoarseStart(CoarseTime end) { return uint64_t{end} << 7; }

}  // namespace sotto::dataplane
