// SPDX-License-Identifier: Apache-2.0
#include "signaling/session/session.h"

#include <gtest/gtest.h>

#include <deque>
#include <map>
#include <random>
#include <string>

namespace sotto::signaling {
namespace {

// An event whose content is told by its number.
api::ServerFrame Event(uint64_t number, size_t size = 16) {
  api::ServerFrame frame;
  std::string body = std::to_string(number);
  body.resize(size, '.');
  frame.mutable_from_peer()->set_body(body);
  return frame;
}

api::ServerFrame Parse(const std::string& bytes) {
  api::ServerFrame frame;
  EXPECT_TRUE(frame.ParseFromString(bytes));
  return frame;
}

TEST(Outbox, NumbersFramesAndKeepsThemUntilTheyAreAcknowledged) {
  Outbox outbox;
  EXPECT_EQ(outbox.Add(Event(1)), 1u);
  EXPECT_EQ(outbox.Add(Event(2)), 2u);
  EXPECT_EQ(outbox.Add(Event(3)), 3u);
  EXPECT_EQ(outbox.first_kept(), 1u);
  EXPECT_TRUE(outbox.Acknowledge(2));
  EXPECT_EQ(outbox.first_kept(), 3u);
  EXPECT_EQ(outbox.end(), 4u);
  EXPECT_TRUE(outbox.Acknowledge(1)) << "late, and says nothing new";
  EXPECT_EQ(outbox.first_kept(), 3u);
  EXPECT_TRUE(outbox.Acknowledge(3));
  EXPECT_EQ(outbox.first_kept(), outbox.end());
  EXPECT_EQ(outbox.kept_bytes(), 0u);
  EXPECT_FALSE(outbox.Acknowledge(4)) << "never sent";
}

TEST(Outbox, EncodesTheAckOfTheMoment) {
  Outbox outbox;
  api::ServerFrame frame = Event(7);
  frame.set_request(5);
  frame.set_ack(99);
  outbox.Add(frame);
  for (const uint64_t ack : {uint64_t{0}, uint64_t{1}, uint64_t{300}, UINT64_MAX}) {
    const api::ServerFrame sent = Parse(outbox.Encode(1, ack));
    EXPECT_EQ(sent.ack(), ack);
    EXPECT_EQ(sent.seq(), 1u);
    EXPECT_EQ(sent.request(), 5u);
    EXPECT_EQ(sent.from_peer().body(), frame.from_peer().body());
  }
}

TEST(Outbox, HoldsAsManyFramesAsItMay) {
  Outbox outbox;
  for (size_t i = 1; i <= kMaxKeptFrames; ++i) ASSERT_TRUE(outbox.Add(Event(i)).has_value());
  EXPECT_FALSE(outbox.Add(Event(0)).has_value());
  EXPECT_TRUE(outbox.Acknowledge(1));
  EXPECT_EQ(outbox.Add(Event(0)), kMaxKeptFrames + 1);
}

TEST(Outbox, HoldsAsManyBytesAsItMay) {
  Outbox outbox;
  constexpr size_t kSize = 16 * 1024;
  size_t frames = 0;
  while (outbox.Add(Event(frames, kSize)).has_value()) ++frames;
  EXPECT_EQ(frames, kMaxKeptBytes / kSize - 1) << "each has some bytes of its own";
  EXPECT_LE(outbox.kept_bytes(), kMaxKeptBytes);
}

TEST(Inbox, TakesEachFrameOnceAndInOrder) {
  Inbox inbox;
  EXPECT_EQ(inbox.Take(1), Inbox::Arrival::kNext);
  EXPECT_EQ(inbox.Take(1), Inbox::Arrival::kAgain);
  EXPECT_EQ(inbox.Take(3), Inbox::Arrival::kGap);
  EXPECT_EQ(inbox.seen(), 1u);
  EXPECT_EQ(inbox.Take(2), Inbox::Arrival::kNext);
  EXPECT_EQ(inbox.Take(3), Inbox::Arrival::kNext);
  EXPECT_EQ(inbox.Take(UINT64_MAX), Inbox::Arrival::kGap);
  EXPECT_EQ(inbox.seen(), 3u);
}

TEST(FrameBudget, AllowsABurstAndThenARate) {
  FrameBudget budget(10, 5);
  uint64_t now = 1'000'000;
  for (int i = 0; i < 5; ++i) EXPECT_TRUE(budget.Take(now));
  EXPECT_FALSE(budget.Take(now));
  EXPECT_FALSE(budget.Take(now + 99));
  EXPECT_TRUE(budget.Take(now + 100));
  EXPECT_FALSE(budget.Take(now + 100));
  now += 1'000'000;  // a pause is worth no more than a burst
  for (int i = 0; i < 5; ++i) EXPECT_TRUE(budget.Take(now));
  EXPECT_FALSE(budget.Take(now));
}

// A client as docs/protocol.md describes it, with nothing of the server's code.
struct ModelClient {
  uint64_t sent = 0;
  uint64_t seen = 0;
  std::map<uint64_t, uint64_t> kept;  // seq to content
  std::vector<uint64_t> received;     // contents
};

struct OnTheWire {
  uint64_t seq = 0;
  uint64_t ack = 0;
  uint64_t content = 0;
};

// Two ends of a session on connections that break at any time, with what is under way lost.
class Walk {
 public:
  explicit Walk(uint64_t seed) : random_(seed) {}

