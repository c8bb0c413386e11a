// SPDX-License-Identifier: Apache-2.0
// The admin server as its clients see it: over its Unix socket, with a real TURN server behind it
// and a thread in control's place.
#include "dataplane/relayd/operator/admin_server.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <future>
#include <map>
#include <thread>

#include "dataplane/relayd/operator/call_control.h"
#include "dataplane/relayd/operator/served_relay.h"
#include "relay/daemon/config_file.h"

namespace sotto::dataplane {
namespace {

namespace api = relay::v1;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;
using namespace std::chrono_literals;

relay::ServerOptions CallOptions() {
  relay::ServerOptions options = ServedRelay::Options();
  options.peers.kind = relay::PeerPolicyKind::kCall;
  return options;
}

CallControlOptions Version() {
  CallControlOptions options;
  options.version = "1.2.3";
  return options;
}

// With CallControl, served at once.
class Relay : public ServedRelay {
 public:
  explicit Relay(std::string socket, const CallControlOptions& call_control = Version(),
                 const relay::ServerOptions& server = CallOptions(),
                 size_t max_requests = AdminServerOptions().max_requests)
      : ServedRelay(std::move(socket), server, max_requests) {
    admin().Add(std::make_unique<CallControlService>(call_control, admin().requests()));
    Serve();
  }

  TransportAddress Join(std::string_view leg) {
    TransportAddress relayed;
    Do([&](relay::Server&) { relayed = Allocate(leg); });
    return relayed;
  }
  // On control's thread.
  TransportAddress Allocate(std::string_view leg) {
    const relay::Reply reply = Client(leg).Allocate(kNow);
    EXPECT_TRUE(reply.success()) << leg << ": " << reply.error;
    return reply.success() ? reply.relayed().at(0) : TransportAddress();
  }
};

class AdminServerTest : public testing::Test {
 protected:
  std::unique_ptr<api::CallControl::Stub> Stub(const Relay& relay) const {
    return api::CallControl::NewStub(relay.Connect());
  }

  const TestFolder folder_;
  const std::string path_ = folder_.Of("relayd.sock");
};

std::unique_ptr<grpc::ClientContext> Context(std::chrono::seconds deadline = 10s) {
  return ServedRelay::Context(deadline);
}

template <typename Request>
Request Of(std::string_view call) {
  Request request;
  request.set_call(std::string(call));
  return request;
}

grpc::Status Arm(api::CallControl::Stub& stub, std::string_view call,
                 api::ArmCallResponse* out = nullptr) {
  api::ArmCallResponse response;
  const auto context = Context();
  const grpc::Status status = stub.ArmCall(context.get(), Of<api::ArmCallRequest>(call), &response);
  if (out != nullptr) *out = response;
  return status;
}
grpc::Status Disarm(api::CallControl::Stub& stub, std::string_view call) {
  api::DisarmCallResponse response;
  const auto context = Context();
  return stub.DisarmCall(context.get(), Of<api::DisarmCallRequest>(call), &response);
}
grpc::Status End(api::CallControl::Stub& stub, std::string_view call) {
  api::EndCallResponse response;
  const auto context = Context();
  return stub.EndCall(context.get(), Of<api::EndCallRequest>(call), &response);
}
grpc::Status Get(api::CallControl::Stub& stub, std::string_view call, api::Call& response) {
  const auto context = Context();
  return stub.GetCall(context.get(), Of<api::GetCallRequest>(call), &response);
}

// "x/a 192.0.2.10:50000"
std::string Text(const api::Leg& leg) {
  std::string text = leg.call() + (leg.side() == api::Leg::SIDE_A ? "/a" : "/b");
  for (const api::TransportAddress& relayed : leg.relayed()) {
    const auto ip = reinterpret_cast<const uint8_t*>(relayed.ip().data());
    EXPECT_EQ(relayed.ip().size(), 4u);
    text += fmt::format(" {}.{}.{}.{}:{}", ip[0], ip[1], ip[2], ip[3], relayed.port());
  }
  return text;
}

class Watch {
 public:
  explicit Watch(api::CallControl::Stub& stub) : context_(Context(60s)) {
    reader_ = stub.WatchLegs(context_.get(), {});
  }
  ~Watch() {
    context_->TryCancel();
    if (reader_) reader_->Finish();
  }
  // "standing x/a 192.0.2.10:50000"; empty at the end of the stream.
  std::string Next() {
    api::LegEvent event;
    if (!reader_->Read(&event)) return "";
    static const std::map<int, std::string> kinds = {
        {api::LegEvent::KIND_STANDING, "standing "},
        {api::LegEvent::KIND_ALLOCATED, "allocated "},
        {api::LegEvent::KIND_ENDED, "ended "},
        {api::LegEvent::KIND_ALL_STANDING, "all standing"}};
    return kinds.at(event.kind()) + (event.has_leg() ? Text(event.leg()) : "");
  }
  grpc::Status Finish() {
    const grpc::Status status = reader_->Finish();
    reader_.reset();
    return status;
  }

