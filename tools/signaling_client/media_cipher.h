// SPDX-License-Identifier: Apache-2.0
// Media of clients without DTLS (docs/protocol.md, "Bodies"):
//
//   sequence(8, big-endian) | ChaCha20-Poly1305-IETF(key, nonce = 0(4) | sequence, ad =
//   sequence(8))
//
// The key of each direction comes from an X25519 secret that both sides' shares make, bound to the
// call by the hash of its sealed offer.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "absl/status/statusor.h"
#include "tools/signaling_client/keys.h"

namespace sotto::tools {

constexpr size_t kMediaOverhead = 8 + 16;

enum class CallSide : char { kCaller = 'a', kRecipient = 'b' };

class MediaCipher {
 public:
  // `own` is this side's share, `peer` the public half of the other's. INVALID_ARGUMENT if `peer`
  // is a point of low order, with which there is no secret.
  static absl::StatusOr<MediaCipher> Make(CallSide side, const BoxKeyPair& own, const Key& peer,
                                          const Hash& offer_hash);

  // Numbers what it seals 0, 1, 2... The view lives until the next call.
  std::span<const uint8_t> Seal(std::span<const uint8_t> media);

  struct Opened {
    uint64_t sequence = 0;
    std::span<const uint8_t> media;  // until the next call
  };
  // Nothing if a single bit isn't as the other side sealed it. Says nothing about replays.
  std::optional<Opened> Open(std::span<const uint8_t> payload);

 private:
  MediaCipher() = default;

  Key send_key_ = {};
  Key receive_key_ = {};
  uint64_t next_sequence_ = 0;
  std::vector<uint8_t> sealed_;
  std::vector<uint8_t> opened_;
};

}  // namespace sotto::tools
