// SPDX-License-Identifier: Apache-2.0
// kill -9 at any moment: what a commit has acknowledged is there afterwards, and no token rings for
// two calls.
//
// A child process works on a store and reports through a pipe what it has committed; the parent
// kills it at a random moment, opens the store and looks, some hundred times on the same store.
#include <gtest/gtest.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <sqlite3.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <filesystem>
#include <map>
#include <optional>
#include <random>
#include <string>
#include <thread>

#include "relay/base/big_endian.h"
#include "signaling/store/sqlite_store.h"

namespace sotto::signaling {
namespace {

namespace fs = std::filesystem;

constexpr int kRounds = 300;
constexpr auto kTimeLimit = std::chrono::seconds(40);
constexpr uint32_t kTokens = 50;  // few, so that they are presented again and again
constexpr Epoch kEpoch = 7;

template <typename Bytes>
Bytes Made(uint32_t number) {
  Bytes bytes = {};
  StoreBe32(bytes.data(), number);
  return bytes;
}
AccountId AccountOf(uint32_t number) {
  return *AccountId::Parse("account" + std::to_string(number));
}
AccountSettings SettingsOf(uint32_t step) {
  return {.silence_unknown_callers = step % 2 != 0, .protect_ip_address = step / 2 % 2 != 0};
}

// What one transaction has done; written to the pipe once it is committed, in one piece.
struct Committed {
  uint32_t step;  // settings and epoch key of the account, made of this number
  uint32_t account;
  uint32_t token;
  uint32_t call;
  uint32_t accepted;  // the token rang for the call
  uint32_t ended;     // the call has ended
  NoticeId notice;
};
static_assert(sizeof(Committed) <= PIPE_BUF);

[[noreturn]] void Work(const std::string& path, uint32_t first_step, int pipe) {
  auto store = OpenSqliteStore({.path = path}).value();
  std::mt19937 random(first_step);
  for (uint32_t step = first_step;; ++step) {
    Committed done = {.step = step,
                      .account = static_cast<uint32_t>(random() % 20),
                      .token = static_cast<uint32_t>(random() % kTokens),
                      .call = step,
                      .accepted = 0,
                      .ended = static_cast<uint32_t>(random() % 2),
                      .notice = 0};
    const AccountId account = AccountOf(done.account);
    const Device device = {.id = Made<DeviceId>(1), .notice_key = Made<NoticeKey>(1)};
    bool ok =
        store->Begin().ok() && store->PutDevice(account, device).ok() &&
        store->PutSettings(account, SettingsOf(step)).ok() &&
        store
            ->PutEpochKey(account,
                          {.epoch = kEpoch, .public_key = Made<EpochPublicKey>(step), .uses = 1})
            .ok();
    const CallId call = Made<CallId>(done.call);
    done.accepted = store->Redeem(Made<Nullifier>(done.token), kEpoch, 1, call).value() ==
                    Redemption::kAccepted;
    if (done.ended != 0) ok = ok && store->EndRedemption(call).ok();
    if (store->CountNotices(account, device.id).value() == kMaxNotices) {
      const NoticeId oldest = store->Notices(account, device.id)->front().id;
      ok = ok && store->RemoveNotices(account, device.id, {&oldest, 1}).ok();
    }
    done.notice = store->AddNotice(account, device.id, Made<SealedNotice>(step)).value();
    ok = ok && store->Commit().ok();
    if (!ok || write(pipe, &done, sizeof(done)) != sizeof(done)) _exit(1);
  }
}

TEST(StoreKillTest, LosesNothingThatWasAcknowledged) {
  const fs::path folder =
      fs::temp_directory_path() / ("sotto_store_kill_test." + std::to_string(getpid()));
  fs::create_directory(folder);
  const std::string path = folder / "store";
  ASSERT_TRUE(OpenSqliteStore({.path = path}).ok());

  std::mt19937 random(4711);
  std::map<uint32_t, Committed> latest;    // of an account
  std::map<uint32_t, Committed> rang_for;  // of a token
  uint32_t next_step = 1;
  uint64_t commits = 0;
  int rounds = 0, midway = 0;
  const auto began = std::chrono::steady_clock::now();
  for (; rounds < kRounds && std::chrono::steady_clock::now() - began < kTimeLimit; ++rounds) {
    int pipes[2];
    ASSERT_EQ(pipe(pipes), 0);
    const pid_t child = fork();
    ASSERT_GE(child, 0);
    if (child == 0) {
      close(pipes[0]);
      Work(path, next_step, pipes[1]);
    }
    close(pipes[1]);
    // Mostly once it works, sometimes while it opens the store.
    if (random() % 4 != 0) {
      pollfd first = {.fd = pipes[0], .events = POLLIN, .revents = 0};
      ASSERT_EQ(poll(&first, 1, 20'000), 1);
    }
    std::this_thread::sleep_for(std::chrono::microseconds(random() % 30'000));
    kill(child, SIGKILL);
    int status = 0;
    ASSERT_EQ(waitpid(child, &status, 0), child);
    ASSERT_TRUE(WIFSIGNALED(status)) << "the child failed by itself";

    Committed done;
    for (ssize_t size; (size = read(pipes[0], &done, sizeof(done))) != 0; ++commits) {
      ASSERT_EQ(size, ssize_t{sizeof(done)});
      latest[done.account] = done;
      if (done.accepted != 0) {
        const auto [first, inserted] = rang_for.try_emplace(done.token, done);
        ASSERT_TRUE(inserted) << "token " << done.token << " rang for call " << first->second.call
                              << " and for call " << done.call;
      }
      next_step = done.step + 1;
    }
    close(pipes[0]);
    // The step that was under way may be there or not; its call isn't used again.
    ++next_step;

    auto opened = OpenSqliteStore({.path = path});
    ASSERT_TRUE(opened.ok()) << opened.status();
    Store& store = **opened;
    for (const auto& [number, committed] : latest) {
      const AccountId account = AccountOf(number);
      const auto record = store.FindAccount(account).value();
      ASSERT_TRUE(record.has_value());
      ASSERT_EQ(record->epoch_keys.size(), 1u);
      // Later than acknowledged is possible for the one step that was under way: whole, or not.
      const uint32_t step = LoadBe32(record->epoch_keys[0].public_key.data());
      if (step != committed.step) {
        ASSERT_EQ(step, next_step - 1);
        ++midway;
        latest[number].step = step;
      }
      ASSERT_EQ(record->settings, SettingsOf(step));
      const auto notices = store.Notices(account, Made<DeviceId>(1)).value();
      ASSERT_FALSE(notices.empty());
      ASSERT_EQ(LoadBe32(notices.back().sealed.data()), step);
      ASSERT_GE(notices.back().id, committed.notice);
    }
    // Each token that rang has its call and takes no other; ended or not, as acknowledged.
    ASSERT_TRUE(store.Begin().ok());
    for (const auto& [token, committed] : rang_for) {
      const Nullifier nullifier = Made<Nullifier>(token);
      ASSERT_EQ(store.Redeem(nullifier, kEpoch, 1, Made<CallId>(UINT32_MAX)).value(),
                Redemption::kSpent);
      ASSERT_EQ(store.Redeem(nullifier, kEpoch, 1, Made<CallId>(committed.call)).value(),
                committed.ended != 0 ? Redemption::kSpent : Redemption::kAccepted);
    }
    store.Rollback();
  }
  RecordProperty("rounds", rounds);
  RecordProperty("commits", static_cast<int>(commits));
  std::printf("%d rounds, %lu commits acknowledged, %d not acknowledged but whole\n", rounds,
              commits, midway);
  EXPECT_GE(rounds, 50);
  EXPECT_GE(commits, static_cast<uint64_t>(rounds) / 2);

  // Nor did a token ring for two calls where one of them wasn't acknowledged.
  sqlite3* connection = nullptr;
  ASSERT_EQ(sqlite3_open(path.c_str(), &connection), SQLITE_OK);
  std::string found;
  sqlite3_exec(
      connection,
      "SELECT (SELECT count(*) FROM (SELECT 1 FROM redemption GROUP BY nullifier HAVING count(*) > "
      "1))"
      " || ' of ' || (SELECT count(DISTINCT nullifier) FROM redemption)",
      [](void* out, int, char** values, char**) {
        *static_cast<std::string*>(out) = values[0];
        return 0;
      },
      &found, nullptr);
  sqlite3_close(connection);
  EXPECT_EQ(found, "0 of " + std::to_string(kTokens)) << "tokens that rang for two calls";
  fs::remove_all(folder);
}

}  // namespace
}  // namespace sotto::signaling