 private:
  std::unique_ptr<grpc::ClientContext> context_;
  std::unique_ptr<grpc::ClientReader<api::LegEvent>> reader_;
};

TEST_F(AdminServerTest, ArmsDisarmsAndEndsCalls) {
  Relay relay(path_);
  const auto stub = Stub(relay);
  const std::string a = relay.Join("x/a").ToString();
  const std::string b = relay.Join("x/b").ToString();
  api::ArmCallResponse armed;
  ASSERT_TRUE(Arm(*stub, "x", &armed).ok());
  EXPECT_TRUE(armed.call().armed());
  ASSERT_EQ(armed.call().legs_size(), 2);
  EXPECT_EQ(Text(armed.call().legs(0)), "x/a " + a);
  EXPECT_EQ(Text(armed.call().legs(1)), "x/b " + b);
  EXPECT_TRUE(Arm(*stub, "x").ok());

  EXPECT_TRUE(Disarm(*stub, "x").ok());
  api::Call call;
  ASSERT_TRUE(Get(*stub, "x", call).ok());
  EXPECT_FALSE(call.armed());
  EXPECT_EQ(call.legs_size(), 2);

  EXPECT_TRUE(End(*stub, "x").ok());
  EXPECT_EQ(Get(*stub, "x", call).error_code(), grpc::NOT_FOUND);
  relay.Do([](relay::Server& server) { EXPECT_EQ(server.allocation_count(), 0u); });

  // A call whose legs are to come.
  ASSERT_TRUE(Arm(*stub, "y", &armed).ok());
  EXPECT_TRUE(armed.call().armed());
  EXPECT_EQ(armed.call().legs_size(), 0);
}

TEST_F(AdminServerTest, SaysWhatIsWrong) {
  Relay relay(path_);
  const auto stub = Stub(relay);
  for (const std::string& name : {std::string(), std::string("x/a"), std::string(65, 'x')}) {
    api::Call call;
    for (const grpc::Status& status :
         {Arm(*stub, name), Disarm(*stub, name), End(*stub, name), Get(*stub, name, call)}) {
      EXPECT_EQ(status.error_code(), grpc::INVALID_ARGUMENT) << name;
      EXPECT_THAT(status.error_message(), HasSubstr("is not a call id; write 1 to 64 characters"));
    }
  }
  // Nothing is asked that is larger than a configuration.
  EXPECT_EQ(Arm(*stub, std::string(kMaxConfigSize + 100'000, 'x')).error_code(),
            grpc::RESOURCE_EXHAUSTED);
  EXPECT_TRUE(Disarm(*stub, "unknown").ok());
  EXPECT_TRUE(End(*stub, "unknown").ok());
}

TEST_F(AdminServerTest, ARelayWithoutCallsSaysSo) {
  relay::ServerOptions server = CallOptions();
  server.peers.kind = relay::PeerPolicyKind::kRelay;
  Relay relay(path_, Version(), server);
  const auto stub = Stub(relay);
  EXPECT_EQ(Arm(*stub, "x").error_code(), grpc::FAILED_PRECONDITION);
  api::Relay health;
  ASSERT_TRUE(stub->GetRelay(Context().get(), {}, &health).ok());
  EXPECT_FALSE(health.call_policy());
}

TEST_F(AdminServerTest, TellsOfItself) {
  relay::ServerOptions server = CallOptions();
  server.limits.max_allocations = 17;
  Relay relay(path_, Version(), server);
  relay.Join("x/a");
  api::Relay health;
  ASSERT_TRUE(Stub(relay)->GetRelay(Context().get(), {}, &health).ok());
  EXPECT_EQ(health.version(), "1.2.3");
  EXPECT_EQ(health.realm(), "example.org");
  EXPECT_TRUE(health.call_policy());
  EXPECT_EQ(health.allocations(), 1u);
  EXPECT_EQ(health.max_allocations(), 17u);
  ASSERT_EQ(health.listen_size(), 1);
  EXPECT_EQ(health.listen(0).port(), 3478u);
}

TEST_F(AdminServerTest, WatchersSeeWhatStandsAndWhatChanges) {
  Relay relay(path_);
  const auto stub = Stub(relay);
  const std::string a = relay.Join("x/a").ToString();
  Watch first(*stub);
  EXPECT_EQ(first.Next(), "standing x/a " + a);
  EXPECT_EQ(first.Next(), "all standing");
  const std::string b = relay.Join("x/b").ToString();
  EXPECT_EQ(first.Next(), "allocated x/b " + b);
  Watch second(*stub);
  EXPECT_EQ(second.Next(), "standing x/a " + a);
  EXPECT_EQ(second.Next(), "standing x/b " + b);
  EXPECT_EQ(second.Next(), "all standing");
  EXPECT_TRUE(End(*stub, "x").ok());
  for (Watch* watch : {&first, &second}) {
    EXPECT_EQ(watch->Next(), "ended x/a");
    EXPECT_EQ(watch->Next(), "ended x/b");
  }
}

TEST_F(AdminServerTest, AWatcherSeesAllThatStandHoweverSmallItsQueue) {
  constexpr int kCalls = 3000;
  CallControlOptions options = Version();
  options.max_watcher_events = 64;
  Relay relay(path_, options);
  relay.Do([&](relay::Server&) {
    for (int i = 0; i < kCalls; ++i) relay.Allocate(fmt::format("call{}/a", i));
  });
  const auto stub = Stub(relay);
  Watch watch(*stub);
  std::map<std::string, int> seen;
  std::string event;
  while ((event = watch.Next()).starts_with("standing ")) ++seen[event];
  EXPECT_EQ(event, "all standing");
  EXPECT_THAT(seen, SizeIs(kCalls));
  for (const auto& [text, times] : seen) EXPECT_EQ(times, 1) << text;
}

TEST_F(AdminServerTest, AWatcherThatDoesNotReadIsEndedAndOthersGoOn) {
  CallControlOptions options = Version();
  options.max_watcher_events = 1000;
  Relay relay(path_, options);
  const auto idle_stub = Stub(relay);
  const auto stub = Stub(relay);
  Watch idle(*idle_stub);
  EXPECT_EQ(idle.Next(), "all standing");
  Watch reading(*stub);
  EXPECT_EQ(reading.Next(), "all standing");
  int told = 0;
  for (int round = 0; round < 200; ++round) {
    relay.Do([&](relay::Server& server) {
      for (int i = 0; i < 50; ++i) {
        const std::string call = fmt::format("{}-{}", round, i);
        relay.Allocate(call + "/a");
        EXPECT_TRUE(server.EndCall(call, {.monotonic_ms = 5'000'000}).ok());
      }
    });
    for (int i = 0; i < 100; ++i) told += reading.Next().empty() ? 0 : 1;
  }
  EXPECT_EQ(told, 20'000);
  int read = 0;
  while (!idle.Next().empty()) ++read;
  EXPECT_LT(read, 20'000);
  const grpc::Status status = idle.Finish();
  EXPECT_EQ(status.error_code(), grpc::RESOURCE_EXHAUSTED);
  EXPECT_THAT(status.error_message(), HasSubstr("is too slow"));
  // Anew.
  Watch again(*idle_stub);
  EXPECT_EQ(again.Next(), "all standing");
}

TEST_F(AdminServerTest, HasABoundOnWatchersAndFreesTheirPlaces) {
  CallControlOptions options = Version();
  options.max_watchers = 2;
  Relay relay(path_, options);
  const auto stub = Stub(relay);
  Watch first(*stub);
  EXPECT_EQ(first.Next(), "all standing");
  {
    Watch second(*stub);
    EXPECT_EQ(second.Next(), "all standing");
    Watch third(*stub);
    EXPECT_EQ(third.Next(), "");
    EXPECT_EQ(third.Finish().error_code(), grpc::RESOURCE_EXHAUSTED);
  }
  // The second is noticed to be gone a moment later.
  const auto end = std::chrono::steady_clock::now() + 5s;
  for (;;) {
    Watch fourth(*stub);
    if (fourth.Next() == "all standing") break;
    ASSERT_LT(std::chrono::steady_clock::now(), end);
  }
}

TEST_F(AdminServerTest, HasABoundOnRequests) {
  Relay relay(path_, Version(), CallOptions(), /*max_requests=*/3);
  const auto stub = Stub(relay);
  ASSERT_TRUE(Arm(*stub, "x").ok());
  relay.Pause(true);
  std::vector<std::future<grpc::Status>> waiting;
  for (int i = 0; i < 6; ++i) {
    waiting.push_back(std::async(std::launch::async, [&] { return Arm(*stub, "x"); }));
  }
  // Three are refused at once, while three wait.
  int refused = 0;
  const auto end = std::chrono::steady_clock::now() + 5s;
  while (refused < 3 && std::chrono::steady_clock::now() < end) {
    refused = 0;
    for (const auto& one : waiting) refused += one.wait_for(10ms) == std::future_status::ready;
  }
  EXPECT_EQ(refused, 3);
  relay.Pause(false);
  std::map<int, int> codes;
  for (auto& one : waiting) ++codes[one.get().error_code()];
  EXPECT_EQ(codes, (std::map<int, int>{{grpc::OK, 3}, {grpc::UNAVAILABLE, 3}}));
  EXPECT_TRUE(Arm(*stub, "x").ok());
}

TEST_F(AdminServerTest, StopsUnderLoadWithAnAnswerForEverybody) {
  Relay relay(path_);
  std::atomic<bool> stop = false;
  std::atomic<int> answered = 0, unexpected = 0;
  std::vector<std::thread> clients;
  for (int i = 0; i < 8; ++i) {
    clients.emplace_back([&, i] {
      const auto stub = Stub(relay);
      while (!stop) {
        grpc::ClientContext context;
        context.set_deadline(std::chrono::system_clock::now() + 5s);
        api::ArmCallResponse response;
        const grpc::Status status =
            stub->ArmCall(&context, Of<api::ArmCallRequest>(fmt::format("c{}", i)), &response);
        if (status.ok()) ++answered;
        if (!status.ok() && status.error_code() != grpc::UNAVAILABLE &&
            status.error_code() != grpc::CANCELLED) {
          ++unexpected;
        }
      }
    });
  }
  const auto stub = Stub(relay);
  Watch watch(*stub);
  EXPECT_EQ(watch.Next(), "all standing");
  while (answered < 100) std::this_thread::sleep_for(1ms);
  const auto begin = std::chrono::steady_clock::now();
  relay.Stop();
  EXPECT_LT(std::chrono::steady_clock::now() - begin, 10s);
  EXPECT_EQ(watch.Next(), "");
  EXPECT_EQ(watch.Finish().error_code(), grpc::UNAVAILABLE);
  EXPECT_FALSE(std::filesystem::exists(path_));
  stop = true;
  for (std::thread& client : clients) client.join();
  EXPECT_EQ(unexpected, 0);
}

TEST_F(AdminServerTest, AnEndedWatchIsEndedWhileItIsBeingTold) {
  Relay relay(path_);
  relay.Do([&](relay::Server&) {
    for (int i = 0; i < 2000; ++i) relay.Allocate(fmt::format("call{}/a", i));
  });
  for (int i = 0; i < 50; ++i) {
    const auto stub = Stub(relay);
    Watch watch(*stub);
    for (int j = 0; j < i; ++j) EXPECT_THAT(watch.Next(), HasSubstr("standing"));
  }
  EXPECT_TRUE(Arm(*Stub(relay), "x").ok());
}

class UnixListenerTest : public AdminServerTest {
 protected:
  mode_t Mode() const {
    struct stat st = {};
    EXPECT_EQ(lstat(path_.c_str(), &st), 0);
    return st.st_mode;
  }
};

TEST_F(UnixListenerTest, IsForOwnerAndGroupAlone) {
  const mode_t before = umask(0);
  const auto listener = UnixListener::Open({.path = path_});
  umask(before);
  ASSERT_TRUE(listener.ok()) << listener.status();
  EXPECT_EQ(Mode(), S_IFSOCK | 0660u);
  EXPECT_TRUE(listener->Removable());
}

TEST_F(UnixListenerTest, ReplacesASocketThatIsLeftAndNothingElse) {
  {
    const int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    sockaddr_un address = {};
    address.sun_family = AF_UNIX;
    path_.copy(address.sun_path, path_.size());
    ASSERT_EQ(bind(fd, reinterpret_cast<const sockaddr*>(&address), sizeof(address)), 0);
    close(fd);
  }
  {
    auto listener = UnixListener::Open({.path = path_});
    ASSERT_TRUE(listener.ok()) << listener.status();
    const auto second = UnixListener::Open({.path = path_});
    EXPECT_EQ(second.status().code(), absl::StatusCode::kAlreadyExists) << second.status();
    // Another's socket at this path by then stays.
    std::filesystem::rename(path_, path_ + ".old");
    std::ofstream(path_) << "a file";
    const auto third = UnixListener::Open({.path = path_});
    EXPECT_THAT(std::string(third.status().message()), HasSubstr("is not a socket"));
  }
  EXPECT_TRUE(std::filesystem::is_regular_file(path_));
  const auto nowhere = UnixListener::Open({.path = folder_.Of("none/x.sock")});
  EXPECT_THAT(std::string(nowhere.status().message()), HasSubstr("create its folder"));
}

}  // namespace
}  // namespace sotto::dataplane
