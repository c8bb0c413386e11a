// SPDX-License-Identifier: Apache-2.0
// A decision's question and answer, as values: what those who ask for one need of it.
#pragma once

#include <array>
#include <cstdint>
#include <optional>

#include "signaling/decision/token_result.h"
#include "signaling/identity/account.h"
#include "signaling/token/token.h"

namespace sotto::signaling {

// 32 random bytes that stay with the store's file and never enter it.
using ServerKey = std::array<uint8_t, 32>;

// What is known of a call when it is decided. The caller is evidence, not identity: a call with
// nothing but a token (no caller) can be decided too.
struct DecisionRequest {
  CallId call = {};
  std::optional<VerifiedAccount> caller;
  AccountId recipient;
  std::optional<Token> token;
};

struct Decision {
  CallId call = {};
  bool ring = false;
  bool protect_address = false;       // either party's setting
  std::optional<TokenSerial> serial;  // of a token that was valid and fresh, if it rings
  bool noticed = false;               // notices were added for the recipient's devices
  TokenResult token = TokenResult::kNone;
};

}  // namespace sotto::signaling
