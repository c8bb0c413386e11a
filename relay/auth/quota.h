// How many allocations (and reserved ports) each credential name holds. Names with none take no
// memory. One thread only.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "absl/container/flat_hash_map.h"

namespace sotto::relay {

class AllocationQuota {
 public:
  // `limit` 0: no bound, and nothing is counted.
  explicit AllocationQuota(uint32_t limit) : limit_(limit) {}

  // Forgets what is held: who calls it counts anew.
  void Reset(uint32_t limit) {
    limit_ = limit;
    held_.clear();
  }

  bool Reached(std::string_view name) const;
  void Take(std::string_view name);
  void Release(std::string_view name);
  size_t names() const { return held_.size(); }

 private:
  uint32_t limit_;
  absl::flat_hash_map<std::string, uint32_t> held_;
};

}  // namespace sotto::relay
