// SPDX-License-Identifier: Apache-2.0
// Memory for tables: zeroed, and in huge pages where the machine has any to give, since look-ups of
// a million legs would otherwise spend their time in page walks.
//
// From EAL's heap where that is on hugetlbfs; otherwise (--no-huge) mapped by ourselves, as the
// kernel gives transparent huge pages to anonymous memory and not to EAL's.
#pragma once

#include <cstddef>
#include <utility>

namespace sotto::dataplane {

class TableMemory {
 public:
  TableMemory() = default;
  // `data()` is null if there is no memory. Aligned to 64 bytes at least.
  TableMemory(const char* name, size_t bytes, int socket);
  // Memory that the kernel gives as it is written to, for what is seldom in use.
  static TableMemory OnUse(size_t bytes);
  ~TableMemory();
  TableMemory(TableMemory&& other) noexcept { *this = std::move(other); }
  TableMemory& operator=(TableMemory&& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(mapped_, other.mapped_);
    return *this;
  }

  void* data() const { return data_; }

 private:
  void Map(size_t bytes);

  void* data_ = nullptr;
  size_t mapped_ = 0;  // bytes; 0: from EAL's heap
};

}  // namespace sotto::dataplane
