// SPDX-License-Identifier: Apache-2.0
#include "tools/signaling_client/media_cipher.h"

#include <sodium.h>

#include <algorithm>
#include <array>

#include "relay/base/big_endian.h"

namespace sotto::tools {
namespace {

using namespace std::string_view_literals;

Key KeyOf(CallSide side, const Key& secret, const Hash& offer_hash) {
  std::string input("sotto media v1\0"sv);
  input.push_back(static_cast<char>(side));
  input += AsString(offer_hash);
  Key key;
  crypto_generichash(key.data(), key.size(), AsBytes(input).data(), input.size(), secret.data(),
                     secret.size());
  return key;
}

std::array<uint8_t, 12> NonceOf(uint64_t sequence) {
  std::array<uint8_t, 12> nonce = {};
  StoreBe64(nonce.data() + 4, sequence);
  return nonce;
}

}  // namespace

absl::StatusOr<MediaCipher> MediaCipher::Make(CallSide side, const BoxKeyPair& own, const Key& peer,
                                              const Hash& offer_hash) {
  Key secret;
  if (crypto_scalarmult(secret.data(), own.secret_key.data(), peer.data()) != 0) {
    return absl::InvalidArgumentError("the other side's secret share is not valid");
  }
  const CallSide other = side == CallSide::kCaller ? CallSide::kRecipient : CallSide::kCaller;
  MediaCipher cipher;
  cipher.send_key_ = KeyOf(side, secret, offer_hash);
  cipher.receive_key_ = KeyOf(other, secret, offer_hash);
  sodium_memzero(secret.data(), secret.size());
  return cipher;
}

std::span<const uint8_t> MediaCipher::Seal(std::span<const uint8_t> media) {
  const uint64_t sequence = next_sequence_++;
  sealed_.resize(media.size() + kMediaOverhead);
  StoreBe64(sealed_.data(), sequence);
  crypto_aead_chacha20poly1305_ietf_encrypt(sealed_.data() + 8, nullptr, media.data(), media.size(),
                                            sealed_.data(), 8, nullptr, NonceOf(sequence).data(),
                                            send_key_.data());
  return sealed_;
}

std::optional<MediaCipher::Opened> MediaCipher::Open(std::span<const uint8_t> payload) {
  if (payload.size() < kMediaOverhead) return std::nullopt;
  Opened opened{.sequence = LoadBe64(payload.data()), .media = {}};
  opened_.resize(payload.size() - kMediaOverhead);
  if (crypto_aead_chacha20poly1305_ietf_decrypt(
          opened_.data(), nullptr, nullptr, payload.data() + 8, payload.size() - 8, payload.data(),
          8, NonceOf(opened.sequence).data(), receive_key_.data()) != 0) {
    return std::nullopt;
  }
  opened.media = opened_;
  return opened;
}

}  // namespace sotto::tools
