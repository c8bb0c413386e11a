// SPDX-License-Identifier: Apache-2.0
#include "tools/phone/state_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <thread>

namespace sotto::tools {
namespace {

using ::testing::HasSubstr;

class StateFileTest : public ::testing::Test {
 protected:
  StateFileTest() { std::filesystem::create_directory(folder_); }
  ~StateFileTest() override { std::filesystem::remove_all(folder_); }

  const std::filesystem::path folder_ =
      std::filesystem::temp_directory_path() / ("sotto_state_" + std::to_string(getpid()));
  const std::string path_ = folder_ / "state.json";
};

TEST_F(StateFileTest, EverythingComesBack) {
  const std::string token = IssueToken(AccountSecret::Generate().EpochKey(7, 0), "bob", 7, {});
  const TokenSerial serial = RandomSerial();
  {
    auto file = StateFile::Open(path_);
    ASSERT_TRUE(file.ok()) << file.status();
    const auto status = file->Update([&](PhoneState& state) {
      state.account = "alice";
      state.epochs[7] = {.generation = 2, .uses = 3};
      state.contacts["bob"] = {.keys = {.box = {1}, .sign = {2}}, .tokens = {token}};
      state.issued[7] = {{serial}, {}};
      return absl::OkStatus();
    });
    ASSERT_TRUE(status.ok()) << status;
  }
  const auto first = StateFile::Open(path_), second = StateFile::Open(path_);
  ASSERT_TRUE(first.ok() && second.ok());
  const PhoneState& state = first->state();
  EXPECT_EQ(state.account, "alice");
  EXPECT_EQ(state.secret.bytes(), second->state().secret.bytes());
  EXPECT_NE(state.secret.bytes(), Key{});
  EXPECT_NE(state.notice_secret, Key{});
  EXPECT_EQ(state.epochs.at(7).generation, 2);
  EXPECT_EQ(state.epochs.at(7).uses, 3u);
  EXPECT_EQ(state.contacts.at("bob").tokens, std::vector{token});
  EXPECT_EQ(state.contacts.at("bob").keys.sign, Key{2});
  EXPECT_EQ(state.issued.at(7), (std::vector<std::vector<TokenSerial>>{{serial}, {}}));
}

TEST_F(StateFileTest, IsForItsOwnerAlone) {
  ASSERT_TRUE(StateFile::Open(path_).ok());
  struct stat about;
  ASSERT_EQ(stat(path_.c_str(), &about), 0);
  EXPECT_EQ(about.st_mode & 0777, 0600u);
  chmod(path_.c_str(), 0644);
  EXPECT_THAT(std::string(StateFile::Open(path_).status().message()), HasSubstr("chmod 600"));
}

TEST_F(StateFileTest, RefusedChangeChangesNothing) {
  auto file = StateFile::Open(path_);
  const auto status = file->Update([](PhoneState& state) {
    state.account = "mallory";
    return absl::FailedPreconditionError("no");
  });
  EXPECT_EQ(status.message(), "no");
  EXPECT_EQ(file->state().account, "");
  EXPECT_EQ(StateFile::Open(path_)->state().account, "");
}

TEST_F(StateFileTest, WritersDontUndoEachOther) {
  ASSERT_TRUE(StateFile::Open(path_).ok());
  const auto add = [&](int from) {
    auto file = StateFile::Open(path_);
    ASSERT_TRUE(file.ok());
    for (int i = from; i < from + 20; ++i) {
      const auto status = file->Update([i](PhoneState& state) {
        state.contacts["c" + std::to_string(i)] = {};
        return absl::OkStatus();
      });
      ASSERT_TRUE(status.ok());
    }
  };
  std::thread other(add, 100);
  add(200);
  other.join();
  EXPECT_EQ(StateFile::Open(path_)->state().contacts.size(), 40u);
}

TEST_F(StateFileTest, BrokenFilesAreRefusedAndKept) {
  for (const char* text : {"", "{}", "[1]", "{\"version\": 2}", "no json"}) {
    std::ofstream(path_) << text;
    chmod(path_.c_str(), 0600);
    EXPECT_FALSE(StateFile::Open(path_).ok()) << text;
    std::ifstream file(path_);
    EXPECT_EQ(std::string(std::istreambuf_iterator<char>(file), {}), text);
  }
}

TEST_F(StateFileTest, AnotherDeviceHasTheAccountButNotTheTokens) {
  PhoneState state = PhoneState::Generate();
  state.contacts["bob"].tokens = {"token"};
  const PhoneState other = state.ForAnotherDevice();
  EXPECT_EQ(other.secret.bytes(), state.secret.bytes());
  EXPECT_NE(other.device, state.device);
  EXPECT_NE(other.notice_secret, state.notice_secret);
  EXPECT_TRUE(other.contacts.at("bob").tokens.empty());
  ASSERT_TRUE(StateFile::Create(path_, other).ok());
  EXPECT_EQ(StateFile::Create(path_, other).code(), absl::StatusCode::kAlreadyExists);
}

TEST_F(StateFileTest, PastEpochsAreForgotten) {
  PhoneState state = PhoneState::Generate();
  const SignKeyPair key = state.secret.EpochKey(1, 0);
  for (const uint32_t epoch : {5u, 6u, 7u}) {
    state.epochs[epoch] = {};
    state.issued[epoch] = {};
    state.contacts["bob"].tokens.push_back(IssueToken(key, "bob", epoch, RandomSerial()));
  }
  state.ForgetBefore(6);
  EXPECT_EQ(state.epochs.size(), 2u);
  EXPECT_EQ(state.issued.size(), 2u);
  ASSERT_EQ(state.contacts["bob"].tokens.size(), 2u);
  EXPECT_EQ(ReadToken(state.contacts["bob"].tokens[0])->epoch, 6u);
}

}  // namespace
}  // namespace sotto::tools
