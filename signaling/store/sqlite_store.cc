// SPDX-License-Identifier: Apache-2.0
#include "signaling/store/sqlite_store.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>

#include "signaling/store/schema.h"
#include "signaling/store/sqlite.h"

namespace sotto::signaling {
namespace {

constexpr int64_t kForgetAtOnce = 256;  // rows of each table

#define SOTTO_RETURN_IF_ERROR(expression) \
  if (absl::Status status = (expression); !status.ok()) return status
#define SOTTO_ASSIGN_OR_RETURN(declaration, expression) \
  SOTTO_ASSIGN_OR_RETURN_IMPL(declaration, expression, SOTTO_CONCAT(result_, __LINE__))
#define SOTTO_ASSIGN_OR_RETURN_IMPL(declaration, expression, result) \
  auto result = (expression);                                        \
  if (!result.ok()) return result.status();                          \
  declaration = *std::move(result)
#define SOTTO_CONCAT(a, b) SOTTO_CONCAT_IMPL(a, b)
#define SOTTO_CONCAT_IMPL(a, b) a##b

class SqliteStore : public Store {
 public:
  SqliteStore(SqliteConnection connection, std::function<void(std::string_view)> on_statement)
      : connection_(std::move(connection)), on_statement_(std::move(on_statement)) {}

  absl::Status Prepare();

  absl::Status Begin() override { return Run(begin_).Finish(); }
  absl::Status Commit() override {
    SOTTO_RETURN_IF_ERROR(Run(commit_).Finish());
    notices_waiting_ += std::exchange(notices_added_, 0);
    return absl::OkStatus();
  }
  void Rollback() override {
    notices_added_ = 0;
    // Some errors have rolled it back already.
    if (sqlite3_get_autocommit(connection_.get()) == 0) Run(rollback_).Finish().IgnoreError();
  }

  absl::StatusOr<std::optional<AccountRecord>> FindAccount(const AccountId& account) override;
  absl::StatusOr<bool> IsBlocked(const AccountId& owner, const BlockHash& blocked) override {
    return Run(is_blocked_, owner.text(), blocked).Row();
  }
  absl::StatusOr<Standing> GetStanding(const AccountId& account) override;
  absl::StatusOr<std::vector<StoredNotice>> Notices(const AccountId& account,
                                                    const DeviceId& device) override;

  absl::Status PutDevice(const AccountId& account, const Device& device) override;
  absl::Status RemoveDevice(const AccountId& account, const DeviceId& device) override {
    SOTTO_ASSIGN_OR_RETURN(const size_t notices, CountNotices(account, device));
    SOTTO_ASSIGN_OR_RETURN(const int64_t removed,
                           Run(remove_device_, account.text(), device).Change());
    if (removed == 1) notices_added_ -= static_cast<int64_t>(notices);
    return absl::OkStatus();
  }
  absl::Status PutSettings(const AccountId& account, const AccountSettings& settings) override {
    return Run(put_settings_, account.text(), settings.silence_unknown_callers,
               settings.protect_ip_address)
        .Finish();
  }
  absl::Status PutAccountKeys(const AccountId& account, const AccountPublicKeys& keys) override {
    return Run(put_account_keys_, account.text(), keys.box, keys.sign).Finish();
  }
  absl::Status PutEpochKey(const AccountId& account, const EpochKey& key) override {
    SOTTO_ASSIGN_OR_RETURN(const int64_t id, MakeAccount(account));
    return Run(put_epoch_key_, id, key.epoch, key.public_key, key.uses).Finish();
  }
  absl::Status PutBlock(const AccountId& owner, const BlockHash& blocked, bool on) override;
  absl::Status PutBarred(const AccountId& account, bool barred) override {
    if (barred) SOTTO_RETURN_IF_ERROR(MakeAccount(account).status());
    SOTTO_ASSIGN_OR_RETURN(const int64_t changed,
                           Run(put_barred_, account.text(), barred).Change());
    return changed == 1 ? absl::OkStatus() : absl::NotFoundError("no such account");
  }
  absl::StatusOr<TokenUse> FindTokenUse(const Nullifier& nullifier) override;
  uint64_t notices_waiting() const override { return static_cast<uint64_t>(notices_waiting_); }
  absl::Status PutStanding(const AccountId& account, const Standing& standing) override {
    return Run(put_standing_, account.text(), standing.placed, standing.silenced,
               standing.window_began_unix_s)
        .Finish();
  }

