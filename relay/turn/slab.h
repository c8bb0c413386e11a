// SPDX-License-Identifier: Apache-2.0
// Slots for many values of one type: an index names a value for as long as it lives, addresses
// don't move, and a freed slot is used again before a new one is made.
#pragma once

#include <bitset>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

namespace sotto::relay {

template <typename T>
class Slab {
 public:
  Slab() = default;
  ~Slab() {
    for (uint32_t index = 0; index < slots_; ++index) {
      if (T* value = Get(index)) value->~T();
    }
  }
  Slab(const Slab&) = delete;
  Slab& operator=(const Slab&) = delete;

  template <typename... Args>
  uint32_t Emplace(Args&&... args) {
    if (free_.empty()) {
      if (slots_ % kChunk == 0) chunks_.push_back(std::make_unique<Chunk>());
      free_.push_back(slots_++);
    }
    const uint32_t index = free_.back();
    free_.pop_back();
    Chunk& chunk = *chunks_[index / kChunk];
    new (chunk.Place(index % kChunk)) T(std::forward<Args>(args)...);
    chunk.used.set(index % kChunk);
    return index;
  }
  uint32_t Insert(T value) { return Emplace(std::move(value)); }
  // There is a value at the index.
  void Erase(uint32_t index) {
    Get(index)->~T();
    chunks_[index / kChunk]->used.reset(index % kChunk);
    free_.push_back(index);
  }
  // Null if there is no value at the index.
  T* Get(uint32_t index) {
    if (index >= slots_) return nullptr;
    Chunk& chunk = *chunks_[index / kChunk];
    return chunk.used[index % kChunk] ? chunk.Place(index % kChunk) : nullptr;
  }
  const T* Get(uint32_t index) const { return const_cast<Slab*>(this)->Get(index); }

  uint32_t size() const { return slots_ - static_cast<uint32_t>(free_.size()); }
  uint32_t slots() const { return slots_; }  // every index is below

 private:
  static constexpr uint32_t kChunk = 256;
  struct Chunk {
    std::bitset<kChunk> used;
    alignas(T) std::byte values[kChunk * sizeof(T)];

    T* Place(uint32_t i) { return reinterpret_cast<T*>(values + i * sizeof(T)); }
  };

  std::vector<std::unique_ptr<Chunk>> chunks_;
  std::vector<uint32_t> free_;
  uint32_t slots_ = 0;
};

}  // namespace sotto::relay
