// SPDX-License-Identifier: Apache-2.0
// The store in one SQLite file: write-ahead log, each commit synced to the disk, what is deleted
// overwritten. One process at a time holds it.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "signaling/store/store.h"

namespace sotto::signaling {

struct SqliteStoreOptions {
  // Made where it is missing, readable by its owner alone. ":memory:" keeps nothing.
  std::string path;
  // Told the text of each statement that runs: for tests and measurements.
  std::function<void(std::string_view)> on_statement = {};
};

// UNAVAILABLE: another process has it, or the file can't be made or opened. FAILED_PRECONDITION: a
// newer version's, another program's, or a broken file.
absl::StatusOr<std::unique_ptr<Store>> OpenSqliteStore(SqliteStoreOptions options);

}  // namespace sotto::signaling
