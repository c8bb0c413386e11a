// SPDX-License-Identifier: Apache-2.0
#include "tools/phone/media_flow.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <deque>
#include <functional>
#include <memory>

namespace sotto::tools {
namespace {

constexpr uint64_t kMs = 1'000'000;
constexpr uint64_t kLatencyNs = 3 * kMs;
constexpr uint64_t kRealtimeNs = 1'767'225'600'000'000'000;

// Two flows on a network of 3 ms in virtual time; `network` may drop, change or double packets.
class MediaFlowTest : public ::testing::Test {
 protected:
  using Packet = std::vector<uint8_t>;
  using Network = std::function<std::vector<Packet>(Packet)>;

  void Start(MediaFlowOptions a, MediaFlowOptions b) {
    const BoxKeyPair caller = MakeBoxKeyPair(), recipient = MakeBoxKeyPair();
    const auto make = [&](CallSide side, const MediaFlowOptions& options) {
      const bool first = side == CallSide::kCaller;
      auto cipher = MediaCipher::Make(side, first ? caller : recipient,
                                      (first ? recipient : caller).public_key, {});
      return std::make_unique<MediaFlow>(
          options, *std::move(cipher), [this, first](std::span<const uint8_t> bytes) {
            for (Packet& p : network_({bytes.begin(), bytes.end()})) {
              wire_.push_back({now_ns_ + kLatencyNs, first ? size_t{1} : 0, std::move(p)});
            }
          });
    };
    flows_[0] = make(CallSide::kCaller, a);
    flows_[1] = make(CallSide::kRecipient, b);
  }
  // Until both have finished; false if they don't within 60 s.
  bool Run(uint64_t second_begins_ns = 0) {
    for (; now_ns_ < 60'000 * kMs; now_ns_ += kMs) {
      while (!wire_.empty() && wire_.front().due_ns <= now_ns_) {
        const auto packet = wire_.front();
        wire_.pop_front();
        if (packet.to == 1 && now_ns_ < second_begins_ns) continue;  // no channel yet
        flows_[packet.to]->OnPacket(packet.bytes, kRealtimeNs + now_ns_, now_ns_);
      }
      for (size_t i = 0; i < 2; ++i) {
        if (i == 1 && now_ns_ < second_begins_ns) continue;
        if (flows_[i]->deadline_ns() <= now_ns_) flows_[i]->Poll(now_ns_, kRealtimeNs + now_ns_);
      }
      if (flows_[0]->finished() && flows_[1]->finished()) return true;
    }
    return false;
  }

