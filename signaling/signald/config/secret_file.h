// SPDX-License-Identifier: Apache-2.0
// Secrets that the server makes for itself at its first start and keeps beside its store.
#pragma once

#include <functional>
#include <string>

#include "absl/status/statusor.h"
#include "signaling/decision/decider.h"

namespace sotto::signaling {

// The content of `path`; if there is no such file, what `make` gives, once it is durable there
// under mode 0600. FAILED_PRECONDITION if others can read the file, or it is no regular one.
absl::StatusOr<std::string> LoadOrMakeSecretFile(
    const std::string& path, const std::function<absl::StatusOr<std::string>()>& make);

// 32 random bytes, that way.
absl::StatusOr<ServerKey> LoadOrMakeServerKey(const std::string& path);

}  // namespace sotto::signaling
