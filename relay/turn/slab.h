// Slots for many values of one type: an index names a value for as long as it lives, addresses
// don't move, and a freed slot is used again before a new one is made.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

namespace sotto::relay {

template <typename T>
class Slab {
 public:
  uint32_t Insert(T value) {
    if (free_.empty()) {
      if (slots_ % kChunk == 0) chunks_.push_back(std::make_unique<Chunk>());
      free_.push_back(slots_++);
    }
    const uint32_t index = free_.back();
    free_.pop_back();
    Slot(index).emplace(std::move(value));
    return index;
  }
  void Erase(uint32_t index) {
    Slot(index).reset();
    free_.push_back(index);
  }
  // Null if there is no value at the index.
  T* Get(uint32_t index) {
    if (index >= slots_ || !Slot(index)) return nullptr;
    return &*Slot(index);
  }
  const T* Get(uint32_t index) const { return const_cast<Slab*>(this)->Get(index); }

  uint32_t size() const { return slots_ - static_cast<uint32_t>(free_.size()); }
  uint32_t slots() const { return slots_; }  // every index is below

 private:
  static constexpr uint32_t kChunk = 256;
  using Chunk = std::array<std::optional<T>, kChunk>;

  std::optional<T>& Slot(uint32_t index) { return (*chunks_[index / kChunk])[index % kChunk]; }

  std::vector<std::unique_ptr<Chunk>> chunks_;
  std::vector<uint32_t> free_;
  uint32_t slots_ = 0;
};

}  // namespace sotto::relay
