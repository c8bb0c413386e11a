// SPDX-License-Identifier: Apache-2.0
// A call's name at the relay: its id in base64url without padding, 22 characters.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "signaling/identity/account.h"

namespace sotto::signaling {

std::string RelayCallName(const CallId& call);
// Nothing for names that this server hasn't given.
std::optional<CallId> ParseRelayCallName(std::string_view name);

}  // namespace sotto::signaling
