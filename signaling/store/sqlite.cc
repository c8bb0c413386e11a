// SPDX-License-Identifier: Apache-2.0
#include "signaling/store/sqlite.h"

#include <fmt/format.h>

namespace sotto::signaling {

absl::Status SqliteError(sqlite3* connection, std::string_view what) {
  const std::string message = fmt::format(
      "{}: {}", what, connection == nullptr ? "out of memory" : sqlite3_errmsg(connection));
  switch (connection == nullptr ? SQLITE_NOMEM : sqlite3_errcode(connection) & 0xff) {
    case SQLITE_BUSY:
    case SQLITE_CANTOPEN:
    case SQLITE_FULL:
    case SQLITE_IOERR:
    case SQLITE_NOMEM:
    case SQLITE_READONLY:
      return absl::UnavailableError(message);
    default:
      return absl::InternalError(message);
  }
}

absl::Status Execute(sqlite3* connection, const char* sql) {
  if (sqlite3_exec(connection, sql, nullptr, nullptr, nullptr) == SQLITE_OK) {
    return absl::OkStatus();
  }
  return SqliteError(connection, "the store");
}

absl::StatusOr<bool> Run::Row() {
  if (result_ == SQLITE_OK || result_ == SQLITE_ROW) result_ = sqlite3_step(statement_);
  if (result_ == SQLITE_ROW) return true;
  if (result_ == SQLITE_DONE) return false;
  return SqliteError(sqlite3_db_handle(statement_), "the store");
}

absl::Status Run::Finish() {
  for (;;) {
    absl::StatusOr<bool> row = Row();
    if (!row.ok()) return row.status();
    if (!*row) return absl::OkStatus();
  }
}

absl::StatusOr<int64_t> Run::Change() {
  sqlite3* const connection = sqlite3_db_handle(statement_);
  if (absl::Status status = Finish(); !status.ok()) return status;
  return sqlite3_changes64(connection);
}

}  // namespace sotto::signaling
