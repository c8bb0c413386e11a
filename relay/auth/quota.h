// SPDX-License-Identifier: Apache-2.0
// How many allocations (and reserved ports) each credential name holds. Names with none take no
// memory, and before there is a limit, none do. One thread only.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "absl/container/flat_hash_map.h"

namespace sotto::relay {

class AllocationQuota {
 public:
  // `limit` 0: no bound.
  explicit AllocationQuota(uint32_t limit) : limit_(limit), counts_(limit != 0) {}

  // With the first limit counting begins, and goes on whatever comes after it, so that the next one
  // finds all counted. What is held by then is for the caller to take; there is room for `names` at
  // once, as to make it later would take long.
  void SetLimit(uint32_t limit, size_t names);
  bool counts() const { return counts_; }

  bool Reached(std::string_view name) const;
  void Take(std::string_view name);
  void Release(std::string_view name);
  size_t names() const { return held_.size(); }

 private:
  uint32_t limit_;
  bool counts_;
  absl::flat_hash_map<std::string, uint32_t> held_;
};

}  // namespace sotto::relay
