// Lists of the service Admin as their readers see them: through an AdminServer's socket, with a
// real TURN server behind it and a thread in control's place.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <grpcpp/create_channel.h>

#include <filesystem>
#include <future>
#include <thread>

#include "dataplane/observe/fake_explainer.h"
#include "dataplane/observe/fake_relay_view.h"
#include "dataplane/relayd/admin_server.h"
#include "dataplane/relayd/admin_service.h"
#include "dataplane/relayd/allocation_id.h"
#include "dataplane/relayd/list_stream.h"
#include "relay/auth/credential.h"
#include "relay/turn/test_client.h"

namespace sotto::dataplane {
namespace {

namespace api = relay::v1;
using testing::HasSubstr;
using namespace std::chrono_literals;

constexpr std::string_view kSecret = "a-shared-secret";
constexpr uint32_t kMany = 100'000;

relay::ServerOptions Options() {
  relay::ServerOptions options;
  options.realm = "example.org";
  options.listen = {*relay::TransportAddress::Parse("192.0.2.10:3478")};
  options.relay_addresses = {*relay::IpAddress::Parse("192.0.2.10"),
                             *relay::IpAddress::Parse("192.0.2.11")};
  options.relay_ports = {4096, 65535};
  options.auth.shared_secrets = {std::string(kSecret)};
  options.limits.max_allocations = kMany;
  // Time stands still here, so that nothing flows back.
  options.limits.unauthenticated_excess_burst = UINT32_MAX;
  options.limits.allocations_per_prefix = 0;
  return options;
}

RelaydConfig Config() {
  RelaydConfig config;
  config.server = Options();
  return config;
}

class AdminListsTest : public testing::Test {
 protected:
  explicit AdminListsTest(AdminOptions options = {})
      : folder_(testing::TempDir() + "sotto-lists-XXXXXX"), server_(Options(), plane_) {
    EXPECT_NE(mkdtemp(folder_.data()), nullptr);
    AdminServerOptions admin;
    admin.socket = {.path = folder_ + "/relayd.sock"};
    admin_ = *AdminServer::Open(admin, tasks_);
    admin_->Add(std::make_unique<AdminService>(options, relay_, explainer_, capture_, running_,
                                               admin_->requests()));
  }
  ~AdminListsTest() override {
    Stop();
    admin_.reset();
    std::filesystem::remove_all(folder_);
  }
  void Stop() {
    stop_ = true;
    if (control_.joinable()) control_.join();
  }
  // From here on the server is control's.
  void Serve() {
    std::promise<void> served;
    control_ = std::thread([this, &served] {
      EXPECT_TRUE(admin_->Serve(server_, now_).ok());
      served.set_value();
      while (!stop_) {
        const size_t ran = tasks_.Run(server_, now_, 1);
        tasks_run_ += ran;
        if (ran == 0) std::this_thread::sleep_for(50us);
      }
      admin_->Stop(server_, now_);
    });
    served.get_future().wait();
  }
  void AllocateAs(const std::string& name) {
    const std::string username = fmt::format("{}:{}", now_.unix_s + 1000, name);
    relay::TestClient client(server_,
                             {*relay::TransportAddress::Parse("203.0.113.99:5000"),
                              *relay::TransportAddress::Parse("192.0.2.10:3478")},
                             username, relay::MintTimeLimitedPassword(kSecret, username));
    ASSERT_TRUE(client.Allocate(now_).success());
  }
  void Allocate(uint32_t count) {
    for (uint32_t i = 0; i < count; ++i) {
      const std::string username = fmt::format("{}:user{}", now_.unix_s + 1000, i % 1000);
      const auto port = static_cast<uint16_t>(1024 + i % 60000);
      relay::TestClient client(
          server_,
          {{relay::IpAddress::V4(203, 0, static_cast<uint8_t>(i / 60000), 5), port},
           *relay::TransportAddress::Parse("192.0.2.10:3478")},
          username, relay::MintTimeLimitedPassword(kSecret, username));
      ASSERT_TRUE(client.Allocate(now_).success()) << i;
    }
  }
  std::unique_ptr<api::Admin::Stub> Stub() const {
    grpc::ChannelArguments arguments;
    arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
    // A window that stays small, so that who doesn't read is noticed soon.
    arguments.SetInt(GRPC_ARG_HTTP2_BDP_PROBE, 0);
    return api::Admin::NewStub(grpc::CreateCustomChannel(
        "unix:" + folder_ + "/relayd.sock", grpc::InsecureChannelCredentials(), arguments));
  }
  static std::unique_ptr<grpc::ClientContext> Context() {
    auto context = std::make_unique<grpc::ClientContext>();
    context->set_deadline(std::chrono::system_clock::now() + 120s);
    context->set_wait_for_ready(true);
    return context;
  }
  // All that a list answers, and how it ended.
  grpc::Status List(const api::AllocationFilter& filter, std::vector<api::Allocation>& out) {
    const auto stub = Stub();
    const auto context = Context();
    const auto stream = stub->ListAllocations(context.get(), filter);
    for (api::Allocation one; stream->Read(&one);) out.push_back(std::move(one));
    return stream->Finish();
  }
  // Of the lists, what control ran by now: counted on control, where a task that was heard of is
  // over.
  size_t TasksRun() {
    const auto ran = std::make_shared<std::promise<size_t>>();
    std::future<size_t> lists = ran->get_future();
    EXPECT_TRUE(tasks_.Post([this, ran, counts = counts_++](relay::Server&, const relay::Now&) {
      ran->set_value(tasks_run_ - counts);
    }));
    return lists.get();
  }
  // The same when they have come to a rest.
  size_t TasksAtRest() {
    for (size_t last = TasksRun();;) {
      std::this_thread::sleep_for(300ms);
      const size_t now = TasksRun();
      if (now == last) return last;
      last = now;
    }
  }

