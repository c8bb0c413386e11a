// SPDX-License-Identifier: Apache-2.0
#include "tools/signaling_client/client.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <deque>
#include <random>

namespace sotto::tools {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr uint32_t kHeartbeatS = 30;

struct Recorder : Client::Listener {
  void OnWelcome(const api::Welcome&, bool resumed) override { welcomes.push_back(resumed); }
  void OnEvent(const api::ServerFrame& frame) override {
    events.push_back(frame.incoming_call().caller());
  }
  std::vector<bool> welcomes;
  std::vector<std::string> events;
};

api::ClientFrame GetKeys(const std::string& account) {
  api::ClientFrame frame;
  frame.mutable_get_keys()->set_account(account);
  return frame;
}

api::ServerFrame Event(uint64_t seq, const std::string& caller, uint64_t ack = 0) {
  api::ServerFrame frame;
  frame.set_seq(seq);
  frame.set_ack(ack);
  frame.mutable_incoming_call()->set_caller(caller);
  return frame;
}

api::ServerFrame Keys(uint64_t seq, uint64_t request) {
  api::ServerFrame frame;
  frame.set_seq(seq);
  frame.set_ack(request);
  frame.set_request(request);
  frame.mutable_keys();
  return frame;
}

class ClientTest : public ::testing::Test {
 protected:
  std::vector<api::ClientFrame> Sent() { return std::exchange(sent_, {}); }
  absl::Status Take(const api::ServerFrame& frame) {
    return client_.OnFrame(frame.SerializeAsString(), now_ms_);
  }
  absl::Status Welcome(bool resumed = false, uint64_t ack = 0) {
    api::ServerFrame frame;
    frame.set_ack(ack);
    auto& welcome = *frame.mutable_welcome();
    welcome.set_session(std::string(32, 's'));
    welcome.set_resumed(resumed);
    welcome.set_heartbeat_s(kHeartbeatS);
    welcome.set_server_time_ms(1'000'000);
    return Take(frame);
  }
  void Connect() {
    client_.OnConnected(now_ms_);
    ASSERT_TRUE(Welcome().ok());
    Sent();
  }
  void Reconnect() {
    client_.OnDisconnected();
    client_.OnConnected(now_ms_);
  }
  void Ask(const std::string& account) {
    client_.Request(GetKeys(account), now_ms_, [this, account](const auto& answer) {
      answers_.push_back(account +
                         (answer.ok() ? "" : ": " + std::string(answer.status().message())));
    });
  }

