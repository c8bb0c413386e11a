// SPDX-License-Identifier: Apache-2.0
// The time since the process's start, from the CPU's time stamp counter: one clock for control and
// all workers, without a system call. The TSC must be invariant, as it is on every CPU that DPDK
// supports.
#pragma once

#include <rte_cycles.h>

#include <cstdint>

namespace sotto::dataplane {

class TscClock {
 public:
  TscClock()
      : start_(rte_rdtsc()),
        ms_per_tick_(static_cast<uint64_t>((static_cast<unsigned __int128>(1000) << 64) /
                                           rte_get_tsc_hz())) {}

  uint64_t NowMs() const { return MsAt(rte_rdtsc()); }
  // The time that the counter's value was read at. A multiplication, since workers ask at every
  // turn, and a division of 128 bits takes longer than an empty poll. Behind by less than a
  // millisecond in a century.
  uint64_t MsAt(uint64_t tsc) const {
    return static_cast<uint64_t>(static_cast<unsigned __int128>(tsc - start_) * ms_per_tick_ >> 64);
  }

 private:
  uint64_t start_;
  uint64_t ms_per_tick_;  // in units of 2^-64
};

// From cycles of the counter to nanoseconds by one multiplication.
class TscSpan {
 public:
  TscSpan() : ns_per_cycle_((uint64_t{1'000'000'000} << 32) / rte_get_tsc_hz()) {}

  uint64_t Ns(uint64_t cycles) const {
    return static_cast<uint64_t>(static_cast<unsigned __int128>(cycles) * ns_per_cycle_ >> 32);
  }

 private:
  uint64_t ns_per_cycle_;  // times 2^32
};

}  // namespace sotto::dataplane
