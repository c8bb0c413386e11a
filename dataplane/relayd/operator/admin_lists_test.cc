// SPDX-License-Identifier: Apache-2.0
// Lists of the service Admin as their readers see them: through an AdminServer's socket, with a
// real TURN server behind it and a thread in control's place.
#include <gmock/gmock.h>

#include "dataplane/observe/fake_explainer.h"
#include "dataplane/observe/fake_relay_view.h"
#include "dataplane/relayd/operator/admin_service.h"
#include "dataplane/relayd/operator/allocation_id.h"
#include "dataplane/relayd/operator/served_relay.h"
#include "relay/daemon/list_stream.h"

namespace sotto::dataplane {
namespace {

namespace api = relay::v1;
using testing::HasSubstr;
using namespace std::chrono_literals;

constexpr uint32_t kMany = 100'000;

RelaydConfig Config() {
  RelaydConfig config;
  config.server = ServedRelay::Options();
  config.server.relay_addresses.push_back(*IpAddress::Parse("192.0.2.11"));
  config.server.relay_ports = {4096, 65535};
  config.server.limits.max_allocations = kMany;
  return config;
}

class AdminListsTest : public testing::Test {
 protected:
  AdminListsTest() {
    relay_.admin().Add(std::make_unique<AdminService>(AdminOptions(), view_, explainer_, capture_,
                                                      running_, relay_.admin().requests()));
  }
  ~AdminListsTest() override { relay_.Stop(); }

  void Allocate(uint32_t count) {
    for (uint32_t i = 0; i < count; ++i) {
      relay::TestClient client = relay_.Client(fmt::format("user{}", i % 1000));
      ASSERT_TRUE(client.Allocate(ServedRelay::kNow).success()) << i;
    }
  }
  std::unique_ptr<api::Admin::Stub> Stub() const { return api::Admin::NewStub(relay_.Connect()); }
  // All that a list answers, and how it ended.
  grpc::Status List(const api::AllocationFilter& filter, std::vector<api::Allocation>& out) {
    const auto stub = Stub();
    const auto context = ServedRelay::Context();
    const auto stream = stub->ListAllocations(context.get(), filter);
    for (api::Allocation one; stream->Read(&one);) out.push_back(std::move(one));
    return stream->Finish();
  }
  // What control ran once the lists have come to a rest.
  size_t TasksAtRest() {
    for (size_t last = relay_.TasksRun();;) {
      std::this_thread::sleep_for(300ms);
      const size_t now = relay_.TasksRun();
      if (now == last) return last;
      last = now;
    }
  }

