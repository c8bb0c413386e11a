// SPDX-License-Identifier: Apache-2.0
#include "relay/turn/call_name.h"

#include <algorithm>

namespace sotto::relay {

bool IsCallId(std::string_view text) {
  return !text.empty() && text.size() <= kMaxCallIdSize && std::ranges::all_of(text, [](char c) {
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '.' ||
           c == '_' || c == '~' || c == '-';
  });
}

std::optional<CallName> ParseCallName(std::string_view text) {
  const size_t slash = text.rfind('/');
  if (slash == std::string_view::npos) return std::nullopt;
  const std::string_view side = text.substr(slash + 1);
  if (!IsCallId(text.substr(0, slash)) || (side != "a" && side != "b")) return std::nullopt;
  return CallName{text.substr(0, slash), static_cast<uint8_t>(side == "a" ? 0 : 1)};
}

std::string FormatCallName(std::string_view call, uint8_t side) {
  return std::string(call) + (side == 0 ? "/a" : "/b");
}

}  // namespace sotto::relay
