// SPDX-License-Identifier: Apache-2.0
#include "signaling/service/stand_in_keys.h"

#include <sodium.h>

#include <string_view>

namespace sotto::signaling {

AccountPublicKeys StandInKeys(const ServerKey& key, const AccountId& account) {
  constexpr std::string_view kContext("sotto stand-in keys v1\0", 23);
  std::array<uint8_t, crypto_box_SEEDBYTES + crypto_sign_SEEDBYTES> seeds;
  const std::string input = std::string(kContext) + account.text();
  crypto_generichash(seeds.data(), seeds.size(), reinterpret_cast<const uint8_t*>(input.data()),
                     input.size(), key.data(), key.size());
  AccountPublicKeys keys;
  std::array<uint8_t, crypto_box_SECRETKEYBYTES> box_secret;
  std::array<uint8_t, crypto_sign_SECRETKEYBYTES> sign_secret;
  crypto_box_seed_keypair(keys.box.data(), box_secret.data(), seeds.data());
  crypto_sign_seed_keypair(keys.sign.data(), sign_secret.data(),
                           seeds.data() + crypto_box_SEEDBYTES);
  sodium_memzero(seeds.data(), seeds.size());
  sodium_memzero(box_secret.data(), box_secret.size());
  sodium_memzero(sign_secret.data(), sign_secret.size());
  return keys;
}

}  // namespace sotto::signaling
