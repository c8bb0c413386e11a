// SPDX-License-Identifier: Apache-2.0
#include "signaling/relay_client/call_name.h"

#include <algorithm>

#include "absl/strings/escaping.h"

namespace sotto::signaling {

std::string RelayCallName(const CallId& call) {
  return absl::WebSafeBase64Escape(
      absl::string_view(reinterpret_cast<const char*>(call.data()), call.size()));
}

std::optional<CallId> ParseRelayCallName(std::string_view name) {
  std::string bytes;
  CallId call;
  if (!absl::WebSafeBase64Unescape(absl::string_view(name.data(), name.size()), &bytes) ||
      bytes.size() != call.size()) {
    return std::nullopt;
  }
  std::copy(bytes.begin(), bytes.end(), call.begin());
  // The decoder takes other spellings of the same bytes, too.
  if (RelayCallName(call) != name) return std::nullopt;
  return call;
}

}  // namespace sotto::signaling
