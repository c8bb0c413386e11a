// SPDX-License-Identifier: Apache-2.0
// Explain and Capture as their callers see them: through an AdminServer's socket, with a thread in
// control's place, and bursts of a worker that the test makes.
#include <gmock/gmock.h>

#include "dataplane/observe/fake_explainer.h"
#include "dataplane/observe/fake_relay_view.h"
#include "dataplane/relayd/operator/admin_service.h"
#include "dataplane/relayd/operator/allocation_id.h"
#include "dataplane/relayd/operator/served_relay.h"

namespace sotto::dataplane {
namespace {

namespace api = relay::v1;
using testing::HasSubstr;
using testing::StartsWith;
using namespace std::chrono_literals;

constexpr std::string_view kSectionHeader("\x0a\x0d\x0d\x0a", 4);

RelaydConfig Config() {
  RelaydConfig config;
  config.server = ServedRelay::Options();
  return config;
}

// UDP from `client` to the relay, as far as a capture looks.
std::vector<uint8_t> FrameFrom(const TransportAddress& client) {
  std::vector<uint8_t> frame(1200, 0x5a);
  StoreBe16(&frame[12], 0x0800);
  frame[14] = 0x45;
  frame[20] = frame[21] = 0;
  frame[23] = 17;
  std::copy_n(client.ip.bytes().data(), 4, &frame[26]);
  StoreBe16(&frame[34], client.port);
  return frame;
}

class AdminPacketsTest : public testing::Test {
 protected:
  AdminPacketsTest() {
    AdminServer& admin = relay_.admin();
    admin.Add(std::make_unique<AdminService>(AdminOptions(), view_, explainer_, capture_, running_,
                                             admin.requests()));
    EXPECT_TRUE(relay_.Client("somebody", kClient).Allocate(ServedRelay::kNow).success());
    const auto look = [this](const relay::AllocationInfo& info) {
      explainer_.leg = info.id;
      allocation_ = OperatorId(info);
    };
    relay_.server().ForEachAllocation(0, UINT32_MAX, false, look);
    relay_.Serve();
    stub_ = api::Admin::NewStub(relay_.Connect());
  }
  ~AdminPacketsTest() override { relay_.Stop(); }
  // How a capture ends that is asked for.
  grpc::Status Capture(const api::CaptureRequest& request, api::CaptureChunk* last = nullptr) {
    const auto context = ServedRelay::Context();
    const auto stream = stub_->Capture(context.get(), request);
    api::CaptureChunk chunk;
    while (stream->Read(&chunk)) {
      if (last != nullptr) *last = chunk;
    }
    return stream->Finish();
  }
  // A burst of the worker; false if nobody captures.
  bool Burst(const std::vector<uint8_t>& frame, int packets = 1) {
    CaptureRing* ring = tap_.armed() ? tap_.Hold() : nullptr;
    if (ring == nullptr) return false;
    ring->Begin(1, ++ms_);
    const CapturedPacket packet = {
        .id = &frame, .frame = frame, .size = static_cast<uint32_t>(frame.size()), .port = 0};
    for (int i = 0; i < packets; ++i) ring->Add(packet, CaptureDirection::kReceived);
    ring->End();
    tap_.Release();
    return true;
  }
  void WaitUntil(const std::function<bool()>& condition) {
    for (int i = 0; i < 20'000 && !condition(); ++i) std::this_thread::sleep_for(500us);
    EXPECT_TRUE(condition());
  }

  const TransportAddress kClient = *TransportAddress::Parse("203.0.113.5:40001");
  TestFolder folder_;
  FakeRelayView view_;
  FakeExplainer explainer_;
  CaptureTap tap_;
  std::atomic<uint64_t> tick_ = 0;  // nanoseconds
  PacketCapture capture_{{&tap_}, {{0, "port0"}}, 1600, {.now = [this] {
                           return CaptureMoment{tick_, 1};
                         }}};
  RunningConfig running_ = *RunningConfig::Load("relayd.toml", Config());
  ServedRelay relay_{folder_.Of("relayd.sock")};
  uint64_t allocation_ = 0;
  uint64_t ms_ = 1000;
  std::unique_ptr<api::Admin::Stub> stub_;
};

TEST_F(AdminPacketsTest, AnExplanationIsToldWhole) {
  explainer_.answer = Explanation{.steps = {{"parse", "It is UDP."}, {"verdict", "Sent."}},
                                  .verdict = Explanation::Verdict::kForward,
                                  .path = PacketPath::kFused,
                                  .drop_reason = {},
                                  .frame = {1, 0, 2},
                                  .port = "port1"};
  api::ExplainRequest request;
  request.set_frame(std::string("\0\xff", 2));
  request.set_port("port0");
  api::Explanation answer;
  auto context = ServedRelay::Context();
  ASSERT_TRUE(stub_->Explain(context.get(), request, &answer).ok());
  EXPECT_EQ(explainer_.frame, (std::vector<uint8_t>{0, 0xff}));
  EXPECT_EQ(explainer_.port, "port0");
  EXPECT_EQ(explainer_.leg_name, "allocation " + std::to_string(allocation_));
  ASSERT_EQ(answer.steps_size(), 2);
  EXPECT_EQ(answer.steps(0).what(), "parse");
  EXPECT_EQ(answer.steps(1).text(), "Sent.");
  EXPECT_EQ(answer.verdict(), "forward");
  EXPECT_EQ(answer.path(), "fused");
  EXPECT_EQ(answer.drop_reason(), "");
  EXPECT_EQ(answer.frame(), std::string("\1\0\2", 3));
  EXPECT_EQ(answer.port(), "port1");

  explainer_.answer = Explanation{.steps = {},
                                  .verdict = Explanation::Verdict::kDrop,
                                  .path = {},
                                  .drop_reason = DropReason::kPortClosed,
                                  .frame = {},
                                  .port = {}};
  context = ServedRelay::Context();
  ASSERT_TRUE(stub_->Explain(context.get(), request, &answer).ok());
  EXPECT_EQ(answer.verdict(), "drop");
  EXPECT_EQ(answer.drop_reason(), "port_closed");
  EXPECT_EQ(answer.path(), "");

  explainer_.answer = absl::NotFoundError("there is no port port0");
  context = ServedRelay::Context();
  const grpc::Status status = stub_->Explain(context.get(), request, &answer);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::NOT_FOUND);
  EXPECT_EQ(status.error_message(), "there is no port port0");
}

TEST_F(AdminPacketsTest, ACaptureIsAFileFromItsFirstChunkOn) {
  api::CaptureRequest request;
  request.set_max_packets(2);
  const auto context = ServedRelay::Context();
  const auto stream = stub_->Capture(context.get(), request);
  api::CaptureChunk chunk;
  ASSERT_TRUE(stream->Read(&chunk));
  EXPECT_THAT(chunk.pcapng(), StartsWith(kSectionHeader));
  EXPECT_EQ(chunk.packets(), 0u);
  const std::vector<uint8_t> frame = FrameFrom(kClient);
  ASSERT_TRUE(Burst(frame));
  ASSERT_TRUE(stream->Read(&chunk));
  EXPECT_EQ(chunk.packets(), 1u);
  EXPECT_EQ(chunk.pcapng().find(std::string(13, 0x5a)), std::string::npos) << "payload was kept";
  ASSERT_TRUE(Burst(frame, 3));
  ASSERT_TRUE(stream->Read(&chunk));
  EXPECT_EQ(chunk.packets(), 2u);
  EXPECT_FALSE(stream->Read(&chunk));
  EXPECT_TRUE(stream->Finish().ok());
  EXPECT_FALSE(tap_.armed());
}

TEST_F(AdminPacketsTest, ItEndsByTimeAndTellsWhatItMissed) {
  api::CaptureRequest request;
  request.set_max_seconds(3);
  request.set_payload(true);
  auto ended = std::async([&] {
    api::CaptureChunk last;
    EXPECT_TRUE(Capture(request, &last).ok());
    return last;
  });
  WaitUntil([this] { return tap_.armed(); });
  const std::vector<uint8_t> frame = FrameFrom(kClient);
  Burst(frame, 5000);
  tick_ = 3'000'000'000;
  const api::CaptureChunk last = ended.get();
  EXPECT_GT(last.packets(), 0u);
  EXPECT_EQ(last.packets() + last.missed(), 5000u);
}

TEST_F(AdminPacketsTest, AnAllocationIsItsClient) {
  api::CaptureRequest request;
  request.mutable_filter()->set_allocation(allocation_);
  request.set_max_packets(1);
  auto ended = std::async([&] { return Capture(request); });
  WaitUntil([this] { return tap_.armed(); });
  Burst(FrameFrom(*TransportAddress::Parse("203.0.113.6:40001")));
  Burst(FrameFrom(*TransportAddress::Parse("203.0.113.5:40002")));
  EXPECT_EQ(ended.wait_for(100ms), std::future_status::timeout);
  Burst(FrameFrom(kClient));
  EXPECT_TRUE(ended.get().ok());

  request.mutable_filter()->set_allocation(allocation_ + 1);
  EXPECT_EQ(Capture(request).error_code(), grpc::StatusCode::NOT_FOUND);
}

TEST_F(AdminPacketsTest, WhatCantBeCapturedIsSaid) {
  const auto refused = [this](const std::function<void(api::CaptureRequest&)>& set) {
    api::CaptureRequest request;
    set(request);
    const grpc::Status status = Capture(request);
    EXPECT_EQ(status.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
    return status.error_message();
  };
  EXPECT_THAT(refused([](auto& r) { r.set_max_packets(1'000'001); }), StartsWith("max_packets"));
  EXPECT_THAT(refused([](auto& r) { r.set_max_seconds(3601); }), StartsWith("max_seconds"));
  EXPECT_THAT(refused([](auto& r) { r.mutable_filter()->set_host("here"); }),
              StartsWith("filter.host"));
  EXPECT_THAT(refused([](auto& r) { r.mutable_filter()->set_udp_port(65536); }),
              StartsWith("filter.udp_port"));
  EXPECT_THAT(refused([](auto& r) { r.mutable_filter()->set_drop_reason("bored"); }),
              HasSubstr("there is no reason bored"));
  EXPECT_THAT(
      refused([](auto& r) {
        r.mutable_filter()->set_direction(static_cast<api::CaptureRequest::Filter::Direction>(7));
      }),
      StartsWith("filter.direction"));
  EXPECT_FALSE(tap_.armed());
}

TEST_F(AdminPacketsTest, OneAtATimeAndTheNextWhenItIsCancelled) {
  const auto context = ServedRelay::Context();
  const auto stream = stub_->Capture(context.get(), {});
  api::CaptureChunk chunk;
  ASSERT_TRUE(stream->Read(&chunk));
  EXPECT_EQ(Capture({}).error_code(), grpc::StatusCode::FAILED_PRECONDITION);
  context->TryCancel();
  WaitUntil([this] { return !tap_.armed(); });
  EXPECT_EQ(stream->Finish().error_code(), grpc::StatusCode::CANCELLED);
  api::CaptureRequest request;
  request.set_max_packets(1);
  // The one that was cancelled may take a moment to go.
  grpc::Status status;
  std::thread next([&] {
    do {
      status = Capture(request);
    } while (status.error_code() == grpc::StatusCode::FAILED_PRECONDITION);
  });
  const std::vector<uint8_t> frame = FrameFrom(kClient);
  WaitUntil([&] { return Burst(frame); });
  next.join();
  EXPECT_TRUE(status.ok()) << status.error_message();
}

// A reader that takes nothing: the worker goes on, and misses what there is no room for.
TEST_F(AdminPacketsTest, AReaderThatStallsCostsPacketsAlone) {
  api::CaptureRequest request;
  request.set_payload(true);
  request.set_max_packets(1'000'000);
  const auto context = ServedRelay::Context();
  const auto stream = stub_->Capture(context.get(), request);
  WaitUntil([this] { return tap_.armed(); });
  const std::vector<uint8_t> frame = FrameFrom(kClient);
  constexpr int kBursts = 20'000;
  for (int i = 0; i < kBursts; ++i) {
    ASSERT_TRUE(Burst(frame));
    if (i % 100 == 0) std::this_thread::sleep_for(1ms);
  }
  api::CaptureChunk chunk;
  uint64_t bytes = 0;
  do {
    ASSERT_TRUE(stream->Read(&chunk));
    bytes += chunk.pcapng().size();
    EXPECT_LE(chunk.pcapng().size(), CaptureSession::kChunkSize + 2048);
  } while (chunk.packets() + chunk.missed() < kBursts);
  EXPECT_GT(chunk.missed(), 0u);
  EXPECT_GT(bytes, chunk.packets() * frame.size());
  context->TryCancel();
  EXPECT_EQ(stream->Finish().error_code(), grpc::StatusCode::CANCELLED);
}

TEST_F(AdminPacketsTest, AStoppingRelayEndsItWithWhatThereIs) {
  const auto context = ServedRelay::Context();
  const auto stream = stub_->Capture(context.get(), {});
  api::CaptureChunk chunk;
  ASSERT_TRUE(stream->Read(&chunk));
  Burst(FrameFrom(kClient));
  relay_.Stop();
  while (stream->Read(&chunk)) {
  }
  EXPECT_EQ(chunk.packets(), 1u);
  const grpc::Status status = stream->Finish();
  EXPECT_EQ(status.error_code(), grpc::StatusCode::UNAVAILABLE);
  // It ended by itself: the stop would have cut it off after a while, without a word.
  EXPECT_THAT(status.error_message(), HasSubstr("stopping"));
}

}  // namespace
}  // namespace sotto::dataplane
