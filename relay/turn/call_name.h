// SPDX-License-Identifier: Apache-2.0
// Credential names under the peer policy `call`: "<call id>/<side>", for example "q7Rk-02/a".
//
// A call id is 1 to 64 characters of A-Z a-z 0-9 . _ ~ and -, which pass through URLs, log lines
// and time-limited user names unchanged; a side is "a" or "b".
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace sotto::relay {

constexpr size_t kMaxCallIdSize = 64;

struct CallName {
  std::string_view call;  // views the text that was parsed
  uint8_t side = 0;       // 0 for "a", 1 for "b"
};

bool IsCallId(std::string_view text);
std::optional<CallName> ParseCallName(std::string_view text);
std::string FormatCallName(std::string_view call, uint8_t side);

}  // namespace sotto::relay