  absl::StatusOr<Redemption> Redeem(const Nullifier& nullifier, Epoch epoch, uint16_t uses,
                                    const CallId& call) override;
  absl::Status EndRedemption(const CallId& call) override {
    return Run(end_redemption_, call).Finish();
  }
  absl::Status Revoke(const AccountId& account, Epoch epoch, const Nullifier& nullifier) override;

  absl::StatusOr<size_t> CountNotices(const AccountId& account, const DeviceId& device) override;
  absl::StatusOr<NoticeId> AddNotice(const AccountId& account, const DeviceId& device,
                                     const SealedNotice& notice) override;
  absl::StatusOr<bool> ReplaceNotice(const AccountId& account, const DeviceId& device, NoticeId id,
                                     const SealedNotice& notice) override {
    SOTTO_ASSIGN_OR_RETURN(const int64_t changed,
                           Run(replace_notice_, account.text(), device, id, notice).Change());
    return changed == 1;
  }
  absl::Status RemoveNotices(const AccountId& account, const DeviceId& device,
                             std::span<const NoticeId> ids) override {
    for (const NoticeId id : ids) {
      SOTTO_ASSIGN_OR_RETURN(const int64_t removed,
                             Run(remove_notice_, account.text(), device, id).Change());
      notices_added_ -= removed;
    }
    return absl::OkStatus();
  }

  absl::StatusOr<bool> Forget(Epoch earlier_than, int64_t standing_before_unix_s) override;

 private:
  static int OnStatement(unsigned, void* self, void*, void* sql) {
    static_cast<SqliteStore*>(self)->on_statement_(static_cast<const char*>(sql));
    return 0;
  }

  // The account's id; makes it where it is missing.
  absl::StatusOr<int64_t> MakeAccount(const AccountId& account) {
    SOTTO_RETURN_IF_ERROR(Run(make_account_, account.text()).Finish());
    Run run(account_id_, account.text());
    SOTTO_ASSIGN_OR_RETURN(const bool found, run.Row());
    if (!found)
      return absl::InternalError("the store: an account that was just created is missing");
    return run.Integer(0);
  }

  SqliteConnection connection_;
  int64_t notices_waiting_ = 0;
  int64_t notices_added_ = 0;  // since the transaction began, less those removed
  const std::function<void(std::string_view)> on_statement_;