  uint64_t now_ms_ = 5000;
  std::vector<api::ClientFrame> sent_;
  std::vector<std::string> answers_;
  Recorder recorder_;
  Client client_{{.identity = "jwt", .device = {1, 2, 3}, .notice_key = {4}},
                 recorder_,
                 [this](std::string_view bytes) {
                   api::ClientFrame frame;
                   ASSERT_TRUE(frame.ParseFromArray(bytes.data(), static_cast<int>(bytes.size())));
                   sent_.push_back(frame);
                 }};
};

TEST_F(ClientTest, SaysHelloFirst) {
  client_.OnConnected(now_ms_);
  const auto sent = Sent();
  ASSERT_EQ(sent.size(), 1u);
  EXPECT_EQ(sent[0].seq(), 0u);
  EXPECT_EQ(sent[0].hello().identity(), "jwt");
  EXPECT_EQ(sent[0].hello().device().size(), 16u);
  EXPECT_EQ(sent[0].hello().notice_key().size(), 32u);
  EXPECT_THAT(sent[0].hello().resume(), IsEmpty());
}

TEST_F(ClientTest, RequestsWaitForWelcomeAndAreNumbered) {
  Ask("a");
  client_.OnConnected(now_ms_);
  Ask("b");
  EXPECT_EQ(Sent().size(), 1u);  // Hello
  ASSERT_TRUE(Welcome().ok());
  Ask("c");
  const auto sent = Sent();
  ASSERT_EQ(sent.size(), 3u);
  for (size_t i = 0; i < 3; ++i) {
    EXPECT_EQ(sent[i].seq(), i + 1);
    EXPECT_EQ(sent[i].get_keys().account(), std::string(1, static_cast<char>('a' + i)));
  }
  ASSERT_TRUE(Take(Keys(1, 2)).ok());
  ASSERT_TRUE(Take(Keys(2, 1)).ok());
  EXPECT_THAT(answers_, ElementsAre("b", "a"));
  EXPECT_EQ(client_.open_requests(), 1u);
}

TEST_F(ClientTest, RefusalsAreErrorsWithTheServersSentence) {
  Connect();
  Ask("a");
  api::ServerFrame frame;
  frame.set_seq(1);
  frame.set_request(1);
  frame.mutable_refused()->set_code(api::Refused::CODE_TOO_MANY);
  frame.mutable_refused()->set_text("Enough.");
  ASSERT_TRUE(Take(frame).ok());
  ASSERT_EQ(answers_.size(), 1u);
  EXPECT_THAT(answers_[0], HasSubstr("Enough."));
}

TEST_F(ClientTest, ResumesAndSendsAgainWhatTheServerHasNotSeen) {
  Connect();
  ASSERT_TRUE(Take(Event(1, "x")).ok());
  Ask("a");
  Ask("b");
  Ask("c");
  Sent();
  Reconnect();
  auto sent = Sent();
  ASSERT_EQ(sent.size(), 1u);
  EXPECT_EQ(sent[0].hello().resume(), std::string(32, 's'));
  EXPECT_EQ(sent[0].ack(), 1u);
  ASSERT_TRUE(Welcome(true, 1).ok());
  sent = Sent();
  ASSERT_EQ(sent.size(), 2u);
  EXPECT_EQ(sent[0].seq(), 2u);
  EXPECT_EQ(sent[0].get_keys().account(), "b");
  EXPECT_EQ(sent[1].seq(), 3u);
  // What was seen before comes once.
  ASSERT_TRUE(Take(Event(1, "x")).ok());
  ASSERT_TRUE(Take(Event(2, "y")).ok());
  EXPECT_THAT(recorder_.events, ElementsAre("x", "y"));
  ASSERT_TRUE(Take(Keys(3, 1)).ok());
  EXPECT_THAT(answers_, ElementsAre("a"));
  EXPECT_THAT(recorder_.welcomes, ElementsAre(false, true));
}

TEST_F(ClientTest, NewSessionMakesOpenRequestsAgainFromOne) {
  Connect();
  Ask("a");
  Ask("b");
  ASSERT_TRUE(Take(Keys(1, 1)).ok());
  Reconnect();
  Sent();
  ASSERT_TRUE(Welcome(false).ok());
  const auto sent = Sent();
  ASSERT_EQ(sent.size(), 1u);
  EXPECT_EQ(sent[0].seq(), 1u);
  EXPECT_EQ(sent[0].ack(), 0u);
  EXPECT_EQ(sent[0].get_keys().account(), "b");
  ASSERT_TRUE(Take(Keys(1, 1)).ok());
  EXPECT_THAT(answers_, ElementsAre("a", "b"));
}

TEST_F(ClientTest, FramesThatAreNoneEndTheConnection) {
  Connect();
  EXPECT_FALSE(client_.OnFrame("\xff\xff", now_ms_).ok());
  EXPECT_FALSE(Take(api::ServerFrame()).ok());
  EXPECT_FALSE(Take(Event(2, "gap")).ok());
  EXPECT_FALSE(Take(Event(0, "unnumbered")).ok());
  EXPECT_FALSE(Take(Event(1, "acknowledges the future", 1)).ok());
  EXPECT_FALSE(Welcome().ok()) << "a second one";
  EXPECT_THAT(recorder_.events, IsEmpty());
}

TEST_F(ClientTest, NothingCountsBeforeWelcome) {
  client_.OnConnected(now_ms_);
  EXPECT_FALSE(Take(Event(1, "x")).ok());
  EXPECT_FALSE(Welcome(true).ok()) << "resumes what never was";
}

TEST_F(ClientTest, AcknowledgesAtTheLatestWithEvery32ndFrame) {
  Connect();
  uint64_t acknowledged = 0;
  for (uint64_t seq = 1; seq <= 100; ++seq) {
    ASSERT_TRUE(Take(Event(seq, "x")).ok());
    for (const auto& frame : Sent()) {
      EXPECT_TRUE(frame.has_ping());
      acknowledged = frame.ack();
    }
    EXPECT_LT(seq - acknowledged, 32u);
  }
}

TEST_F(ClientTest, SendsAHeartbeatInTime) {
  Connect();
  const uint64_t began = now_ms_;
  uint64_t last = now_ms_;
  for (int i = 0; i < 10; ++i) {
    now_ms_ = client_.deadline_ms();
    ASSERT_TRUE(client_.Poll(now_ms_).ok());
    const auto sent = Sent();
    ASSERT_EQ(sent.size(), 1u);
    EXPECT_TRUE(sent[0].has_ping());
    EXPECT_EQ(sent[0].seq(), 0u);
    EXPECT_LE(now_ms_ - last, kHeartbeatS * 1000u);
    last = now_ms_;
    api::ServerFrame pong;
    pong.mutable_pong();
    ASSERT_TRUE(Take(pong).ok());
  }
  EXPECT_GE(now_ms_ - began, 10 * kHeartbeatS * 1000u / 2);
}

TEST_F(ClientTest, SilentServerIsGoneAfterTwoHeartbeats) {
  Connect();
  const uint64_t began = now_ms_;
  absl::Status status;
  while (status.ok()) {
    now_ms_ = client_.deadline_ms();
    ASSERT_LE(now_ms_ - began, 2 * kHeartbeatS * 1000u);
    status = client_.Poll(now_ms_);
  }
  EXPECT_EQ(now_ms_ - began, 2 * kHeartbeatS * 1000u);
}

TEST_F(ClientTest, SilenceAfterHelloEnds) {
  client_.OnConnected(now_ms_);
  ASSERT_TRUE(client_.Poll(client_.deadline_ms() - 1).ok());
  EXPECT_FALSE(client_.Poll(client_.deadline_ms()).ok());
}

TEST_F(ClientTest, OpenRequestsAreBounded) {
  for (size_t i = 0; i <= Client::kMaxRequests; ++i) Ask("a");
  EXPECT_EQ(client_.open_requests(), Client::kMaxRequests);
  ASSERT_EQ(answers_.size(), 1u);
  EXPECT_THAT(answers_[0], HasSubstr("wait"));
}

// A server that keeps sessions as docs/protocol.md says, over a network that loses connections at
// any moment, with what was under way.
class ServerModel {
 public:
  void Disconnect() {
    greeted_ = false;
    to_client_.clear();
  }
  void ForgetSession() {
    ++generation_;
    seq_ = seen_ = 0;
    unacknowledged_.clear();
  }
  void Push(api::ServerFrame frame) {
    frame.set_seq(++seq_);
    unacknowledged_.push_back(frame);
    if (greeted_) SendOut(frame);
  }
  void Take(const api::ClientFrame& frame) {
    if (frame.has_hello()) {
      const std::string name = "session " + std::to_string(generation_);
      const bool resumed = frame.hello().resume() == name;
      if (!resumed) ForgetSession();
      Acknowledge(resumed ? frame.ack() : 0);
      greeted_ = true;
      api::ServerFrame welcome;
      welcome.mutable_welcome()->set_session("session " + std::to_string(generation_));
      welcome.mutable_welcome()->set_resumed(resumed);
      welcome.mutable_welcome()->set_heartbeat_s(kHeartbeatS);
      SendOut(welcome);
      for (const auto& again : unacknowledged_) SendOut(again);
      return;
    }
    Acknowledge(frame.ack());
    if (frame.seq() == 0) return;
    ASSERT_LE(frame.seq(), seen_ + 1) << "a gap";
    if (frame.seq() <= seen_) return;
    seen_ = frame.seq();
    handled.push_back(frame.get_keys().account());
    api::ServerFrame answer;
    answer.set_request(frame.seq());
    answer.mutable_keys();
    Push(answer);
  }

