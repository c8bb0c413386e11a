// SPDX-License-Identifier: Apache-2.0
// A token bucket for each source prefix, in a table of fixed size.
//
// Prefixes (IPv4 /24, IPv6 /56) are hashed with a secret key into a fixed number of buckets, so a
// flood of sources takes no memory; two prefixes that meet in a bucket share its budget, and which
// ones do can't be chosen from outside. One thread spends.
#pragma once

#include <atomic>
#include <cstdint>
#include <vector>

#include "relay/base/ip_address.h"

namespace sotto {

class SourceBudget {
 public:
  // `rate` tokens a second, up to `burst`; both at least 1. `buckets` is a power of two.
  SourceBudget(uint32_t rate, uint32_t burst, uint64_t hash_key, uint32_t buckets = 4096);

  // Any thread. What sources hold stays, as far as it fits.
  void SetRate(uint32_t rate, uint32_t burst);

  // Takes `cost` tokens from the source's bucket, or none if it holds fewer.
  bool Spend(const IpAddress& source, uint32_t cost, uint64_t now_ms);

 private:
  struct Bucket {
    uint64_t tokens_ms = 0;  // tokens times 1000
    uint64_t updated_ms = 0;
    bool used = false;
  };
  std::atomic<uint64_t> rate_;
  std::atomic<uint64_t> burst_ms_;
  uint64_t hash_key_;
  uint64_t mask_;
  std::vector<Bucket> buckets_;
};

}  // namespace sotto
