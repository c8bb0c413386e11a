// SPDX-License-Identifier: Apache-2.0
#include "relay/turn/transaction_cache.h"

namespace sotto::relay {
namespace {

constexpr MonotonicMs kTransactionMs = 40'000;

}  // namespace

void TransactionCache::Remember(const Key& key, Answer answer, MonotonicMs now) {
  if (const auto old = by_key_.find(key); old != by_key_.end()) {
    by_age_.erase(old->second);
    by_key_.erase(old);
  }
  if (by_age_.size() >= capacity_) {
    by_key_.erase(by_age_.front().key);
    by_age_.pop_front();
  }
  by_age_.push_back({key, answer, now + kTransactionMs});
  by_key_.emplace(key, std::prev(by_age_.end()));
}

std::optional<TransactionCache::Answer> TransactionCache::Find(const Key& key,
                                                               MonotonicMs now) const {
  const auto found = by_key_.find(key);
  if (found == by_key_.end() || found->second->expires_at <= now) return std::nullopt;
  return found->second->answer;
}

void TransactionCache::Tick(MonotonicMs now, uint32_t budget) {
  for (; budget > 0 && !by_age_.empty() && by_age_.front().expires_at <= now; --budget) {
    by_key_.erase(by_age_.front().key);
    by_age_.pop_front();
  }
}

}  // namespace sotto::relay
