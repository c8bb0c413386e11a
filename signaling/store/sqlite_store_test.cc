// SPDX-License-Identifier: Apache-2.0
// What is SQLite's own: the file, its lock, its version, and the plans of its statements.
#include "signaling/store/sqlite_store.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sqlite3.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <csignal>
#include <filesystem>
#include <fstream>
#include <set>
#include <string>

#include "signaling/store/schema.h"

namespace sotto::signaling {
namespace {

using ::testing::HasSubstr;
namespace fs = std::filesystem;

// Writes beyond `bytes` of any file fail while it lives.
class FileSizeLimit {
 public:
  explicit FileSizeLimit(rlim_t bytes) {
    signal(SIGXFSZ, SIG_IGN);
    getrlimit(RLIMIT_FSIZE, &before_);
    const rlimit now = {.rlim_cur = bytes, .rlim_max = before_.rlim_max};
    setrlimit(RLIMIT_FSIZE, &now);
  }
  ~FileSizeLimit() { setrlimit(RLIMIT_FSIZE, &before_); }

 private:
  rlimit before_;
};

class SqliteStoreTest : public ::testing::Test {
 protected:
  void SetUp() override { fs::create_directory(folder_); }
  void TearDown() override { fs::remove_all(folder_); }

  absl::StatusOr<std::unique_ptr<Store>> Open() { return OpenSqliteStore({.path = path_}); }
  std::string Failure() {
    auto opened = Open();
    EXPECT_FALSE(opened.ok());
    return opened.ok() ? "" : opened.status().ToString();
  }
  // As any other program would.
  void Sql(const std::string& sql) {
    sqlite3* connection = nullptr;
    ASSERT_EQ(sqlite3_open(path_.c_str(), &connection), SQLITE_OK);
    EXPECT_EQ(sqlite3_exec(connection, sql.c_str(), nullptr, nullptr, nullptr), SQLITE_OK)
        << sqlite3_errmsg(connection);
    sqlite3_close(connection);
  }
  static mode_t Mode(const fs::path& path) {
    struct stat info = {};
    EXPECT_EQ(stat(path.c_str(), &info), 0) << path;
    return info.st_mode & 0777;
  }

