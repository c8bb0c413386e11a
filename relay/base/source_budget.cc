// SPDX-License-Identifier: Apache-2.0
#include "relay/base/source_budget.h"

#include <algorithm>
#include <cstring>

namespace sotto {
namespace {

// The bytes that tell one source prefix from another, and the family.
uint64_t PrefixOf(const IpAddress& source) {
  const std::array<uint8_t, 16>& raw = source.raw();
  uint64_t prefix = 0;
  std::memcpy(&prefix, raw.data(), source.is_v4() ? 3 : 7);
  return prefix | (static_cast<uint64_t>(source.family()) << 56);
}

// Finalizer of MurmurHash3, keyed before and after.
uint64_t Mix(uint64_t x, uint64_t key) {
  x ^= key;
  x ^= x >> 33;
  x *= 0xff51afd7ed558ccdULL;
  x ^= (x >> 33) ^ (key << 17 | key >> 47);
  x *= 0xc4ceb9fe1a85ec53ULL;
  x ^= x >> 33;
  return x;
}

}  // namespace

SourceBudget::SourceBudget(uint32_t rate, uint32_t burst, uint64_t hash_key, uint32_t buckets)
    : rate_(rate),
      burst_ms_(uint64_t{burst} * 1000),
      hash_key_(hash_key),
      mask_(buckets - 1),
      buckets_(buckets) {}

void SourceBudget::SetRate(uint32_t rate, uint32_t burst) {
  rate_.store(rate, std::memory_order_relaxed);
  burst_ms_.store(uint64_t{burst} * 1000, std::memory_order_relaxed);
}

bool SourceBudget::Spend(const IpAddress& source, uint32_t cost, uint64_t now_ms) {
  Bucket& bucket = buckets_[Mix(PrefixOf(source), hash_key_) & mask_];
  const uint64_t burst_ms = burst_ms_.load(std::memory_order_relaxed);
  if (!bucket.used) {
    bucket = {burst_ms, now_ms, true};
  } else if (now_ms > bucket.updated_ms) {
    const uint64_t elapsed = std::min<uint64_t>(now_ms - bucket.updated_ms, 1u << 30);
    const uint64_t rate = rate_.load(std::memory_order_relaxed);
    bucket.tokens_ms = std::min(burst_ms, bucket.tokens_ms + elapsed * rate);
    bucket.updated_ms = now_ms;
  }
  const uint64_t price = uint64_t{cost} * 1000;
  if (bucket.tokens_ms < price) return false;
  bucket.tokens_ms -= price;
  return true;
}

}  // namespace sotto
