// SPDX-License-Identifier: Apache-2.0
// Unpredictable bytes for packet headers (transaction ids, IP ids) without a system call: AES-128
// in counter mode under a key of the thread's own. One thread only.
#pragma once

#include <openssl/evp.h>

#include <array>
#include <cstdint>
#include <cstring>
#include <span>

namespace sotto::dataplane {

class Keystream {
 public:
  // `key` comes from the operating system's generator, but for tests that want the same bytes
  // again.
  explicit Keystream(std::span<const uint8_t, 16> key);
  ~Keystream() { EVP_CIPHER_CTX_free(context_); }
  Keystream(const Keystream&) = delete;
  Keystream& operator=(const Keystream&) = delete;

  // `size` is at most 64.
  void Fill(uint8_t* out, size_t size) {
    if (size > buffer_.size() - used_) Refill();
    std::memcpy(out, &buffer_[used_], size);
    used_ += size;
  }
  uint16_t Next16() {
    uint16_t value;
    Fill(reinterpret_cast<uint8_t*>(&value), sizeof(value));
    return value;
  }

 private:
  void Refill();

  EVP_CIPHER_CTX* context_;
  size_t used_;
  std::array<uint8_t, 4096> buffer_;
};

}  // namespace sotto::dataplane
