// SPDX-License-Identifier: Apache-2.0
// Privacy tokens as the account that gives them away makes them, and as its contacts hold them
// (docs/protocol.md, "Privacy tokens"). An implementation of its own, so that it checks the
// server's.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "tools/signaling_client/keys.h"

namespace sotto::tools {

constexpr size_t kTokenSize = 85;
constexpr int64_t kEpochSeconds = 604'800;
constexpr uint32_t kMaxTokenUses = 1000;

using TokenSerial = std::array<uint8_t, 16>;

// Of a time from 1970 on.
uint32_t EpochAt(int64_t unix_s);

TokenSerial RandomSerial();

// 85 bytes. `key` is the account's key of `epoch`.
std::string IssueToken(const SignKeyPair& key, std::string_view account, uint32_t epoch,
                       const TokenSerial& serial);

struct TokenFields {
  uint32_t epoch = 0;
  TokenSerial serial = {};
};
// Nothing if it hasn't the size or the version of a token.
std::optional<TokenFields> ReadToken(std::string_view token);

// What a token's signature covers.
std::string SignedPartOfToken(std::string_view account, uint32_t epoch, const TokenSerial& serial);

// What the server remembers of a token that has rung.
Hash NullifierOf(std::string_view account, uint32_t epoch, const TokenSerial& serial);

}  // namespace sotto::tools
