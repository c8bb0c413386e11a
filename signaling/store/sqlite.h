// SPDX-License-Identifier: Apache-2.0
// SQLite for C++: a connection, prepared statements, and one run of a statement.
#pragma once

#include <sqlite3.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <memory>
#include <string_view>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace sotto::signaling {

// The connection's last error: UNAVAILABLE where the machine fails (a full disk, no memory),
// INTERNAL where the file or the program does. Never holds what was bound.
absl::Status SqliteError(sqlite3* connection, std::string_view what);

using SqliteConnection = std::unique_ptr<sqlite3, decltype([](sqlite3* c) { sqlite3_close(c); })>;
using SqliteStatement =
    std::unique_ptr<sqlite3_stmt, decltype([](sqlite3_stmt* s) { sqlite3_finalize(s); })>;

// Statements, separated by semicolons.
absl::Status Execute(sqlite3* connection, const char* sql);

// One run of a statement: arguments are bound to ?1, ?2... and must outlive it.
class Run {
 public:
  template <typename... Arguments>
  explicit Run(const SqliteStatement& statement, const Arguments&... arguments)
      : statement_(statement.get()) {
    int index = 0;
    ((result_ = result_ == SQLITE_OK ? Bind(++index, arguments) : result_), ...);
  }
  ~Run() { sqlite3_reset(statement_); }
  Run(const Run&) = delete;
  Run& operator=(const Run&) = delete;

  // Goes to the next row; false after the last.
  absl::StatusOr<bool> Row();
  // To the end, past any rows.
  absl::Status Finish();
  // To the end: the number of rows that it inserted, changed or removed itself.
  absl::StatusOr<int64_t> Change();

  // Columns of the current row.
  int64_t Integer(int column) const { return sqlite3_column_int64(statement_, column); }
  bool IsNull(int column) const { return sqlite3_column_type(statement_, column) == SQLITE_NULL; }
  // The schema keeps blobs to their size; another reads as zeros.
  template <size_t kSize>
  std::array<uint8_t, kSize> Blob(int column) const {
    std::array<uint8_t, kSize> bytes = {};
    const auto* blob = static_cast<const uint8_t*>(sqlite3_column_blob(statement_, column));
    if (sqlite3_column_bytes(statement_, column) == int{kSize}) {
      std::copy_n(blob, kSize, bytes.begin());
    }
    return bytes;
  }

 private:
  template <std::integral Integral>
  int Bind(int index, Integral value) {
    return sqlite3_bind_int64(statement_, index, static_cast<int64_t>(value));
  }
  int Bind(int index, std::string_view text) {
    return sqlite3_bind_text(statement_, index, text.data(), static_cast<int>(text.size()),
                             SQLITE_STATIC);
  }
  template <size_t kSize>
  int Bind(int index, const std::array<uint8_t, kSize>& blob) {
    return sqlite3_bind_blob(statement_, index, blob.data(), int{kSize}, SQLITE_STATIC);
  }

  sqlite3_stmt* const statement_;
  int result_ = SQLITE_OK;
};

}  // namespace sotto::signaling
