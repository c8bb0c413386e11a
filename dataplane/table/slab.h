// A fixed number of records of one type in one piece of memory, taken and given back by control.
#pragma once

#include <rte_malloc.h>

#include <cstdint>
#include <memory>
#include <new>
#include <vector>

namespace sotto::dataplane {

template <typename T>
class Slab {
 public:
  // Memory from EAL's heap (hugepages where there are any). Check valid().
  Slab(const char* name, uint32_t capacity, int socket)
      : records_(
            static_cast<T*>(rte_malloc_socket(name, sizeof(T) * capacity, alignof(T), socket))),
        capacity_(capacity) {}
  ~Slab() { rte_free(records_); }
  Slab(const Slab&) = delete;
  Slab& operator=(const Slab&) = delete;

  bool valid() const { return records_ != nullptr; }

  // A fresh record, or null when all are taken.
  T* Take() {
    if (!free_.empty()) {
      T* record = free_.back();
      free_.pop_back();
      return new (record) T();
    }
    if (used_ == capacity_) return nullptr;
    return new (&records_[used_++]) T();
  }

  // Only when no worker can hold a pointer to it any more.
  void GiveBack(T* record) { free_.push_back(record); }

  uint32_t capacity() const { return capacity_; }
  uint32_t taken() const { return used_ - static_cast<uint32_t>(free_.size()); }

 private:
  T* records_;
  uint32_t capacity_;
  uint32_t used_ = 0;  // records that were ever taken
  std::vector<T*> free_;
};

}  // namespace sotto::dataplane
