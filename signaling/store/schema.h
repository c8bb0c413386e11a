// SPDX-License-Identifier: Apache-2.0
// The tables of the SQLite store, and how older files come to have them.
//
// PRAGMA user_version counts the steps that a file has been through; a step, once released, never
// changes.
#pragma once

#include <cstdint>
#include <span>

namespace sotto::signaling {

// PRAGMA application_id of the store's files: "Stto".
constexpr int32_t kApplicationId = 0x5374746f;

// kSchemaSteps()[v] takes a file from version v to v + 1.
std::span<const char* const> SchemaSteps();

}  // namespace sotto::signaling