  const AccountId bob_ = *AccountId::Parse("bob");
  const fs::path folder_ =
      fs::temp_directory_path() / ("sotto_sqlite_store_test." + std::to_string(getpid()));
  const std::string path_ = folder_ / "store";
};

TEST_F(SqliteStoreTest, IsReadableByItsOwnerAlone) {
  const mode_t before = umask(0);
  auto store = Open();
  umask(before);
  ASSERT_TRUE(store.ok()) << store.status();
  ASSERT_TRUE((*store)->Begin().ok());
  ASSERT_TRUE((*store)->PutSettings(bob_, {}).ok());
  ASSERT_TRUE((*store)->Commit().ok());
  size_t files = 0;
  for (const auto& entry : fs::directory_iterator(folder_)) {
    EXPECT_EQ(Mode(entry.path()), 0600u) << entry.path();
    ++files;
  }
  EXPECT_EQ(files, 2u);  // the file and its log
}

TEST_F(SqliteStoreTest, ClosesAnOpenFileToOthers) {
  ASSERT_TRUE(Open().ok());
  ASSERT_EQ(chmod(path_.c_str(), 0644), 0);
  ASSERT_TRUE(Open().ok());
  EXPECT_EQ(Mode(path_), 0600u);
}

TEST_F(SqliteStoreTest, IsOneProcessesAtATime) {
  auto store = Open();
  ASSERT_TRUE(store.ok());
  EXPECT_THAT(Failure(), HasSubstr("in use by another process"));
  store->reset();
  EXPECT_TRUE(Open().ok());
}

TEST_F(SqliteStoreTest, RefusesANewerVersionsFile) {
  ASSERT_TRUE(Open().ok());
  Sql("PRAGMA user_version = 4711");
  EXPECT_THAT(Failure(), HasSubstr("written by a newer version (schema 4711"));
}

TEST_F(SqliteStoreTest, RefusesAnotherProgramsDatabase) {
  Sql("CREATE TABLE account (name TEXT)");
  EXPECT_THAT(Failure(), HasSubstr("the database of another program"));
}

TEST_F(SqliteStoreTest, RefusesWhatIsNoDatabase) {
  std::ofstream(path_) << std::string(10'000, 'x');
  EXPECT_THAT(Failure(), HasSubstr("corrupt or not a store"));
}

TEST_F(SqliteStoreTest, RefusesATruncatedFile) {
  {
    auto store = Open();
    ASSERT_TRUE(store.ok());
  }
  ASSERT_GT(fs::file_size(path_), 8192u);
  fs::resize_file(path_, 4096 + 100);
  EXPECT_THAT(Failure(), HasSubstr("corrupt or not a store"));
}

TEST_F(SqliteStoreTest, RefusesAFolderThatIsNotThere) {
  EXPECT_THAT(OpenSqliteStore({.path = folder_ / "none" / "store"}).status().ToString(),
              HasSubstr("can't be opened: No such file or directory"));
}

TEST_F(SqliteStoreTest, RefusesALink) {
  ASSERT_TRUE(Open().ok());
  fs::create_symlink(path_, folder_ / "link");
  EXPECT_FALSE(OpenSqliteStore({.path = folder_ / "link"}).ok());
}

TEST_F(SqliteStoreTest, StandsAtTheNewestSchema) {
  ASSERT_TRUE(Open().ok());
  sqlite3* connection = nullptr;
  ASSERT_EQ(sqlite3_open(path_.c_str(), &connection), SQLITE_OK);
  const auto pragma = [&](const char* sql) {
    std::string value;
    sqlite3_exec(
        connection, sql,
        [](void* out, int, char** values, char**) {
          *static_cast<std::string*>(out) = values[0];
          return 0;
        },
        &value, nullptr);
    return value;
  };
  EXPECT_EQ(pragma("PRAGMA user_version"), std::to_string(SchemaSteps().size()));
  EXPECT_EQ(pragma("PRAGMA journal_mode"), "wal");
  EXPECT_EQ(pragma("PRAGMA integrity_check"), "ok");
  EXPECT_EQ(pragma("PRAGMA foreign_key_check"), "");
  sqlite3_close(connection);
}

// A file of the first version, with an account in it.
TEST_F(SqliteStoreTest, TakesAnOlderFileAlong) {
  Sql(SchemaSteps()[0]);
  Sql("INSERT INTO account (name, silence_unknown_callers) VALUES ('bob', 1);"
      "PRAGMA application_id = 1400140911; PRAGMA user_version = 1");
  static_assert(kApplicationId == 1400140911);
  auto opened = Open();
  ASSERT_TRUE(opened.ok()) << opened.status();
  Store& store = **opened;
  const AccountRecord record = store.FindAccount(bob_)->value();
  EXPECT_TRUE(record.settings.silence_unknown_callers);
  EXPECT_FALSE(record.barred);
  ASSERT_TRUE(store.Begin().ok());
  EXPECT_TRUE(store.PutBarred(bob_, true).ok());
  ASSERT_TRUE(store.Commit().ok());
  EXPECT_TRUE(store.FindAccount(bob_)->value().barred);
}

// Every statement that ran, as SQLite would go about it: none reads a whole table or sorts.
TEST_F(SqliteStoreTest, NoStatementScansATable) {
  std::set<std::string> statements;
  {
    auto opened = OpenSqliteStore(
        {.path = path_, .on_statement = [&](std::string_view sql) { statements.emplace(sql); }});
    ASSERT_TRUE(opened.ok());
    Store& store = **opened;
    const Device device = {};
    ASSERT_TRUE(store.Begin().ok());
    for (uint8_t key : {1, 2}) {
      EXPECT_TRUE(store.PutDevice(bob_, {.id = {}, .notice_key = {key}}).ok());
    }
    EXPECT_TRUE(store.PutSettings(bob_, {}).ok());
    EXPECT_TRUE(store.PutAccountKeys(bob_, {}).ok());
    EXPECT_TRUE(store.PutEpochKey(bob_, {}).ok());
    EXPECT_TRUE(store.PutBlock(bob_, {}, true).ok());
    EXPECT_TRUE(store.PutBlock(bob_, {}, false).ok());
    EXPECT_TRUE(store.PutStanding(bob_, {}).ok());
    EXPECT_TRUE(store.PutBarred(bob_, true).ok());
    EXPECT_TRUE(store.FindTokenUse({}).ok());
    EXPECT_TRUE(store.FindAccount(bob_).ok());
    EXPECT_TRUE(store.IsBlocked(bob_, {}).ok());
    EXPECT_TRUE(store.GetStanding(bob_).ok());
    EXPECT_TRUE(store.Redeem({}, 1, 1, {}).ok());
    EXPECT_TRUE(store.EndRedemption({}).ok());
    EXPECT_TRUE(store.Revoke(bob_, 1, {}).ok());
    EXPECT_TRUE(store.AddNotice(bob_, device.id, {}).ok());
    EXPECT_TRUE(store.CountNotices(bob_, device.id).ok());
    EXPECT_TRUE(store.ReplaceNotice(bob_, device.id, 1, {}).ok());
    EXPECT_TRUE(store.Notices(bob_, device.id).ok());
    EXPECT_TRUE(store.RemoveNotices(bob_, device.id, std::vector<NoticeId>{1}).ok());
    EXPECT_TRUE(store.RemoveDevice(bob_, device.id).ok());
    EXPECT_TRUE(store.Forget(1, 1).ok());
    EXPECT_TRUE(store.Commit().ok());
    ASSERT_TRUE(store.Begin().ok());
    store.Rollback();
  }
  EXPECT_GT(statements.size(), 35u);

  sqlite3* connection = nullptr;
  ASSERT_EQ(sqlite3_open(path_.c_str(), &connection), SQLITE_OK);
  size_t plans = 0;
  for (const std::string& sql : statements) {
    sqlite3_stmt* plan = nullptr;
    ASSERT_EQ(
        sqlite3_prepare_v2(connection, ("EXPLAIN QUERY PLAN " + sql).c_str(), -1, &plan, nullptr),
        SQLITE_OK)
        << sql << ": " << sqlite3_errmsg(connection);
    while (sqlite3_step(plan) == SQLITE_ROW) {
      const std::string step = reinterpret_cast<const char*>(sqlite3_column_text(plan, 3));
      ++plans;
      EXPECT_TRUE(step == "SCAN CONSTANT ROW" || step.find("SCAN") == std::string::npos)
          << sql << ": " << step;
      EXPECT_EQ(step.find("TEMP B-TREE"), std::string::npos) << sql << ": " << step;
    }
    sqlite3_finalize(plan);
  }
  EXPECT_GT(plans, 20u);
  sqlite3_close(connection);
}

TEST_F(SqliteStoreTest, ACommitThatFailsIsUnavailableAndLeavesNothing) {
  auto opened = Open();
  ASSERT_TRUE(opened.ok());
  Store& store = **opened;
  ASSERT_TRUE(store.Begin().ok());
  ASSERT_TRUE(store.PutSettings(bob_, {.silence_unknown_callers = true}).ok());
  ASSERT_TRUE(store.Commit().ok());

  absl::Status status;
  {
    const FileSizeLimit limit(fs::file_size(path_ + "-wal"));
    ASSERT_TRUE(store.Begin().ok());
    status = store.PutSettings(bob_, {.silence_unknown_callers = false});
    if (status.ok()) status = store.Commit();
    store.Rollback();
  }
  EXPECT_TRUE(absl::IsUnavailable(status)) << status;
  EXPECT_TRUE((*store.FindAccount(bob_))->settings.silence_unknown_callers);
  // With room again, it goes on.
  ASSERT_TRUE(store.Begin().ok());
  EXPECT_TRUE(store.PutSettings(bob_, {}).ok());
  EXPECT_TRUE(store.Commit().ok());
}

}  // namespace
}  // namespace sotto::signaling
