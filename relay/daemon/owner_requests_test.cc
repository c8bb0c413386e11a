// SPDX-License-Identifier: Apache-2.0
// Requests as gRPC hands them over, without a server: contexts made here, and an owner and a thread
// of gRPC's that work when they are told to.
#include "relay/daemon/owner_requests.h"

#include <gmock/gmock.h>
#include <grpcpp/test/default_reactor_test_peer.h>

#include <deque>
#include <functional>
#include <optional>
#include <string>
#include <utility>

namespace sotto {
namespace {

constexpr char kUnavailable[] = "the relay is stopping or has too many requests waiting; try again";
constexpr size_t kMost = 2;

// One request, and how it is answered.
class Call {
 public:
  grpc::CallbackServerContext* context() { return &context_; }
  bool answered() const { return peer_.test_status_set(); }
  grpc::StatusCode code() const { return peer_.test_status().error_code(); }
  std::string message() const { return peer_.test_status().error_message(); }

 private:
  grpc::CallbackServerContext context_;
  grpc::testing::DefaultReactorTestPeer peer_{&context_};
};

class OwnerRequestsTest : public testing::Test {
 protected:
  using Requests = OwnerRequests<int&>;

  // The owner: how many tasks it ran.
  size_t RunOwner() { return tasks_.Run(state_, 100); }
  void RunGrpc() {
    while (!in_grpc_.empty()) {
      const std::function<void()> work = std::move(in_grpc_.front());
      in_grpc_.pop_front();
      work();
    }
  }
  // As a daemon stops.
  void Close() {
    tasks_.Close(state_);
    requests_.Close();
  }

  int state_ = 0;
  std::deque<std::function<void()>> in_grpc_;
  TaskQueue<int&> tasks_{100, [] {}};
  Requests requests_{"relay", kMost, tasks_,
                     [this](std::function<void()> work) { in_grpc_.push_back(std::move(work)); }};
};

TEST_F(OwnerRequestsTest, TheOwnerWorksAndGrpcAnswers) {
  Call call;
  requests_.Do(call.context(), [](int& state) {
    state = 7;
    return absl::NotFoundError("there is none");
  });
  EXPECT_EQ(state_, 0);
  RunOwner();
  EXPECT_EQ(state_, 7);
  EXPECT_FALSE(call.answered());
  RunGrpc();
  ASSERT_TRUE(call.answered());
  EXPECT_EQ(call.code(), grpc::StatusCode::NOT_FOUND);
  EXPECT_EQ(call.message(), "there is none");
}

TEST_F(OwnerRequestsTest, EachStepIsATaskOfItsOwn) {
  Call call;
  requests_.DoInSteps(call.context(), [](int& state) -> std::optional<absl::Status> {
    if (++state < 3) return std::nullopt;
    return absl::OkStatus();
  });
  for (int step = 1; step <= 3; ++step) {
    EXPECT_EQ(RunOwner(), 1u);
    EXPECT_EQ(state_, step);
  }
  EXPECT_EQ(RunOwner(), 0u);
  RunGrpc();
  ASSERT_TRUE(call.answered());
  EXPECT_EQ(call.code(), grpc::StatusCode::OK);
}

TEST_F(OwnerRequestsTest, ARequestCountsUntilItsAnswerIsOut) {
  const auto work = [](int&) { return absl::OkStatus(); };
  Call first, second, third, fourth;
  requests_.Do(first.context(), work);
  requests_.Do(second.context(), work);
  RunOwner();
  requests_.Do(third.context(), work);
  ASSERT_TRUE(third.answered());
  EXPECT_EQ(third.code(), grpc::StatusCode::UNAVAILABLE);
  EXPECT_EQ(third.message(), kUnavailable);
  RunGrpc();
  requests_.Do(fourth.context(), work);
  RunOwner();
  RunGrpc();
  for (const Call* call : {&first, &second, &fourth}) {
    ASSERT_TRUE(call->answered());
    EXPECT_EQ(call->code(), grpc::StatusCode::OK);
  }
}

TEST_F(OwnerRequestsTest, AClosedOwnerAnswersWhatWaitsAndRefusesWhatComes) {
  std::optional<Requests::Answer> late;
  Call works, waits, comes;
  requests_.Begin(waits.context(),
                  [&](int&, const Requests::Answer& answer) { late.emplace(answer); });
  RunOwner();
  requests_.Do(works.context(), [](int&) { return absl::OkStatus(); });
  Close();
  RunGrpc();
  ASSERT_TRUE(works.answered());
  EXPECT_EQ(works.code(), grpc::StatusCode::OK);
  ASSERT_TRUE(waits.answered());
  EXPECT_EQ(waits.code(), grpc::StatusCode::UNAVAILABLE);
  EXPECT_EQ(waits.message(), kUnavailable);
  requests_.Do(comes.context(), [](int&) { return absl::OkStatus(); });
  ASSERT_TRUE(comes.answered());
  EXPECT_EQ(comes.code(), grpc::StatusCode::UNAVAILABLE);
  // The request is gone by now.
  ASSERT_TRUE(late.has_value());
  late->With(absl::OkStatus());
  late->InSteps([](int&) { return absl::OkStatus(); });
  EXPECT_TRUE(in_grpc_.empty());
}

TEST_F(OwnerRequestsTest, StepsThatComeAfterTheLastTaskEndAsUnavailable) {
  std::optional<Requests::Answer> answers;
  Call call;
  requests_.Begin(call.context(),
                  [&](int&, const Requests::Answer& answer) { answers.emplace(answer); });
  RunOwner();
  tasks_.Close(state_);
  ASSERT_TRUE(answers.has_value());
  answers->InSteps([](int& state) {
    ++state;
    return absl::OkStatus();
  });
  RunGrpc();
  EXPECT_EQ(state_, 0);
  ASSERT_TRUE(call.answered());
  EXPECT_EQ(call.code(), grpc::StatusCode::UNAVAILABLE);
}

}  // namespace
}  // namespace sotto
