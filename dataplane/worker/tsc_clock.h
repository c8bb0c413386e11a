// The time since the process's start, from the CPU's time stamp counter: one clock for control and
// all workers, without a system call. The TSC must be invariant, as it is on every CPU that DPDK
// supports.
#pragma once

#include <rte_cycles.h>

#include <cstdint>

namespace sotto::dataplane {

class TscClock {
 public:
  TscClock() : start_(rte_rdtsc()), hz_(rte_get_tsc_hz()) {}

  uint64_t NowMs() const {
    return static_cast<uint64_t>(static_cast<unsigned __int128>(rte_rdtsc() - start_) * 1000 / hz_);
  }

 private:
  uint64_t start_;
  uint64_t hz_;
};

}  // namespace sotto::dataplane
