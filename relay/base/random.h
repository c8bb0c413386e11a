// SPDX-License-Identifier: Apache-2.0
// Random numbers from the process's CSPRNG (OpenSSL, seeded by the kernel), fetched in blocks:
// ports, nonce keys, tokens and transaction ids must be beyond guessing. One thread only.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

namespace sotto {

class Random {
 public:
  Random() = default;
  ~Random();
  Random(const Random&) = delete;
  Random& operator=(const Random&) = delete;

  void Fill(std::span<uint8_t> out);
  uint64_t U64();
  // Uniform over [0, bound); `bound` is at least 1.
  uint32_t Below(uint32_t bound);

 private:
  std::array<uint8_t, 512> block_;
  size_t left_ = 0;  // unused bytes, at the end of the block
};

}  // namespace sotto
