// SPDX-License-Identifier: Apache-2.0
#include "relay/base/random.h"

#include <openssl/crypto.h>
#include <openssl/rand.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>

namespace sotto {

Random::~Random() { OPENSSL_cleanse(block_.data(), block_.size()); }

void Random::Fill(std::span<uint8_t> out) {
  while (!out.empty()) {
    if (left_ == 0) {
      // Going on without randomness would hand out guessable secrets.
      if (RAND_bytes(block_.data(), static_cast<int>(block_.size())) != 1) std::abort();
      left_ = block_.size();
    }
    const size_t count = std::min(left_, out.size());
    uint8_t* const from = block_.data() + block_.size() - left_;
    std::memcpy(out.data(), from, count);
    std::memset(from, 0, count);  // what was handed out is found nowhere else
    left_ -= count;
    out = out.subspan(count);
  }
}

uint64_t Random::U64() {
  std::array<uint8_t, 8> bytes;
  Fill(bytes);
  uint64_t value;
  std::memcpy(&value, bytes.data(), sizeof(value));
  return value;
}

uint32_t Random::Below(uint32_t bound) {
  // 64 random bits for at most 32 that matter: the bias is below 2^-32.
  return static_cast<uint32_t>((static_cast<unsigned __int128>(U64()) * bound) >> 64);
}

}  // namespace sotto
