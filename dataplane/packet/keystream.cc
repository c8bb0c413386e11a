// SPDX-License-Identifier: Apache-2.0
#include "dataplane/packet/keystream.h"

namespace sotto::dataplane {

Keystream::Keystream(std::span<const uint8_t, 16> key)
    : context_(EVP_CIPHER_CTX_new()), used_(sizeof(buffer_)) {
  static constexpr uint8_t kCounter[16] = {};
  EVP_EncryptInit_ex(context_, EVP_aes_128_ctr(), nullptr, key.data(), kCounter);
}

void Keystream::Refill() {
  buffer_.fill(0);
  int written = 0;
  EVP_EncryptUpdate(context_, buffer_.data(), &written, buffer_.data(),
                    static_cast<int>(buffer_.size()));
  used_ = 0;
}

}  // namespace sotto::dataplane