  struct InFlight {
    uint64_t due_ns;
    size_t to;
    Packet bytes;
  };
  Network network_ = [](Packet packet) { return std::vector<Packet>{std::move(packet)}; };
  std::deque<InFlight> wire_;
  uint64_t now_ns_ = 0;
  std::unique_ptr<MediaFlow> flows_[2];
};

TEST_F(MediaFlowTest, EverythingArrives) {
  Start({.pps = 50, .payload = 160, .seconds = 2}, {.pps = 50, .payload = 160, .seconds = 2});
  ASSERT_TRUE(Run());
  for (const auto& flow : flows_) {
    const MediaReport& report = flow->report();
    EXPECT_EQ(report.sent, 100u);
    EXPECT_EQ(report.received, 100u);
    EXPECT_EQ(report.peer_sent, 100u);
    EXPECT_EQ(report.lost(), 0u);
    EXPECT_EQ(report.corrupted, 0u);
    EXPECT_EQ(report.latency.count(), 100u);
    EXPECT_EQ(report.latency.max(), kLatencyNs);
  }
}

TEST_F(MediaFlowTest, ASideThatComesLaterLosesNothing) {
  Start({.seconds = 1}, {.seconds = 1});
  ASSERT_TRUE(Run(700 * kMs));
  EXPECT_EQ(flows_[0]->report().lost(), 0u);
  EXPECT_EQ(flows_[1]->report().lost(), 0u);
  EXPECT_EQ(flows_[1]->report().received, 50u);
}

TEST_F(MediaFlowTest, WithoutATimeItEndsWithTheOther) {
  Start({.seconds = 1}, {.seconds = 0});
  ASSERT_TRUE(Run());
  EXPECT_EQ(flows_[1]->report().peer_sent, 50u);
  EXPECT_NEAR(static_cast<double>(flows_[1]->report().sent), 50, 5);
  EXPECT_EQ(flows_[0]->report().lost(), 0u);
}

TEST_F(MediaFlowTest, CountsWhatIsLostToThePacket) {
  int media = 0;
  Start({.seconds = 2}, {.seconds = 2});
  network_ = [&](Packet packet) {
    // Media of 160 bytes; the last ones too, which no later one would betray.
    const bool drop = packet.size() == 160 && (++media % 10 == 0 || media > 195);
    return drop ? std::vector<Packet>{} : std::vector<Packet>{std::move(packet)};
  };
  ASSERT_TRUE(Run());
  const MediaReport &a = flows_[0]->report(), &b = flows_[1]->report();
  EXPECT_EQ(a.sent + b.sent, 200u);
  EXPECT_EQ(a.lost() + b.lost(), 19u + 5u);
  EXPECT_EQ(a.received + b.received, 200u - 24u);
}

TEST_F(MediaFlowTest, CountsWhatIsChangedDoubledAndReordered) {
  int media = 0;
  Packet held;
  Start({.payload = 200, .seconds = 2}, {.payload = 160, .seconds = 0});
  network_ = [&](Packet packet) -> std::vector<Packet> {
    if (packet.size() != 200) return {packet};  // the caller's media alone
    switch (++media % 50) {
      case 10:
        packet[100] ^= 1;
        return {packet};
      case 20:
        return {packet, packet};
      case 30:
        held = packet;
        return {};
      case 32:
        return {packet, held};
      default:
        return {packet};
    }
  };
  ASSERT_TRUE(Run());
  const MediaReport& report = flows_[1]->report();
  EXPECT_EQ(report.peer_sent, 100u);
  EXPECT_EQ(report.corrupted, 2u);
  EXPECT_EQ(report.duplicated, 2u);
  EXPECT_EQ(report.reordered, 2u);
  EXPECT_EQ(report.received, 98u);
  EXPECT_EQ(report.lost(), 2u);
  EXPECT_EQ(flows_[0]->report().lost(), 0u);
}

TEST_F(MediaFlowTest, SilentPeerEndsIt) {
  Start({.seconds = 1}, {.seconds = 1});
  network_ = [&](Packet packet) {
    return now_ns_ > 500 * kMs ? std::vector<Packet>{} : std::vector<Packet>{packet};
  };
  ASSERT_TRUE(Run());
  EXPECT_FALSE(flows_[0]->report().peer_sent.has_value());
  EXPECT_LT(now_ns_, 5'000 * kMs);
}

TEST_F(MediaFlowTest, EndsWhenTold) {
  Start({.seconds = 0}, {.seconds = 0});
  for (; now_ns_ < 1000 * kMs; now_ns_ += kMs) {
    while (!wire_.empty() && wire_.front().due_ns <= now_ns_) {
      flows_[wire_.front().to]->OnPacket(wire_.front().bytes, kRealtimeNs, now_ns_);
      wire_.pop_front();
    }
    for (auto& flow : flows_) flow->Poll(now_ns_, kRealtimeNs);
  }
  flows_[1]->End();
  ASSERT_TRUE(Run());
  EXPECT_GT(flows_[0]->report().received, 40u);
  EXPECT_EQ(flows_[0]->report().lost(), 0u);
}

TEST_F(MediaFlowTest, NoiseIsCountedAndChangesNothing) {
  Start({.seconds = 1}, {.seconds = 1});
  for (const size_t size : {0u, 1u, 24u, 48u, 160u}) {
    flows_[0]->OnPacket(Packet(size, 0xff), kRealtimeNs, 0);
  }
  EXPECT_EQ(flows_[0]->report().corrupted, 5u);
  EXPECT_FALSE(flows_[0]->heard());
}

}  // namespace
}  // namespace sotto::tools