  std::string folder_;
  const relay::Now now_{.monotonic_ms = 5'000'000, .unix_s = 1'800'000'000};
  FakeRelayView relay_;
  FakeExplainer explainer_;
  PacketCapture capture_{{}, {}, 1500, {.now = [] { return CaptureMoment(); }}};
  RunningConfig running_ = *RunningConfig::Load("relayd.toml", Config());
  relay::NullForwardingPlane plane_;
  relay::Server server_;
  ControlTasks tasks_{4096, [] {}};
  std::unique_ptr<AdminServer> admin_;
  std::atomic<bool> stop_ = false;
  std::atomic<size_t> tasks_run_ = 0;
  size_t counts_ = 0;  // of tasks_run_, those that counted
  std::thread control_;
};

TEST_F(AdminListsTest, AHundredThousandCostWhatOneBatchDoesHoweverSlowTheReader) {
  Allocate(kMany);
  Serve();
  const auto stub = Stub();
  const auto context = Context();
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
  Serve();
  api::AllocationFilter filter;
  filter.set_client("203.0.0.5:1030");
  std::vector<api::Allocation> found;
  ASSERT_TRUE(List(filter, found).ok());
  ASSERT_EQ(found.size(), 1u);
  EXPECT_EQ(found[0].user(), "user6");
  EXPECT_GE(TasksRun(), 20'000 / ListBounds::kPlacesAtOnce);

  filter.Clear();
  filter.set_user("user7");
  found.clear();
  ASSERT_TRUE(List(filter, found).ok());
  EXPECT_EQ(found.size(), 20u);

  const size_t before = TasksRun();
  filter.Clear();
  filter.set_id(found.back().id());
  found.clear();
  ASSERT_TRUE(List(filter, found).ok());
  ASSERT_EQ(found.size(), 1u);
  EXPECT_EQ(found[0].id(), filter.id());
  EXPECT_EQ(TasksRun() - before, 1u);
}

// Names are the clients': a list must neither end at one nor do to a terminal what it says.
TEST_F(AdminListsTest, ANameThatIsNoTextIsShownAndFound) {
  Allocate(10);
  AllocateAs("bad\xff\xfe\x1b[2J");
  Serve();
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
  Serve();
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
  Serve();
  const auto stub = Stub();
  for (int i = 0; i < 40; ++i) {
    const auto context = Context();
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
  Serve();
  const auto stub = Stub();
  std::vector<std::unique_ptr<grpc::ClientContext>> contexts;
  std::vector<std::unique_ptr<grpc::ClientReader<api::Allocation>>> open;
  for (size_t i = 0; i < AdminOptions().max_lists; ++i) {
    contexts.push_back(Context());
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
  Serve();
  const auto stub = Stub();
  const auto context = Context();
  const auto stream = stub->ListAllocations(context.get(), {});
  api::Allocation one;
  ASSERT_TRUE(stream->Read(&one));
  Stop();
  while (stream->Read(&one)) {
  }
  EXPECT_FALSE(stream->Finish().ok());
}

TEST_F(AdminListsTest, DetailsSayWhichChannelsAreFused) {
  const std::string username = fmt::format("{}:user", now_.unix_s + 1000);
  relay::TestClient client(server_,
                           {{relay::IpAddress::V4(203, 0, 113, 5), 4000},
                            *relay::TransportAddress::Parse("192.0.2.10:3478")},
                           username, relay::MintTimeLimitedPassword(kSecret, username));
  ASSERT_TRUE(client.Allocate(now_).success());
  ASSERT_TRUE(client.Bind(now_, 0x4001, *relay::TransportAddress::Parse("8.8.8.8:53")).success());
  ASSERT_TRUE(client.Bind(now_, 0x4002, *relay::TransportAddress::Parse("8.8.4.4:53")).success());
  relay_.fused = {{0, 0x4002}};
  Serve();
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
  info.path.client = *relay::TransportAddress::Parse("203.0.113.5:4000");
  info.relayed_v4 = *relay::TransportAddress::Parse("192.0.2.10:50000");
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