  std::vector<std::string> handled;
  std::deque<std::string> to_client_;

 private:
  void Acknowledge(uint64_t ack) {
    while (!unacknowledged_.empty() && unacknowledged_.front().seq() <= ack) {
      unacknowledged_.pop_front();
    }
  }
  void SendOut(api::ServerFrame frame) {
    frame.set_ack(seen_);
    to_client_.push_back(frame.SerializeAsString());
  }

  int generation_ = 0;
  bool greeted_ = false;
  uint64_t seq_ = 0, seen_ = 0;
  std::deque<api::ServerFrame> unacknowledged_;
};

TEST(ClientWalkTest, NothingIsLostOrDoubledOverLostConnections) {
  for (uint32_t seed = 0; seed < 300; ++seed) {
    std::mt19937 random(seed);
    ServerModel server;
    std::deque<std::string> to_server;
    Recorder recorder;
    Client client({.identity = "jwt"}, recorder,
                  [&](std::string_view bytes) { to_server.emplace_back(bytes); });
    int asked = 0, pushed = 0;
    std::vector<int> answers(400, 0);
    uint64_t now_ms = 0;
    const auto pump = [&](bool all) {
      // Frames cross one by one, so that a connection can be lost between any two.
      for (uint32_t n = all ? 100'000 : random() % 4; n > 0; --n) {
        if (!to_server.empty()) {
          api::ClientFrame frame;
          ASSERT_TRUE(frame.ParseFromString(to_server.front()));
          to_server.pop_front();
          server.Take(frame);
        }
        if (!server.to_client_.empty()) {
          const std::string bytes = server.to_client_.front();
          server.to_client_.pop_front();
          ASSERT_TRUE(client.OnFrame(bytes, now_ms).ok());
        }
        if (to_server.empty() && server.to_client_.empty()) break;
      }
    };
    client.OnConnected(now_ms);
    pump(true);
    for (int step = 0; step < 600; ++step) {
      ++now_ms;
      switch (random() % 8) {
        case 0:
          client.OnDisconnected();
          server.Disconnect();
          to_server.clear();
          break;
        case 1:
        case 2:
          if (client.phase() == Client::Phase::kOffline) {
            client.OnConnected(now_ms);
          }
          break;
        case 3:
          if (asked < 400) {
            const int number = asked++;
            client.Request(GetKeys(std::to_string(number)), now_ms,
                           [&answers, number](const auto& answer) {
                             answers[number] += answer.ok() ? 1 : 100;
                           });
          }
          break;
        case 4:
          server.Push(Event(0, std::to_string(pushed++)));
          break;
        default:
          pump(false);
      }
    }
    client.OnDisconnected();
    server.Disconnect();
    to_server.clear();
    client.OnConnected(now_ms);
    pump(true);
    ASSERT_EQ(recorder.events.size(), static_cast<size_t>(pushed)) << "seed " << seed;
    for (int i = 0; i < pushed; ++i) ASSERT_EQ(recorder.events[i], std::to_string(i));
    ASSERT_EQ(server.handled.size(), static_cast<size_t>(asked)) << "seed " << seed;
    for (int i = 0; i < asked; ++i) {
      ASSERT_EQ(server.handled[i], std::to_string(i));
      ASSERT_EQ(answers[i], 1) << "seed " << seed;
    }
  }
}

}  // namespace
}  // namespace sotto::tools
