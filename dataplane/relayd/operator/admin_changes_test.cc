// SPDX-License-Identifier: Apache-2.0
// Users and secrets that an operator changes, as the operator sees it: through an AdminServer's
// socket, with a disk that can be made to hang.
#include <gmock/gmock.h>

#include "dataplane/observe/fake_explainer.h"
#include "dataplane/observe/fake_relay_view.h"
#include "dataplane/relayd/config/disk_thread.h"
#include "dataplane/relayd/operator/admin_service.h"
#include "dataplane/relayd/operator/daemon_control.h"
#include "dataplane/relayd/operator/served_relay.h"

namespace sotto::dataplane {
namespace {

namespace api = relay::v1;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using namespace std::chrono_literals;

class AdminChangesTest : public testing::Test {
 protected:
  AdminChangesTest() {
    AdminServer& admin = relay_.admin();
    disk_.emplace(admin.requests().tasks());
    running_.SetEffects({.log = {},
                         .limits = {},
                         .tls = {},
                         .write = [this](DiskThread::Work write, DiskThread::Then then) {
                           disk_->Do(
                               [this, write = std::move(write)] {
                                 while (hangs_) std::this_thread::sleep_for(1ms);
                                 return write();
                               },
                               std::move(then));
                         }});
    admin.Add(std::make_unique<AdminService>(AdminOptions(), view_, explainer_, capture_, running_,
                                             admin.requests()));
    admin.Add(std::make_unique<DaemonControl>("1.2.3", running_, admin.requests()));
    relay_.Serve();
    stub_ = api::Admin::NewStub(relay_.Connect());
  }
  ~AdminChangesTest() override {
    hangs_ = false;
    relay_.Stop();
    disk_.reset();
  }

  RelaydConfig Config() const {
    RelaydConfig config;
    config.server = ServedRelay::Options();
    config.server.relay_ports = {4096, 65535};
    config.credential_file = folder_.Of("auth.toml");
    return config;
  }
  grpc::Status AddUser(const std::string& name) {
    api::AddUserRequest request;
    request.set_name(name);
    request.set_password(Password(name));
    api::AddUserResponse response;
    return stub_->AddUser(ServedRelay::Context().get(), request, &response);
  }
  std::future<grpc::Status> BeginAddUser(const std::string& name) {
    return std::async(std::launch::async, [this, name] { return AddUser(name); });
  }
  grpc::Status RemoveUser(const std::string& name, bool end, uint32_t* ended = nullptr) {
    api::RemoveUserRequest request;
    request.set_name(name);
    request.set_end_allocations(end);
    api::RemoveUserResponse response;
    const grpc::Status status = stub_->RemoveUser(ServedRelay::Context().get(), request, &response);
    if (ended != nullptr) *ended = response.ended();
    return status;
  }
  std::vector<std::string> Users() {
    api::ListUsersResponse response;
    EXPECT_TRUE(stub_->ListUsers(ServedRelay::Context().get(), {}, &response).ok());
    std::vector<std::string> names;
    for (const auto& user : response.users()) names.push_back(user.name());
    return names;
  }
  static std::string Password(const std::string& name) { return name + "-password"; }
  // Allocates for a user of the relay's own; on control's thread. Returns the error.
  int Allocate(const std::string& name) {
    relay::TestClient client = relay_.Client(name);
    client.set_credentials(name, Password(name));
    return client.Allocate(ServedRelay::kNow).error;
  }

  TestFolder folder_;
  FakeRelayView view_;
  FakeExplainer explainer_;
  PacketCapture capture_{{}, {}, 1500, {.now = [] { return CaptureMoment(); }}};
  RunningConfig running_ = *RunningConfig::Load("relayd.toml", Config());
  ServedRelay relay_{folder_.Of("relayd.sock"), Config().server};
  std::optional<DiskThread> disk_;
  std::atomic<bool> hangs_ = false;
  std::unique_ptr<api::Admin::Stub> stub_;
};

TEST_F(AdminChangesTest, WhileTheDiskHangsControlServesAndNothingHasChanged) {
  hangs_ = true;
  auto erin = BeginAddUser("erin");
  auto frank = BeginAddUser("frank");
  for (int i = 0; i < 20; ++i) {
    EXPECT_THAT(Users(), IsEmpty());
    relay_.Do([&](relay::Server&) {
      EXPECT_EQ(Allocate("erin"), 401);
      EXPECT_TRUE(relay_.Client("somebody").Allocate(ServedRelay::kNow).success());
    });
  }
  EXPECT_EQ(erin.wait_for(0s), std::future_status::timeout);
  EXPECT_EQ(frank.wait_for(0s), std::future_status::timeout);
  hangs_ = false;
  EXPECT_TRUE(erin.get().ok());
  EXPECT_TRUE(frank.get().ok());
  EXPECT_THAT(Users(), ElementsAre("erin", "frank"));
  relay_.Do([&](relay::Server&) { EXPECT_EQ(Allocate("erin"), 0); });
}

TEST_F(AdminChangesTest, AUserWhoIsRemovedLosesAllThatTheUserHasAStepAtATime) {
  constexpr uint32_t kAllocations = 6000;
  ASSERT_TRUE(AddUser("erin").ok());
  relay_.Do([&](relay::Server&) {
    for (uint32_t i = 0; i < kAllocations / 2; ++i) {
      ASSERT_EQ(Allocate("erin"), 0);
      // Who is only named so by a secret is somebody else.
      ASSERT_TRUE(relay_.Client("erin").Allocate(ServedRelay::kNow).success());
    }
  });
  const size_t before = relay_.TasksRun();
  uint32_t ended = 0;
  ASSERT_TRUE(RemoveUser("erin", true, &ended).ok());
  EXPECT_EQ(ended, kAllocations / 2);
  EXPECT_GE(relay_.TasksRun() - before, 10u);
  relay_.Do([&](relay::Server& server) {
    EXPECT_EQ(server.allocation_count(), kAllocations / 2);
    EXPECT_EQ(Allocate("erin"), 401);
  });
  EXPECT_EQ(RemoveUser("erin", true).error_code(), grpc::NOT_FOUND);
}

TEST_F(AdminChangesTest, WhatIsStillBeingWrittenAtTheEndIsAnswered) {
  hangs_ = true;
  auto erin = BeginAddUser("erin");
  while (relay_.TasksRun() == 0) std::this_thread::sleep_for(1ms);
  relay_.Stop();
  const grpc::Status status = erin.get();
  EXPECT_EQ(status.error_code(), grpc::UNAVAILABLE);
  EXPECT_THAT(status.error_message(), HasSubstr("may or may not be saved"));
}

}  // namespace
}  // namespace sotto::dataplane
