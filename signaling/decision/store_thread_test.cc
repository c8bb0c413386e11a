// SPDX-License-Identifier: Apache-2.0
#include "signaling/decision/store_thread.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <condition_variable>
#include <deque>
#include <filesystem>
#include <functional>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "signaling/decision/decision_fixture.h"

namespace sotto::signaling {
namespace {

namespace fs = std::filesystem;

// The thread that submits, as Asio would be: runs what was posted when it is told to.
class Callbacks {
 public:
  StoreThread::Post Post() {
    return [this](std::function<void()> callback) {
      const std::lock_guard lock(mutex_);
      posted_.push_back(std::move(callback));
      arrived_.notify_one();
    };
  }
  // Runs callbacks until `done`.
  void RunUntil(const std::function<bool()>& done) {
    while (!done()) {
      std::unique_lock lock(mutex_);
      ASSERT_TRUE(
          arrived_.wait_for(lock, std::chrono::seconds(60), [this] { return !posted_.empty(); }));
      std::function<void()> next = std::move(posted_.front());
      posted_.pop_front();
      lock.unlock();
      next();
    }
  }
  void RunAll() {
    const std::lock_guard lock(mutex_);
    for (; !posted_.empty(); posted_.pop_front()) posted_.front()();
  }

 private:
  std::mutex mutex_;
  std::condition_variable arrived_;
  std::deque<std::function<void()>> posted_;  // by mutex_
};

class StoreThreadTest : public ::testing::Test {
 protected:
  void SetUp() override {
    fs::create_directory(folder_);
    Start({});
  }
  void TearDown() override {
    thread_.reset();
    fs::remove_all(folder_);
  }
  void Start(const StoreThreadOptions& options, uint32_t pair_calls = 10'000) {
    thread_.reset();
    thread_ = std::make_unique<StoreThread>(
        options, DeciderOptions{.pair_calls = pair_calls, .standing_silenced = 10'000},
        ServerKey{7}, OpenSqliteStore({.path = folder_ / "store"}).value(), callbacks_.Post(),
        [] { return kTestNow; });
  }
  // Submits a job and waits for its outcome.
  absl::Status Do(StoreThread::Job job) {
    std::optional<absl::Status> outcome;
    EXPECT_TRUE(
        thread_->Submit(std::move(job), [&](const absl::Status& status) { outcome = status; }));
    callbacks_.RunUntil([&] { return outcome.has_value(); });
    return *outcome;
  }
  void AddBob(uint16_t uses = 1) {
    ASSERT_TRUE(
        Do([&, uses](StoreContext& context) {
          EXPECT_TRUE(context.store.PutDevice(bob_.account(), device_).ok());
          EXPECT_TRUE(context.store.PutEpochKey(bob_.account(), bob_.Key(kTestEpoch, uses)).ok());
          return context.store.PutSettings(bob_.account(), {.silence_unknown_callers = true});
        }).ok());
  }
  // Keeps the thread within a batch until Release().
  void Hold() {
    holding_ = true;
    ASSERT_TRUE(thread_->Submit(
        [this](StoreContext&) {
          std::unique_lock lock(hold_mutex_);
          held_.notify_all();
          running_ = true;
          held_.wait(lock, [this] { return !holding_; });
          return absl::OkStatus();
        },
        [](const absl::Status&) {}));
    std::unique_lock lock(hold_mutex_);
    held_.wait(lock, [this] { return running_; });
  }
  void Release() {
    const std::lock_guard lock(hold_mutex_);
    holding_ = false;
    held_.notify_all();
  }
  static DecisionRequest Call(uint64_t call, const AccountId& recipient,
                              std::optional<Token> token = std::nullopt) {
    return {.call = Id(call), .caller = Verified("eve"), .recipient = recipient, .token = token};
  }

  const TestPerson bob_{"bob"};
  NoticeKey device_secret_;
  const Device device_ = TestPerson::MakeDevice(1, &device_secret_);
  const fs::path folder_ =
      fs::temp_directory_path() / ("sotto_store_thread_test." + std::to_string(getpid()));
  Callbacks callbacks_;
  std::mutex hold_mutex_;
  std::condition_variable held_;
  bool holding_ = false;  // by hold_mutex_, as is running_
  bool running_ = false;
  std::unique_ptr<StoreThread> thread_;
};

TEST_F(StoreThreadTest, OfAThousandParallelPresentationsOfATokenExactlyOneRings) {
  AddBob();
  const Token token = bob_.Issue(1);
  int decided = 0, rang = 0;
  for (uint64_t call = 0; call < 1000; ++call) {
    ASSERT_TRUE(thread_->Decide(Call(call, bob_.account(), token),
                                [&](const absl::StatusOr<Decision>& decision) {
                                  ASSERT_TRUE(decision.ok());
                                  ++decided;
                                  rang += decision->ring;
                                }));
  }
  callbacks_.RunUntil([&] { return decided == 1000; });
  EXPECT_EQ(rang, 1);
  // Nor does it after a restart.
  Start({});
  ASSERT_TRUE(thread_->Decide(Call(1000, bob_.account(), token),
                              [&](const absl::StatusOr<Decision>& decision) {
                                ++decided;
                                rang += decision->ring;
                              }));
  callbacks_.RunUntil([&] { return decided == 1001; });
  EXPECT_EQ(rang, 1);
}

TEST_F(StoreThreadTest, JobsAndDecisionsOfABatchKeepTheirOrder) {
  AddBob();
  Hold();
  std::vector<std::string> told;
  const auto call = [&](uint64_t id) {
    ASSERT_TRUE(
        thread_->Decide(Call(id, bob_.account()), [&](const absl::StatusOr<Decision>& decision) {
          told.push_back(decision.value().ring ? "rings" : "silenced");
        }));
  };
  const auto silence = [&](bool on) {
    ASSERT_TRUE(thread_->Submit(
        [&, on](StoreContext& context) {
          return context.store.PutSettings(bob_.account(), {.silence_unknown_callers = on});
        },
        [&](const absl::Status&) { told.push_back("put"); }));
  };
  call(1);
  silence(false);
  call(2);
  silence(true);
  call(3);
  const uint64_t batches = thread_->counters().batches;
  Release();
  callbacks_.RunUntil([&] { return told.size() == 5; });
  EXPECT_EQ(told, (std::vector<std::string>{"silenced", "put", "rings", "put", "silenced"}));
  EXPECT_EQ(thread_->counters().batches, batches + 2);  // what held it, and these together
}

TEST_F(StoreThreadTest, WhatWasToldIsDurable) {
  AddBob();
  thread_.reset();
  auto store = OpenSqliteStore({.path = folder_ / "store"}).value();
  EXPECT_TRUE((*store->FindAccount(bob_.account()))->settings.silence_unknown_callers);
}

TEST_F(StoreThreadTest, ABoundThatIsReachedLeavesTheOthersAlone) {
  Hold();
  std::vector<absl::StatusCode> told;
  const auto done = [&](const absl::Status& status) { told.push_back(status.code()); };
  const auto put = [&](const char* name) {
    return [name](StoreContext& context) { return context.store.PutSettings(Account(name), {}); };
  };
  ASSERT_TRUE(thread_->Submit(put("a"), done));
  ASSERT_TRUE(thread_->Submit(
      [](StoreContext&) { return absl::ResourceExhaustedError("too many"); }, done));
  ASSERT_TRUE(
      thread_->Submit([](StoreContext&) { return absl::NotFoundError("no device"); }, done));
  ASSERT_TRUE(thread_->Submit(put("b"), done));
  Release();
  callbacks_.RunUntil([&] { return told.size() == 4; });
  EXPECT_EQ(told, (std::vector<absl::StatusCode>{
                      absl::StatusCode::kOk, absl::StatusCode::kResourceExhausted,
                      absl::StatusCode::kNotFound, absl::StatusCode::kOk}));
  EXPECT_TRUE(Do([](StoreContext& context) {
                EXPECT_TRUE(context.store.FindAccount(Account("a"))->has_value());
                EXPECT_TRUE(context.store.FindAccount(Account("b"))->has_value());
                return absl::OkStatus();
              }).ok());
}

TEST_F(StoreThreadTest, AnErrorUndoesTheBatchAndIsToldToAllOfIt) {
  Start({}, /*pair_calls=*/2);
  AddBob();
  Hold();
  const Token token = bob_.Issue(1);
  std::vector<absl::StatusCode> told;
  const auto done = [&](const absl::Status& status) { told.push_back(status.code()); };
  const auto decided = [&](const absl::StatusOr<Decision>& decision) {
    told.push_back(decision.status().code());
  };
  ASSERT_TRUE(thread_->Submit(
      [](StoreContext& context) { return context.store.PutSettings(Account("a"), {}); }, done));
  ASSERT_TRUE(thread_->Decide(Call(1, bob_.account(), token), decided));
  ASSERT_TRUE(thread_->Decide(Call(2, bob_.account()), decided));
  ASSERT_TRUE(thread_->Submit([](StoreContext&) { return absl::InternalError("the disk"); }, done));
  Release();
  callbacks_.RunUntil([&] { return told.size() == 4; });
  EXPECT_EQ(told, std::vector<absl::StatusCode>(4, absl::StatusCode::kInternal));
  EXPECT_EQ(thread_->counters().failures, 1u);

  // It was as if nothing had been asked.
  EXPECT_TRUE(Do([&](StoreContext& context) {
                EXPECT_FALSE(context.store.FindAccount(Account("a"))->has_value());
                EXPECT_EQ(*context.store.CountNotices(bob_.account(), Id(1)), 0u);
                return absl::OkStatus();
              }).ok());
  std::vector<bool> rings;
  const auto heard = [&](const absl::StatusOr<Decision>& decision) {
    rings.push_back(decision.value().ring);
  };
  ASSERT_TRUE(thread_->Decide(Call(3, bob_.account()), heard));
  ASSERT_TRUE(thread_->Decide(Call(4, bob_.account(), token), heard));
  callbacks_.RunUntil([&] { return rings.size() == 2; });
  EXPECT_EQ(rings, (std::vector<bool>{false, true}));  // the second is within the pair's rate
  NoticeBytes notice = {};
  EXPECT_TRUE(Do([&](StoreContext& context) {
                const auto notices = context.store.Notices(bob_.account(), Id(1)).value();
                EXPECT_EQ(notices.size(), 1u);
                EXPECT_EQ(crypto_box_seal_open(notice.data(), notices.at(0).sealed.data(),
                                               kSealedNoticeSize, device_.notice_key.data(),
                                               device_secret_.data()),
                          0);
                return absl::OkStatus();
              }).ok());
  EXPECT_EQ(notice[3], 1);  // stands for one call
}

TEST_F(StoreThreadTest, AFullQueueRefuses) {
  Start({.max_queue = 3, .max_batch = 2});
  AddBob();
  Hold();
  int told = 0;
  const auto job = [](StoreContext&) { return absl::OkStatus(); };
  const auto done = [&](const absl::Status&) { ++told; };
  EXPECT_TRUE(thread_->Submit(job, done));
  EXPECT_TRUE(thread_->Submit(job, done));
  EXPECT_TRUE(thread_->Submit(job, done));
  EXPECT_FALSE(thread_->Submit(job, done));
  EXPECT_FALSE(
      thread_->Decide(Call(1, bob_.account()), [&](const absl::StatusOr<Decision>&) { ++told; }));
  Release();
  callbacks_.RunUntil([&] { return told == 3; });
  EXPECT_TRUE(thread_->Submit(job, done));
  callbacks_.RunUntil([&] { return told == 4; });
}

TEST_F(StoreThreadTest, FinishesWhatIsQueuedBeforeItEnds) {
  int told = 0;
  for (int i = 0; i < 1000; ++i) {
    ASSERT_TRUE(thread_->Submit(
        [i](StoreContext& context) {
          return context.store.PutSettings(Account("a" + std::to_string(i)), {});
        },
        [&](const absl::Status& status) { told += status.ok(); }));
  }
  thread_.reset();
  callbacks_.RunAll();
  EXPECT_EQ(told, 1000);
  auto store = OpenSqliteStore({.path = folder_ / "store"}).value();
  EXPECT_TRUE(store->FindAccount(Account("a999"))->has_value());
}

}  // namespace
}  // namespace sotto::signaling
