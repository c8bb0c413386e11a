// SPDX-License-Identifier: Apache-2.0
#include "signaling/identity/account.h"

#include <algorithm>

namespace sotto::signaling {

std::optional<AccountId> AccountId::Parse(std::string_view text) {
  constexpr std::string_view kMarks = "._~@+-";
  const bool valid = !text.empty() && text.size() <= kMaxAccountSize &&
                     std::all_of(text.begin(), text.end(), [&](char c) {
                       return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') ||
                              (c >= '0' && c <= '9') || kMarks.find(c) != std::string_view::npos;
                     });
  if (!valid) return std::nullopt;
  return AccountId(std::string(text));
}

}  // namespace sotto::signaling