  void Run(int steps) {
    Connect();
    for (int i = 0; i < steps; ++i) Step();
    // In the end everything arrives.
    Connect();
    while (!to_client_.empty() || !to_server_.empty()) {
      if (!to_client_.empty()) DeliverToClient();
      if (!to_server_.empty()) DeliverToServer();
    }
    Expect(client_.received, events_);
    Expect(server_received_, requests_);
  }

 private:
  static void Expect(const std::vector<uint64_t>& received, uint64_t sent) {
    ASSERT_EQ(received.size(), sent);
    for (uint64_t i = 0; i < sent; ++i) ASSERT_EQ(received[i], i);
  }

  void Step() {
    switch (random_() % 12) {
      case 0:
        if (random_() % 4 == 0) Drop();
        break;
      case 1:
        if (!connected_) Connect();
        break;
      case 2:
      case 3:
        SendEvent();
        break;
      case 4:
      case 5:
        SendRequest();
        break;
      default:
        if (random_() % 2 == 0) {
          if (!to_client_.empty()) DeliverToClient();
        } else if (!to_server_.empty()) {
          DeliverToServer();
        }
    }
  }

  void Drop() {
    connected_ = false;
    to_client_.clear();
    to_server_.clear();
  }

  // Hello with the client's ack, Welcome with the server's; then both send again what is left.
  void Connect() {
    Drop();
    connected_ = true;
    ASSERT_TRUE(outbox_.Acknowledge(client_.seen));
    std::erase_if(client_.kept, [&](const auto& frame) { return frame.first <= inbox_.seen(); });
    for (uint64_t seq = outbox_.first_kept(); seq < outbox_.end(); ++seq) ToClient(seq);
    for (const auto& [seq, content] : client_.kept) {
      to_server_.push_back({.seq = seq, .ack = client_.seen, .content = content});
    }
  }

  void ToClient(uint64_t seq) { to_client_.push_back(outbox_.Encode(seq, inbox_.seen())); }

  void SendEvent() {
    if (outbox_.end() - outbox_.first_kept() == kMaxKeptFrames) return;
    const std::optional<uint64_t> seq = outbox_.Add(Event(events_++));
    ASSERT_TRUE(seq.has_value());
    if (connected_) ToClient(*seq);
  }

  void SendRequest() {
    client_.kept[++client_.sent] = requests_;
    if (connected_) {
      to_server_.push_back({.seq = client_.sent, .ack = client_.seen, .content = requests_});
    }
    ++requests_;
  }

  void DeliverToClient() {
    const api::ServerFrame frame = Parse(to_client_.front());
    to_client_.pop_front();
    std::erase_if(client_.kept, [&](const auto& kept) { return kept.first <= frame.ack(); });
    if (frame.seq() <= client_.seen) return;
    ASSERT_EQ(frame.seq(), client_.seen + 1) << "a gap";
    client_.seen = frame.seq();
    client_.received.push_back(std::stoull(frame.from_peer().body()));
  }

  void DeliverToServer() {
    const OnTheWire frame = to_server_.front();
    to_server_.pop_front();
    ASSERT_TRUE(outbox_.Acknowledge(frame.ack));
    const Inbox::Arrival arrival = inbox_.Take(frame.seq);
    ASSERT_NE(arrival, Inbox::Arrival::kGap);
    if (arrival == Inbox::Arrival::kNext) server_received_.push_back(frame.content);
  }

  std::mt19937_64 random_;
  bool connected_ = false;
  Outbox outbox_;
  Inbox inbox_;
  ModelClient client_;
  std::deque<std::string> to_client_;
  std::deque<OnTheWire> to_server_;
  uint64_t events_ = 0;
  uint64_t requests_ = 0;
  std::vector<uint64_t> server_received_;
};

TEST(Session, EachFrameArrivesOnceAndInOrderWhereverConnectionsBreak) {
  for (uint64_t seed = 0; seed < 300; ++seed) {
    SCOPED_TRACE(seed);
    Walk(seed).Run(2000);
    if (HasFatalFailure()) return;
  }
}

}  // namespace
}  // namespace sotto::signaling
