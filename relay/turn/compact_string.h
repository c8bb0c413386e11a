// SPDX-License-Identifier: Apache-2.0
// A text that never changes, in one pointer and a block of just its size: where a million of them
// are kept, std::string's 32 bytes and its spare room are half of it.
#pragma once

#include <cstdint>
#include <cstring>
#include <memory>
#include <string_view>

namespace sotto::relay {

class CompactString {
 public:
  CompactString() = default;
  // At most 65,535 bytes.
  explicit CompactString(std::string_view text) : block_(new char[2 + text.size()]) {
    const auto size = static_cast<uint16_t>(text.size());
    std::memcpy(block_.get(), &size, 2);
    std::memcpy(block_.get() + 2, text.data(), size);
  }

  // Views the object.
  std::string_view view() const {
    if (block_ == nullptr) return {};
    uint16_t size;
    std::memcpy(&size, block_.get(), 2);
    return {block_.get() + 2, size};
  }
  bool empty() const { return view().empty(); }

 private:
  std::unique_ptr<char[]> block_;
};

}  // namespace sotto::relay