  SqliteStatement begin_, commit_, rollback_;
  SqliteStatement make_account_, account_id_, find_account_, find_epoch_keys_, find_devices_;
  SqliteStatement put_settings_, put_account_keys_, put_epoch_key_, put_barred_, find_token_use_;
  SqliteStatement add_device_, change_device_, remove_device_, remove_notices_;
  SqliteStatement is_blocked_, count_blocks_, add_block_, remove_block_, change_blocks_;
  SqliteStatement get_standing_, put_standing_;
  SqliteStatement find_redemption_, use_token_, add_redemption_, end_redemption_;
  SqliteStatement find_revocation_, revoke_, count_revocation_;
  SqliteStatement notices_, count_notices_, notice_room_, add_notice_, number_notice_;
  SqliteStatement replace_notice_, remove_notice_;
  SqliteStatement forget_standing_;
  std::array<SqliteStatement, 4> forget_epochs_;
};

absl::StatusOr<int64_t> ReadInteger(sqlite3* connection, const char* sql) {
  sqlite3_stmt* prepared = nullptr;
  if (sqlite3_prepare_v2(connection, sql, -1, &prepared, nullptr) != SQLITE_OK) {
    return SqliteError(connection, "the store");
  }
  const SqliteStatement statement(prepared);
  Run run(statement);
  SOTTO_RETURN_IF_ERROR(run.Row().status());
  return run.Integer(0);
}

absl::Status SqliteStore::Prepare() {
#define SOTTO_THE_ACCOUNT "(SELECT id FROM account WHERE name = ?1)"
  const struct {
    SqliteStatement& statement;
    const char* sql;
  } kStatements[] = {
      {begin_, "BEGIN IMMEDIATE"},
      {commit_, "COMMIT"},
      {rollback_, "ROLLBACK"},

      {make_account_, "INSERT INTO account (name) VALUES (?1) ON CONFLICT DO NOTHING"},
      {account_id_, "SELECT id FROM account WHERE name = ?1"},
      {find_account_,
       "SELECT id, silence_unknown_callers, protect_ip_address, box, sign, barred FROM account"
       " WHERE name = ?1"},
      {find_epoch_keys_,
       "SELECT epoch, public_key, uses FROM epoch_key WHERE account = ?1 ORDER BY epoch"},
      {find_devices_, "SELECT id, notice_key FROM device WHERE account = ?1 ORDER BY id"},
      {put_settings_,
       "INSERT INTO account (name, silence_unknown_callers, protect_ip_address) VALUES (?1, ?2, ?3)"
       " ON CONFLICT (name) DO UPDATE SET silence_unknown_callers = ?2, protect_ip_address = ?3"},
      {put_account_keys_,
       "INSERT INTO account (name, box, sign) VALUES (?1, ?2, ?3)"
       " ON CONFLICT (name) DO UPDATE SET box = ?2, sign = ?3"},
      {put_epoch_key_,
       "INSERT INTO epoch_key (account, epoch, public_key, uses) VALUES (?1, ?2, ?3, ?4)"
       " ON CONFLICT DO UPDATE SET public_key = ?3, uses = ?4"},

      {put_barred_, "UPDATE account SET barred = ?2 WHERE name = ?1"},
      {find_token_use_, "SELECT used, revoked FROM token WHERE nullifier = ?1"},

      {add_device_, "INSERT INTO device (account, id, notice_key) VALUES (?1, ?2, ?3)"},
      {change_device_, "UPDATE device SET notice_key = ?3 WHERE account = ?1 AND id = ?2"},
      {remove_device_, "DELETE FROM device WHERE account = " SOTTO_THE_ACCOUNT " AND id = ?2"},
      {remove_notices_, "DELETE FROM notice WHERE account = ?1 AND device = ?2"},

      {is_blocked_, "SELECT 1 FROM block WHERE account = " SOTTO_THE_ACCOUNT " AND hash = ?2"},
      {count_blocks_, "SELECT blocks FROM account WHERE id = ?1"},
      {add_block_, "INSERT INTO block (account, hash) VALUES (?1, ?2) ON CONFLICT DO NOTHING"},
      {remove_block_, "DELETE FROM block WHERE account = ?1 AND hash = ?2"},
      {change_blocks_, "UPDATE account SET blocks = blocks + ?2 WHERE id = ?1"},

      {get_standing_,
       "SELECT placed, silenced, window_began FROM standing WHERE account = " SOTTO_THE_ACCOUNT},
      {put_standing_,
       "INSERT INTO standing (account, placed, silenced, window_began)"
       " SELECT id, ?2, ?3, ?4 FROM account WHERE name = ?1"
       " ON CONFLICT DO UPDATE SET placed = ?2, silenced = ?3, window_began = ?4"},

      {find_redemption_,
       "SELECT r.nullifier, r.ended, t.revoked FROM redemption r JOIN token t USING (nullifier)"
       " WHERE r.call = ?1"},
      {use_token_,
       "INSERT INTO token (nullifier, epoch, used) SELECT ?1, ?2, 1 WHERE ?3 > 0"
       " ON CONFLICT DO UPDATE SET used = used + 1 WHERE used < ?3 AND NOT revoked"},
      {add_redemption_,
       "INSERT INTO redemption (call, nullifier, epoch) SELECT ?1, ?2, ?3 WHERE ?4"},
      {end_redemption_, "UPDATE redemption SET ended = 1 WHERE call = ?1 AND NOT ended"},
      {find_revocation_,
       "SELECT coalesce((SELECT revoked FROM token WHERE nullifier = ?3), 0),"
       " coalesce((SELECT count FROM revocation WHERE account = ?1 AND epoch = ?2), 0)"},
      {revoke_,
       "INSERT INTO token (nullifier, epoch, used, revoked) VALUES (?1, ?2, 0, 1)"
       " ON CONFLICT DO UPDATE SET revoked = 1"},
      {count_revocation_,
       "INSERT INTO revocation (account, epoch, count) VALUES (?1, ?2, 1)"
       " ON CONFLICT DO UPDATE SET count = count + 1"},

      {notices_, "SELECT id, sealed FROM notice WHERE account = " SOTTO_THE_ACCOUNT
                 " AND device = ?2 ORDER BY id"},
      {count_notices_,
       "SELECT count(*) FROM notice WHERE account = " SOTTO_THE_ACCOUNT " AND device = ?2"},
      {notice_room_,
       "SELECT a.id, a.next_notice,"
       " (SELECT count(*) FROM notice n WHERE n.account = a.id AND n.device = ?2)"
       " FROM account a JOIN device d ON d.account = a.id AND d.id = ?2 WHERE a.name = ?1"},
      {add_notice_,
       "INSERT INTO notice (account, device, id, sealed) SELECT ?1, ?2, ?3, ?4 WHERE ?5"},
      {number_notice_, "UPDATE account SET next_notice = next_notice + 1 WHERE id = ?1 AND ?2"},
      {replace_notice_, "UPDATE notice SET sealed = ?4 WHERE account = " SOTTO_THE_ACCOUNT
                        " AND device = ?2 AND id = ?3"},
      {remove_notice_,
       "DELETE FROM notice WHERE account = " SOTTO_THE_ACCOUNT " AND device = ?2 AND id = ?3"},

      {forget_standing_,
       "DELETE FROM standing WHERE account IN"
       " (SELECT account FROM standing WHERE window_began < ?1 LIMIT ?2)"},
      {forget_epochs_[0],
       "DELETE FROM epoch_key WHERE (account, epoch) IN"
       " (SELECT account, epoch FROM epoch_key WHERE epoch < ?1 LIMIT ?2)"},
      {forget_epochs_[1],
       "DELETE FROM token WHERE nullifier IN"
       " (SELECT nullifier FROM token WHERE epoch < ?1 LIMIT ?2)"},
      {forget_epochs_[2],
       "DELETE FROM redemption WHERE call IN"
       " (SELECT call FROM redemption WHERE epoch < ?1 LIMIT ?2)"},
      {forget_epochs_[3],
       "DELETE FROM revocation WHERE (account, epoch) IN"
       " (SELECT account, epoch FROM revocation WHERE epoch < ?1 LIMIT ?2)"},
  };
#undef SOTTO_THE_ACCOUNT
  for (const auto& [statement, sql] : kStatements) {
    sqlite3_stmt* prepared = nullptr;
    if (sqlite3_prepare_v3(connection_.get(), sql, -1, SQLITE_PREPARE_PERSISTENT, &prepared,
                           nullptr) != SQLITE_OK) {
      return SqliteError(connection_.get(), fmt::format("preparing \"{}\"", sql));
    }
    statement.reset(prepared);
  }
  SOTTO_ASSIGN_OR_RETURN(notices_waiting_,
                         ReadInteger(connection_.get(), "SELECT count(*) FROM notice"));
  if (on_statement_) {
    sqlite3_trace_v2(connection_.get(), SQLITE_TRACE_STMT, &SqliteStore::OnStatement, this);
  }
  return absl::OkStatus();
}

absl::StatusOr<std::optional<AccountRecord>> SqliteStore::FindAccount(const AccountId& account) {
  AccountRecord record;
  int64_t id = 0;  // nobody's: the look-ups below are made all the same
  {
    Run run(find_account_, account.text());
    SOTTO_ASSIGN_OR_RETURN(const bool found, run.Row());
    if (found) {
      id = run.Integer(0);
      record.settings = {.silence_unknown_callers = run.Integer(1) != 0,
                         .protect_ip_address = run.Integer(2) != 0};
      if (!run.IsNull(3)) record.keys = {.box = run.Blob<32>(3), .sign = run.Blob<32>(4)};
      record.barred = run.Integer(5) != 0;
    }
  }
  Run keys(find_epoch_keys_, id);
  for (;;) {
    SOTTO_ASSIGN_OR_RETURN(const bool row, keys.Row());
    if (!row) break;
    record.epoch_keys.push_back({.epoch = static_cast<Epoch>(keys.Integer(0)),
                                 .public_key = keys.Blob<32>(1),
                                 .uses = static_cast<uint16_t>(keys.Integer(2))});
  }
  Run devices(find_devices_, id);
  for (;;) {
    SOTTO_ASSIGN_OR_RETURN(const bool row, devices.Row());
    if (!row) break;
    record.devices.push_back({.id = devices.Blob<16>(0), .notice_key = devices.Blob<32>(1)});
  }
  if (id == 0) return std::nullopt;
  return record;
}

absl::StatusOr<Standing> SqliteStore::GetStanding(const AccountId& account) {
  Run run(get_standing_, account.text());
  SOTTO_ASSIGN_OR_RETURN(const bool found, run.Row());
  if (!found) return Standing();
  return Standing{.placed = static_cast<uint32_t>(run.Integer(0)),
                  .silenced = static_cast<uint32_t>(run.Integer(1)),
                  .window_began_unix_s = run.Integer(2)};
}

absl::StatusOr<std::vector<StoredNotice>> SqliteStore::Notices(const AccountId& account,
                                                               const DeviceId& device) {
  std::vector<StoredNotice> notices;
  Run run(notices_, account.text(), device);
  for (;;) {
    SOTTO_ASSIGN_OR_RETURN(const bool row, run.Row());
    if (!row) return notices;
    notices.push_back(
        {.id = static_cast<NoticeId>(run.Integer(0)), .sealed = run.Blob<kSealedNoticeSize>(1)});
  }
}

absl::Status SqliteStore::PutDevice(const AccountId& account, const Device& device) {
  SOTTO_ASSIGN_OR_RETURN(const int64_t id, MakeAccount(account));
  size_t others = 0;
  std::optional<NoticeKey> before;
  {
    Run run(find_devices_, id);
    for (;;) {
      SOTTO_ASSIGN_OR_RETURN(const bool row, run.Row());
      if (!row) break;
      if (run.Blob<16>(0) == device.id) {
        before = run.Blob<32>(1);
      } else {
        ++others;
      }
    }
  }
  if (before == device.notice_key) return absl::OkStatus();
  if (before) {
    SOTTO_ASSIGN_OR_RETURN(const int64_t removed, Run(remove_notices_, id, device.id).Change());
    notices_added_ -= removed;
    return Run(change_device_, id, device.id, device.notice_key).Finish();
  }
  if (others >= kMaxDevices) {
    return absl::ResourceExhaustedError(
        fmt::format("the account has {} devices: remove one first", kMaxDevices));
  }
  return Run(add_device_, id, device.id, device.notice_key).Finish();
}

absl::Status SqliteStore::PutBlock(const AccountId& owner, const BlockHash& blocked, bool on) {
  SOTTO_ASSIGN_OR_RETURN(const int64_t id, MakeAccount(owner));
  int64_t blocks = 0;
  {
    Run run(count_blocks_, id);
    SOTTO_ASSIGN_OR_RETURN(const bool found, run.Row());
    if (found) blocks = run.Integer(0);
  }
  if (on && blocks >= int64_t{kMaxBlocks}) {
    SOTTO_ASSIGN_OR_RETURN(const bool already, IsBlocked(owner, blocked));
    if (already) return absl::OkStatus();
    return absl::ResourceExhaustedError(
        fmt::format("the account blocks {} others: unblock one first", kMaxBlocks));
  }
  SOTTO_ASSIGN_OR_RETURN(const int64_t changed,
                         Run(on ? add_block_ : remove_block_, id, blocked).Change());
  return Run(change_blocks_, id, on ? changed : -changed).Finish();
}

absl::StatusOr<Redemption> SqliteStore::Redeem(const Nullifier& nullifier, Epoch epoch,
                                               uint16_t uses, const CallId& call) {
  bool has_token = false;
  bool has_this = false;
  {
    Run run(find_redemption_, call);
    SOTTO_ASSIGN_OR_RETURN(has_token, run.Row());
    if (has_token) {
      const bool ended = run.Integer(1) != 0;
      const bool revoked = run.Integer(2) != 0;
      has_this = run.Blob<32>(0) == nullifier && !ended && !revoked;
    }
  }
  SOTTO_ASSIGN_OR_RETURN(
      const int64_t used,
      Run(use_token_, nullifier, epoch, has_token ? uint16_t{0} : uses).Change());
  SOTTO_RETURN_IF_ERROR(Run(add_redemption_, call, nullifier, epoch, used).Finish());
  return has_this || used == 1 ? Redemption::kAccepted : Redemption::kSpent;
}

absl::Status SqliteStore::Revoke(const AccountId& account, Epoch epoch,
                                 const Nullifier& nullifier) {
  SOTTO_ASSIGN_OR_RETURN(const int64_t id, MakeAccount(account));
  {
    Run run(find_revocation_, id, epoch, nullifier);
    SOTTO_RETURN_IF_ERROR(run.Row().status());
    if (run.Integer(0) != 0) return absl::OkStatus();
    if (run.Integer(1) >= int64_t{kMaxRevocations}) {
      return absl::ResourceExhaustedError(
          fmt::format("the account has revoked {} tokens of the epoch: put another epoch key, which"
                      " revokes them all",
                      kMaxRevocations));
    }
  }
  SOTTO_RETURN_IF_ERROR(Run(revoke_, nullifier, epoch).Finish());
  return Run(count_revocation_, id, epoch).Finish();
}

absl::StatusOr<size_t> SqliteStore::CountNotices(const AccountId& account, const DeviceId& device) {
  Run run(count_notices_, account.text(), device);
  SOTTO_RETURN_IF_ERROR(run.Row().status());
  return static_cast<size_t>(run.Integer(0));
}

absl::StatusOr<NoticeId> SqliteStore::AddNotice(const AccountId& account, const DeviceId& device,
                                                const SealedNotice& notice) {
  int64_t id = 0;
  int64_t number = 0;
  size_t waiting = 0;
  {
    Run run(notice_room_, account.text(), device);
    SOTTO_ASSIGN_OR_RETURN(const bool found, run.Row());
    if (found) {
      id = run.Integer(0);
      number = run.Integer(1);
      waiting = static_cast<size_t>(run.Integer(2));
    }
  }
  const bool room = id != 0 && waiting < kMaxNotices;
  SOTTO_RETURN_IF_ERROR(Run(add_notice_, id, device, number, notice, room).Finish());
  SOTTO_RETURN_IF_ERROR(Run(number_notice_, id, room).Finish());
  notices_added_ += room ? 1 : 0;
  if (id == 0) return absl::NotFoundError("no such device");
  if (!room) {
    return absl::ResourceExhaustedError(fmt::format("{} notices wait for the device", kMaxNotices));
  }
  return static_cast<NoticeId>(number);
}

absl::StatusOr<TokenUse> SqliteStore::FindTokenUse(const Nullifier& nullifier) {
  Run run(find_token_use_, nullifier);
  SOTTO_ASSIGN_OR_RETURN(const bool found, run.Row());
  if (!found) return TokenUse();
  return TokenUse{.used = static_cast<uint16_t>(run.Integer(0)), .revoked = run.Integer(1) != 0};
}

absl::StatusOr<bool> SqliteStore::Forget(Epoch earlier_than, int64_t standing_before_unix_s) {
  SOTTO_ASSIGN_OR_RETURN(const int64_t standings,
                         Run(forget_standing_, standing_before_unix_s, kForgetAtOnce).Change());
  bool more = standings == kForgetAtOnce;
  for (const SqliteStatement& forget : forget_epochs_) {
    SOTTO_ASSIGN_OR_RETURN(const int64_t rows, Run(forget, earlier_than, kForgetAtOnce).Change());
    more |= rows == kForgetAtOnce;
  }
  return more;
}

// --- Opening

absl::Status Errno(std::string_view what, const std::string& path) {
  return absl::UnavailableError(
      fmt::format("the store {}: {}: {}", path, what, std::strerror(errno)));
}

// SQLite would make the file with the umask's mode; the log that it makes beside gets the file's.
absl::Status MakeFile(const std::string& path) {
  const int file = open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
  if (file < 0) return Errno("can't be opened", path);
  const int denied = fchmod(file, 0600);
  const int changed_errno = errno;
  close(file);
  errno = changed_errno;
  if (denied != 0) return Errno("its mode can't be set", path);

  // A name is durable once its folder is.
  const std::string folder = std::filesystem::absolute(path).parent_path();
  const int directory = open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (directory < 0) return Errno("its folder can't be opened", path);
  const int unsynced = fsync(directory);
  close(directory);
  if (unsynced != 0) return Errno("its folder can't be synced", path);
  return absl::OkStatus();
}

absl::Status Migrate(sqlite3* connection, const std::string& path) {
  const int64_t newest = static_cast<int64_t>(SchemaSteps().size());
  SOTTO_ASSIGN_OR_RETURN(const int64_t application,
                         ReadInteger(connection, "PRAGMA application_id"));
  SOTTO_ASSIGN_OR_RETURN(int64_t version, ReadInteger(connection, "PRAGMA user_version"));
  SOTTO_ASSIGN_OR_RETURN(const int64_t tables,
                         ReadInteger(connection, "SELECT count(*) FROM sqlite_schema"));
  const bool fresh = application == 0 && version == 0 && tables == 0;
  if (application != kApplicationId && !fresh) {
    return absl::FailedPreconditionError(
        fmt::format("the store {} is the database of another program: name a store of Sotto, or a "
                    "file that does not exist yet",
                    path));
  }
  if (version > newest) {
    return absl::FailedPreconditionError(fmt::format(
        "the store {} was written by a newer version (schema {}, this version supports {}): run "
        "the newer version, or restore a backup from before the upgrade",
        path, version, newest));
  }
  for (; version < newest; ++version) {
    const std::string step = fmt::format(
        "BEGIN IMMEDIATE; {} PRAGMA application_id = {}; PRAGMA user_version = {}; COMMIT",
        SchemaSteps()[version], kApplicationId, version + 1);
    if (absl::Status status = Execute(connection, step.c_str()); !status.ok()) {
      if (sqlite3_get_autocommit(connection) == 0) Execute(connection, "ROLLBACK").IgnoreError();
      return status;
    }
  }
  return absl::OkStatus();
}

absl::Status Configure(sqlite3* connection) {
  sqlite3_extended_result_codes(connection, 1);
  // FULL syncs the log at each commit; EXCLUSIVE keeps other processes out, and needs no shared
  // memory. The lock comes with the first write.
  return Execute(connection,
                 "PRAGMA locking_mode = EXCLUSIVE; PRAGMA journal_mode = WAL;"
                 "PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON; PRAGMA secure_delete = ON;"
                 "PRAGMA trusted_schema = OFF; PRAGMA cell_size_check = ON;"
                 "PRAGMA temp_store = MEMORY; BEGIN IMMEDIATE; COMMIT");
}

absl::Status Explain(sqlite3* connection, const absl::Status& status, const std::string& path) {
  switch (sqlite3_errcode(connection) & 0xff) {
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
      return absl::UnavailableError(
          fmt::format("the store {} is in use by another process: stop that process, or name "
                      "another file",
                      path));
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
      return absl::FailedPreconditionError(
          fmt::format("the store {} is corrupt or not a store ({}): restore a backup, or move the "
                      "file away to start with an empty store",
                      path, sqlite3_errmsg(connection)));
    default:
      return status.code() == absl::StatusCode::kFailedPrecondition
                 ? status
                 : absl::Status(status.code(),
                                fmt::format("the store {}: {}", path,
                                            std::string_view(status.message().data(),
                                                             status.message().size())));
  }
}

}  // namespace

absl::StatusOr<std::unique_ptr<Store>> OpenSqliteStore(SqliteStoreOptions options) {
  const std::string& path = options.path;
  if (path != ":memory:") SOTTO_RETURN_IF_ERROR(MakeFile(path));
  sqlite3* opened = nullptr;
  const int result =
      sqlite3_open_v2(path.c_str(), &opened,
                      SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_NOFOLLOW, nullptr);
  SqliteConnection connection(opened);
  if (result != SQLITE_OK) return SqliteError(opened, fmt::format("the store {}", path));

  absl::Status status = Configure(opened);
  if (status.ok()) status = Migrate(opened, path);
  if (!status.ok()) return Explain(opened, status, path);
  auto store =
      std::make_unique<SqliteStore>(std::move(connection), std::move(options.on_statement));
  status = store->Prepare();
  if (!status.ok()) return Explain(opened, status, path);
  return store;
}

}  // namespace sotto::signaling
