// SPDX-License-Identifier: Apache-2.0
// The silenced notice, as a device opens it (docs/protocol.md, "The silenced notice").
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "tools/signaling_client/keys.h"

namespace sotto::tools {

constexpr size_t kSealedNoticeSize = 144;

struct OpenedNotice {
  enum class Kind : uint8_t { kSilenced = 1, kMissed = 2, kMore = 3 };
  Kind kind = Kind::kSilenced;
  uint16_t count = 0;
  uint32_t minute = 0;  // Unix time / 60
  std::string caller;   // empty with kMore
};

// INVALID_ARGUMENT if it isn't sealed to `device`, or isn't in every byte as the protocol says.
absl::StatusOr<OpenedNotice> OpenNotice(std::string_view sealed, const BoxKeyPair& device);

}  // namespace sotto::tools
