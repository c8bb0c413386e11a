// SPDX-License-Identifier: Apache-2.0
// What the store holds after many calls, read as whoever takes the file would: no row pairs a
// caller with a recipient.
#include <gtest/gtest.h>
#include <sqlite3.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "signaling/decision/decision_fixture.h"

namespace sotto::signaling {
namespace {

namespace fs = std::filesystem;

constexpr int kPeople = 40;

std::string NameOf(int person) { return "person-" + std::to_string(100 + person) + "@example.org"; }

class PrivacyTest : public ::testing::Test {
 protected:
  void SetUp() override { fs::create_directory(folder_); }
  void TearDown() override { fs::remove_all(folder_); }

  // Everyone calls everyone: silenced, with a token, or blocked.
  void Call() {
    auto store = OpenSqliteStore({.path = path_}).value();
    NoticeBox notices(*store);
    const ServerKey key = {42};
    Decider decider({.standing_silenced = 20}, key, *store, notices);
    std::vector<TestPerson> people;
    ASSERT_TRUE(store->Begin().ok());
    for (int i = 0; i < kPeople; ++i) {
      people.emplace_back(NameOf(i));
      const AccountId& account = people.back().account();
      ASSERT_TRUE(store->PutDevice(account, TestPerson::MakeDevice(i)).ok());
      ASSERT_TRUE(store->PutSettings(account, {.silence_unknown_callers = i % 4 != 0}).ok());
      ASSERT_TRUE(store->PutEpochKey(account, people.back().Key()).ok());
      ASSERT_TRUE(store
                      ->PutBlock(account,
                                 decider.HashBlock(account, Account(NameOf((i + 7) % kPeople))),
                                 true)
                      .ok());
    }
    ASSERT_TRUE(store->Commit().ok());
    int rang = 0, noticed = 0;
    uint64_t call = 0;
    for (int caller = 0; caller < kPeople; ++caller) {
      std::vector<DecisionRequest> requests;
      for (int recipient = 0; recipient < kPeople; ++recipient) {
        requests.push_back({.call = Id(++call),
                            .caller = Verified(NameOf(caller)),
                            .recipient = people[recipient].account(),
                            .token = (caller + recipient) % 3 == 0
                                         ? std::optional(people[recipient].Issue(call))
                                         : std::nullopt});
      }
      const std::vector<Decision> decisions = decider.Decide(requests, kTestNow).value();
      for (const Decision& decision : decisions) {
        rang += decision.ring;
        noticed += decision.noticed;
      }
    }
    EXPECT_GT(rang, 500);
    EXPECT_GT(noticed, 500);
  }

  struct Found {
    int rows = 0;
    int names = 0;                   // in all rows
    std::vector<std::string> pairs;  // rows that hold two
  };
  // Looks for names in every column of every row of every table, as text and within blobs.
  Found Read() {
    Found found;
    sqlite3* connection = nullptr;
    EXPECT_EQ(sqlite3_open(path_.c_str(), &connection), SQLITE_OK);
    std::vector<std::string> tables;
    sqlite3_exec(
        connection, "SELECT name FROM sqlite_schema WHERE type = 'table'",
        [](void* out, int, char** values, char**) {
          static_cast<std::vector<std::string>*>(out)->push_back(values[0]);
          return 0;
        },
        &tables, nullptr);
    EXPECT_GE(tables.size(), 9u);
    for (const std::string& table : tables) {
      sqlite3_stmt* all = nullptr;
      EXPECT_EQ(
          sqlite3_prepare_v2(connection, ("SELECT * FROM " + table).c_str(), -1, &all, nullptr),
          SQLITE_OK);
      while (sqlite3_step(all) == SQLITE_ROW) {
        ++found.rows;
        std::set<std::string> names;
        int references = 0;
        for (int column = 0; column < sqlite3_column_count(all); ++column) {
          const auto* bytes = static_cast<const char*>(sqlite3_column_blob(all, column));
          const std::string value(bytes == nullptr ? "" : bytes,
                                  static_cast<size_t>(sqlite3_column_bytes(all, column)));
          for (int person = 0; person < kPeople; ++person) {
            if (value.find(NameOf(person)) != std::string::npos) names.insert(NameOf(person));
          }
          references += std::string(sqlite3_column_name(all, column)) == "account";
        }
        found.names += static_cast<int>(names.size());
        if (static_cast<int>(names.size()) + references > 1) found.pairs.push_back(table);
      }
      sqlite3_finalize(all);
    }
    sqlite3_close(connection);
    return found;
  }
  size_t FileCount(const std::string& text) {
    std::ifstream file(path_, std::ios::binary);
    const std::string bytes((std::istreambuf_iterator<char>(file)), {});
    size_t count = 0;
    for (size_t at = bytes.find(text); at != std::string::npos; at = bytes.find(text, at + 1)) {
      ++count;
    }
    return count;
  }

  const fs::path folder_ =
      fs::temp_directory_path() / ("sotto_privacy_test." + std::to_string(getpid()));
  const std::string path_ = folder_ / "store";
};

TEST_F(PrivacyTest, NoRowNamesTwoAccounts) {
  Call();
  const Found found = Read();
  EXPECT_GT(found.rows, 1000);
  // Each name stands in its own row of the accounts, and nowhere else.
  EXPECT_EQ(found.names, kPeople);
  EXPECT_EQ(found.pairs, std::vector<std::string>());
  // In the file: in that row, and in the index of names.
  EXPECT_EQ(FileCount(NameOf(3)), 2u);
}

TEST_F(PrivacyTest, TheSearchFindsAPairThatIsThere) {
  Call();
  {
    sqlite3* connection = nullptr;
    ASSERT_EQ(sqlite3_open(path_.c_str(), &connection), SQLITE_OK);
    const std::string sql =
        "CREATE TABLE leak (account INTEGER, blob BLOB);"
        "INSERT INTO leak VALUES (1, CAST('xx" +
        NameOf(5) + "yy' AS BLOB))";
    ASSERT_EQ(sqlite3_exec(connection, sql.c_str(), nullptr, nullptr, nullptr), SQLITE_OK);
    sqlite3_close(connection);
  }
  EXPECT_EQ(Read().pairs, std::vector<std::string>{"leak"});
}

}  // namespace
}  // namespace sotto::signaling
