// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace sotto::tools {

// Bytes written in hexadecimal, as tools print them: spaces, colons and line ends between are
// passed over, and so is "0x" at the start. INVALID_ARGUMENT names what is in the way.
absl::StatusOr<std::string> ParseHex(std::string_view text);

}  // namespace sotto::tools
