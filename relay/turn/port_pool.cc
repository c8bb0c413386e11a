// SPDX-License-Identifier: Apache-2.0
#include "relay/turn/port_pool.h"

#include <bit>

namespace sotto::relay {
namespace {

constexpr uint64_t kEvenBits = 0x5555555555555555;
constexpr int kProbes = 8;

}  // namespace

PortPool::PortPool(std::pair<uint16_t, uint16_t> range)
    : first_(range.first),
      last_(range.second),
      first_word_(first_ / 64),
      free_(last_ / 64 - first_word_ + 1) {
  for (uint32_t port = first_; port <= last_; ++port) {
    free_[port / 64 - first_word_] |= uint64_t{1} << (port % 64);
  }
}

bool PortPool::InUse(uint16_t port) const {
  return Contains(port) && ((free_[port / 64 - first_word_] >> (port % 64)) & 1) == 0;
}

uint64_t PortPool::Candidates(uint32_t index, Kind kind) const {
  const uint64_t free = free_[index];
  switch (kind) {
    case Kind::kAny:
      return free;
    case Kind::kEven:
      return free & kEvenBits;
    case Kind::kPair:
      return free & (free >> 1) & kEvenBits;
  }
  return 0;
}

std::optional<uint16_t> PortPool::Find(Kind kind, Random& random) const {
  const uint32_t count = uint32_t{last_} - first_ + 1;
  for (int probe = 0; probe < kProbes; ++probe) {
    const uint32_t port = first_ + random.Below(count);
    if ((Candidates(port / 64 - first_word_, kind) >> (port % 64)) & 1) {
      return static_cast<uint16_t>(port);
    }
  }
  // Nearly full: the first word behind a random one that has something, and a random bit of it.
  const auto words = static_cast<uint32_t>(free_.size());
  const uint32_t start = random.Below(words);
  for (uint32_t i = 0; i < words; ++i) {
    const uint32_t index = (start + i) % words;
    const uint64_t candidates = Candidates(index, kind);
    if (candidates == 0) continue;
    const int turn = static_cast<int>(random.Below(64));
    const int bit = (std::countr_zero(std::rotr(candidates, turn)) + turn) % 64;
    return static_cast<uint16_t>((first_word_ + index) * 64 + bit);
  }
  return std::nullopt;
}

void PortPool::Mark(uint16_t port) {
  free_[port / 64 - first_word_] &= ~(uint64_t{1} << (port % 64));
  ++in_use_;
}

std::optional<uint16_t> PortPool::TakeAny(Random& random) {
  const auto port = Find(Kind::kAny, random);
  if (port) Mark(*port);
  return port;
}

std::optional<uint16_t> PortPool::TakeEven(Random& random) {
  const auto port = Find(Kind::kEven, random);
  if (port) Mark(*port);
  return port;
}

std::optional<uint16_t> PortPool::TakePair(Random& random) {
  const auto port = Find(Kind::kPair, random);
  if (port) {
    Mark(*port);
    Mark(*port + 1);
  }
  return port;
}

void PortPool::Release(uint16_t port) {
  free_[port / 64 - first_word_] |= uint64_t{1} << (port % 64);
  --in_use_;
}

}  // namespace sotto::relay
