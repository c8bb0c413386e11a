// SPDX-License-Identifier: Apache-2.0
// And, or: without the short circuit. All terms are arguments, so all are evaluated.
#pragma once

#include <concepts>

namespace sotto::signaling {

constexpr bool AllOf(std::same_as<bool> auto... terms) { return (int{terms} & ...) != 0; }
constexpr bool AnyOf(std::same_as<bool> auto... terms) { return (int{terms} | ...) != 0; }

}  // namespace sotto::signaling