  TestFolder folder_;
  FakeRelayView view_;
  FakeExplainer explainer_;
  PacketCapture capture_{{}, {}, 1500, {.now = [] { return CaptureMoment(); }}};
  RunningConfig running_ = *RunningConfig::Load("relayd.toml", Config());
  // One task at a time, so that what each does shows.
  ServedRelay relay_{folder_.Of("relayd.sock"), Config().server, AdminServerOptions().max_requests,
                     /*tasks_at_once=*/1};
};

TEST_F(AdminListsTest, AHundredThousandCostWhatOneBatchDoesHoweverSlowTheReader) {
  Allocate(kMany);
  relay_.Serve();
  const auto stub = Stub();
  const auto context = ServedRelay::Context();
  const auto stream = stub->ListAllocations(context.get(), {});
  api::Allocation one;
  ASSERT_TRUE(stream->Read(&one));
  // The reader stops, and so does control: what was found is in one batch, and in the connection's
  // windows.
  const size_t while_stalled = TasksAtRest();
  EXPECT_LE(while_stalled, 20u);
  uint64_t last = one.id();
  uint32_t count = 1;
  while (stream->Read(&one)) {
    ASSERT_GT(one.id(), last);
    last = one.id();
    ++count;
  }
  EXPECT_TRUE(stream->Finish().ok());
  EXPECT_EQ(count, kMany);
  // No task looked at more than its share.
  EXPECT_GE(TasksAtRest(), kMany / ListBounds::kPlacesAtOnce);
}

TEST_F(AdminListsTest, AFilterThatMatchesLittleLooksAtAllWithoutHoldingControlUp) {
  Allocate(20'000);
  relay_.Serve();
  api::AllocationFilter filter;
  filter.set_client("203.0.0.5:1030");
  std::vector<api::Allocation> found;
  ASSERT_TRUE(List(filter, found).ok());
  ASSERT_EQ(found.size(), 1u);
  EXPECT_EQ(found[0].user(), "user6");
  EXPECT_GE(relay_.TasksRun(), 20'000 / ListBounds::kPlacesAtOnce);

  filter.Clear();
  filter.set_user("user7");
  found.clear();
  ASSERT_TRUE(List(filter, found).ok());
  EXPECT_EQ(found.size(), 20u);

  const size_t before = relay_.TasksRun();
  filter.Clear();
  filter.set_id(found.back().id());
  found.clear();
  ASSERT_TRUE(List(filter, found).ok());
  ASSERT_EQ(found.size(), 1u);
  EXPECT_EQ(found[0].id(), filter.id());
  EXPECT_EQ(relay_.TasksRun() - before, 1u);
}

// Names are the clients': a list must neither end at one nor do to a terminal what it says.
TEST_F(AdminListsTest, ANameThatIsNoTextIsShownAndFound) {
  Allocate(10);
  ASSERT_TRUE(relay_.Client("bad\xff\xfe\x1b[2J").Allocate(ServedRelay::kNow).success());
  relay_.Serve();
  std::vector<api::Allocation> found;
  ASSERT_TRUE(List({}, found).ok());
  ASSERT_EQ(found.size(), 11u);
  EXPECT_EQ(found[10].user(), "bad\\u00ff\\u00fe\\u001b[2J");
  api::AllocationFilter filter;
  filter.set_user(found[10].user());
  found.clear();
  ASSERT_TRUE(List(filter, found).ok());
  EXPECT_EQ(found.size(), 1u);
}

TEST_F(AdminListsTest, ALimitEndsTheListThere) {
  Allocate(1000);
  relay_.Serve();
  for (const uint32_t limit : {1u, 255u, 256u, 257u, 600u, 1000u, 2000u}) {
    api::AllocationFilter filter;
    filter.set_limit(limit);
    std::vector<api::Allocation> found;
    EXPECT_TRUE(List(filter, found).ok());
    EXPECT_EQ(found.size(), std::min(limit, 1000u)) << limit;
  }
}

TEST_F(AdminListsTest, AReaderThatGoesAwayLeavesRoomForTheNext) {
  Allocate(5000);
  relay_.Serve();
  const auto stub = Stub();
  for (int i = 0; i < 40; ++i) {
    const auto context = ServedRelay::Context();
    const auto stream = stub->ListAllocations(context.get(), {});
    api::Allocation one;
    ASSERT_TRUE(stream->Read(&one)) << i;
    context->TryCancel();
    EXPECT_EQ(stream->Finish().error_code(), grpc::StatusCode::CANCELLED);
    std::this_thread::sleep_for(5ms);
  }
  std::vector<api::Allocation> found;
  EXPECT_TRUE(List({}, found).ok());
  EXPECT_EQ(found.size(), 5000u);
}

TEST_F(AdminListsTest, OneListTooManyIsRefused) {
  Allocate(5000);
  relay_.Serve();
  const auto stub = Stub();
  std::vector<std::unique_ptr<grpc::ClientContext>> contexts;
  std::vector<std::unique_ptr<grpc::ClientReader<api::Allocation>>> open;
  for (size_t i = 0; i < AdminOptions().max_lists; ++i) {
    contexts.push_back(ServedRelay::Context());
    open.push_back(stub->ListAllocations(contexts.back().get(), {}));
    api::Allocation one;
    ASSERT_TRUE(open.back()->Read(&one)) << i;
  }
  std::vector<api::Allocation> found;
  const grpc::Status refused = List({}, found);
  EXPECT_EQ(refused.error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED);
  EXPECT_THAT(refused.error_message(), HasSubstr("16 lists"));
  for (size_t i = 0; i < open.size(); ++i) {
    contexts[i]->TryCancel();
    open[i]->Finish();
  }
}

TEST_F(AdminListsTest, EndsWithTheRelay) {
  Allocate(5000);
  relay_.Serve();
  const auto stub = Stub();
  const auto context = ServedRelay::Context();
  const auto stream = stub->ListAllocations(context.get(), {});
  api::Allocation one;
  ASSERT_TRUE(stream->Read(&one));
  relay_.Stop();
  while (stream->Read(&one)) {
  }
  EXPECT_FALSE(stream->Finish().ok());
}

TEST_F(AdminListsTest, DetailsSayWhichChannelsAreFused) {
  relay::TestClient client = relay_.Client("user");
  const Now now = ServedRelay::kNow;
  ASSERT_TRUE(client.Allocate(now).success());
  ASSERT_TRUE(client.Bind(now, 0x4001, *TransportAddress::Parse("8.8.8.8:53")).success());
  ASSERT_TRUE(client.Bind(now, 0x4002, *TransportAddress::Parse("8.8.4.4:53")).success());
  view_.fused = {{0, 0x4002}};
  relay_.Serve();
  api::AllocationFilter filter;
  filter.set_details(true);
  std::vector<api::Allocation> found;
  ASSERT_TRUE(List(filter, found).ok());
  ASSERT_EQ(found.size(), 1u);
  ASSERT_EQ(found[0].channel_size(), 2);
  EXPECT_FALSE(found[0].channel(0).fused());
  EXPECT_TRUE(found[0].channel(1).fused());
  EXPECT_EQ(found[0].permission_size(), 2);
}

TEST(OperatorIdTest, NamesOneAllocationAlone) {
  relay::AllocationInfo info;
  info.path.client = *TransportAddress::Parse("203.0.113.5:4000");
  info.relayed_v4 = *TransportAddress::Parse("192.0.2.10:50000");
  for (const relay::LegId leg : {0u, 1u, 1'000'000u, UINT32_MAX - 1}) {
    info.id = leg;
    EXPECT_EQ(LegIdOf(OperatorId(info)), leg);
  }
  info.id = 7;
  const uint64_t id = OperatorId(info);
  EXPECT_EQ(OperatorId(info), id);
  relay::AllocationInfo later = info;
  later.created_at = 1000;
  EXPECT_NE(OperatorId(later), id);
  relay::AllocationInfo elsewhere = info;
  elsewhere.relayed_v4->port = 50'001;
  EXPECT_NE(OperatorId(elsewhere), id);
  relay::AllocationInfo other = info;
  other.path.client.port = 4001;
  EXPECT_NE(OperatorId(other), id);
  relay::AllocationInfo next = info;
  next.id = 8;
  EXPECT_GT(OperatorId(next), id);
  EXPECT_EQ(LegIdOf(0), UINT32_MAX);
  EXPECT_EQ(LegIdOf(5), UINT32_MAX);
  EXPECT_EQ(LegIdOf(UINT64_MAX), UINT32_MAX);
}

}  // namespace
}  // namespace sotto::dataplane
