// SPDX-License-Identifier: Apache-2.0
#include "signaling/decision/pair_rate.h"

#include <string>

#include "signaling/token/sodium.h"

namespace sotto::signaling {

PairRate::PairRate(uint32_t calls, uint32_t window_s, size_t max_pairs)
    : calls_(calls), window_s_(window_s), windows_(max_pairs) {
  EnsureSodium();
  randombytes_buf(key_.data(), key_.size());
}

PairRate::Hash PairRate::HashOf(const AccountId& caller, const AccountId& recipient) const {
  // No account's name holds a zero byte.
  const std::string pair = caller.text() + '\0' + recipient.text();
  Hash hash;
  crypto_generichash(hash.data(), hash.size(), reinterpret_cast<const uint8_t*>(pair.data()),
                     pair.size(), key_.data(), key_.size());
  return hash;
}

bool PairRate::Take(const AccountId& caller, const AccountId& recipient, int64_t unix_s) {
  const Hash pair = HashOf(caller, recipient);
  Window* window = windows_.Find(pair);
  undo_.try_emplace(pair, window == nullptr ? std::nullopt : std::optional(*window));
  // A clock that was set back ends the window too: else a window might last for ever.
  if (window == nullptr || unix_s < window->began_unix_s ||
      unix_s - window->began_unix_s >= int64_t{window_s_}) {
    window = &windows_.Put(pair, {.began_unix_s = unix_s, .calls = 0});
  }
  if (window->calls >= calls_) return false;
  ++window->calls;
  return true;
}

void PairRate::RolledBack() {
  for (const auto& [pair, before] : undo_) {
    Window* const window = windows_.Find(pair);
    if (window == nullptr) continue;  // forgotten for lack of room
    if (before) {
      *window = *before;
    } else {
      windows_.Erase(pair);
    }
  }
  undo_.clear();
}

}  // namespace sotto::signaling
