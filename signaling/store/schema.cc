// SPDX-License-Identifier: Apache-2.0
#include "signaling/store/schema.h"

namespace sotto::signaling {
namespace {

// An account's name stands in one table alone; everything else refers to its id, and nothing refers
// to two. Each index serves Forget(), which goes by age; keys serve all else.
constexpr const char* kStep1 = R"sql(
CREATE TABLE account (
  id INTEGER PRIMARY KEY,
  name TEXT NOT NULL UNIQUE,
  silence_unknown_callers INTEGER NOT NULL DEFAULT 0,
  protect_ip_address INTEGER NOT NULL DEFAULT 0,
  box BLOB CHECK (length(box) = 32),
  sign BLOB CHECK (length(sign) = 32),
  blocks INTEGER NOT NULL DEFAULT 0,
  next_notice INTEGER NOT NULL DEFAULT 1
) STRICT;

CREATE TABLE device (
  account INTEGER NOT NULL REFERENCES account (id),
  id BLOB NOT NULL CHECK (length(id) = 16),
  notice_key BLOB NOT NULL CHECK (length(notice_key) = 32),
  PRIMARY KEY (account, id)
) STRICT, WITHOUT ROWID;

CREATE TABLE notice (
  account INTEGER NOT NULL,
  device BLOB NOT NULL,
  id INTEGER NOT NULL,
  sealed BLOB NOT NULL CHECK (length(sealed) = 144),
  PRIMARY KEY (account, device, id),
  FOREIGN KEY (account, device) REFERENCES device (account, id) ON DELETE CASCADE
) STRICT, WITHOUT ROWID;

CREATE TABLE epoch_key (
  account INTEGER NOT NULL REFERENCES account (id),
  epoch INTEGER NOT NULL,
  public_key BLOB NOT NULL CHECK (length(public_key) = 32),
  uses INTEGER NOT NULL CHECK (uses BETWEEN 1 AND 1000),
  PRIMARY KEY (account, epoch)
) STRICT, WITHOUT ROWID;
CREATE INDEX epoch_key_by_epoch ON epoch_key (epoch);

CREATE TABLE block (
  account INTEGER NOT NULL REFERENCES account (id),
  hash BLOB NOT NULL CHECK (length(hash) = 32),
  PRIMARY KEY (account, hash)
) STRICT, WITHOUT ROWID;

CREATE TABLE standing (
  account INTEGER PRIMARY KEY REFERENCES account (id),
  placed INTEGER NOT NULL,
  silenced INTEGER NOT NULL,
  window_began INTEGER NOT NULL
) STRICT;
CREATE INDEX standing_by_window ON standing (window_began);

CREATE TABLE token (
  nullifier BLOB NOT NULL PRIMARY KEY CHECK (length(nullifier) = 32),
  epoch INTEGER NOT NULL,
  used INTEGER NOT NULL,
  revoked INTEGER NOT NULL DEFAULT 0
) STRICT, WITHOUT ROWID;
CREATE INDEX token_by_epoch ON token (epoch);

CREATE TABLE redemption (
  call BLOB NOT NULL PRIMARY KEY CHECK (length(call) = 16),
  nullifier BLOB NOT NULL CHECK (length(nullifier) = 32),
  epoch INTEGER NOT NULL,
  ended INTEGER NOT NULL DEFAULT 0
) STRICT, WITHOUT ROWID;
CREATE INDEX redemption_by_epoch ON redemption (epoch);

CREATE TABLE revocation (
  account INTEGER NOT NULL REFERENCES account (id),
  epoch INTEGER NOT NULL,
  count INTEGER NOT NULL,
  PRIMARY KEY (account, epoch)
) STRICT, WITHOUT ROWID;
CREATE INDEX revocation_by_epoch ON revocation (epoch);
)sql";

// By the operator; what accounts block among themselves is `block`.
constexpr const char* kStep2 = R"sql(
ALTER TABLE account ADD COLUMN barred INTEGER NOT NULL DEFAULT 0;
)sql";

constexpr const char* kSteps[] = {kStep1, kStep2};

}  // namespace

std::span<const char* const> SchemaSteps() { return kSteps; }

}  // namespace sotto::signaling
