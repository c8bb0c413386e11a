// SPDX-License-Identifier: Apache-2.0
#include "tools/loadgen/wire/legs.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <deque>
#include <map>

#include "relay/stun/message.h"
#include "tools/loadgen/wire/plan.h"

namespace sotto::tools {
namespace {

using relay::StunAttributeType;
using relay::StunBuilder;
using relay::StunClass;
using relay::StunMessage;
using relay::StunMethod;
using ::testing::HasSubstr;

// A server that trusts everybody, and answers when it is told to.
class WireLegsTest : public ::testing::Test {
 protected:
  struct Request {
    uint32_t leg;
    std::vector<uint8_t> bytes;
  };
  struct Bound {
    uint16_t channel;
    TransportAddress peer;
  };

  WireLegs& Start(uint32_t legs, uint32_t window, bool allocate_only = false) {
    WireLegsOptions options;
    options.server = TransportAddress::Parse("192.0.2.10:3478").value();
    options.legs = legs;
    options.credentials = {"demo", "a password"};
    options.window = window;
    options.allocate_only = allocate_only;
    legs_ =
        std::make_unique<WireLegs>(options, [this](uint32_t leg, std::span<const uint8_t> bytes) {
          queue_.push_back({leg, {bytes.begin(), bytes.end()}});
        });
    return *legs_;
  }

  static TransportAddress Relayed(uint32_t leg) {
    return {IpAddress::V4(192, 0, 2, 10), static_cast<uint16_t>(50'000 + leg)};
  }

  void AnswerOne() {
    const Request request = queue_.front();
    queue_.pop_front();
    const auto message = StunMessage::Parse(request.bytes);
    ASSERT_TRUE(message);
    std::array<uint8_t, 200> out;
    const bool refused =
        message->method() == StunMethod::kAllocate && refuse_.contains(request.leg);
    StunBuilder builder(out, message->method(), refused ? StunClass::kError : StunClass::kSuccess,
                        message->transaction_id());
    if (refused) builder.AddError(508, "Insufficient Capacity");
    if (message->method() == StunMethod::kAllocate && !refused) {
      allocated_.insert(request.leg);
      builder.AddXorAddress(StunAttributeType::kXorRelayedAddress, Relayed(request.leg));
      builder.AddU32(StunAttributeType::kLifetime, 600);
    } else if (message->method() == StunMethod::kChannelBind) {
      ++binds_;
      bound_[request.leg] = {
          static_cast<uint16_t>(*message->FindU32(StunAttributeType::kChannelNumber) >> 16),
          *message->FindXorAddress(StunAttributeType::kXorPeerAddress)};
    } else if (message->method() == StunMethod::kRefresh) {
      ++refreshes_;
      builder.AddU32(StunAttributeType::kLifetime, *message->FindU32(StunAttributeType::kLifetime));
    }
    legs_->HandleDatagram(request.leg, builder.Finish(), now_ms_);
  }

  void AnswerAll() {
    while (!queue_.empty()) AnswerOne();
  }

  std::unique_ptr<WireLegs> legs_;
  std::deque<Request> queue_;
  std::set<uint32_t> allocated_, refuse_;
  std::map<uint32_t, Bound> bound_;
  int binds_ = 0;
  int refreshes_ = 0;
  uint64_t now_ms_ = 1000;
};

TEST_F(WireLegsTest, BindsBothLegsOfEveryCallToEachOther) {
  WireLegs& legs = Start(20, 8);
  for (int i = 0; i < 100 && !legs.ready(); ++i) {
    legs.Step(now_ms_);
    AnswerAll();
  }
  EXPECT_TRUE(legs.ready()) << legs.status();
  EXPECT_EQ(legs.allocated_count(), 20u);
  for (uint32_t leg = 0; leg < 20; ++leg) {
    EXPECT_EQ(bound_[leg].channel, WireChannel(leg));
    EXPECT_EQ(bound_[leg].peer, Relayed(leg ^ 1));
  }
  EXPECT_EQ(binds_, 20);
}

TEST_F(WireLegsTest, NoMoreThanTheWindowWaitForAnAnswer) {
  WireLegs& legs = Start(100, 10, true);
  legs.Step(now_ms_);
  legs.Step(now_ms_);
  EXPECT_EQ(queue_.size(), 10u);
  AnswerOne();
  legs.Step(now_ms_);
  EXPECT_EQ(queue_.size(), 10u);
}

TEST_F(WireLegsTest, AnOddWindowDoesNotLeaveALegWaitingForItsPeer) {
  WireLegs& legs = Start(6, 1);
  for (int i = 0; i < 100 && !legs.ready(); ++i) {
    legs.Step(now_ms_);
    AnswerAll();
  }
  EXPECT_TRUE(legs.ready());
}

TEST_F(WireLegsTest, WhatGetsLostIsSentAgain) {
  WireLegs& legs = Start(4, 4);
  legs.Step(now_ms_);
  queue_.clear();
  for (int i = 0; i < 100 && !legs.ready(); ++i) {
    now_ms_ += 100;
    legs.Step(now_ms_);
    if (queue_.size() > 1) queue_.pop_front();
    AnswerAll();
  }
  EXPECT_TRUE(legs.ready()) << legs.status();
}

TEST_F(WireLegsTest, GivesUpOnAServerThatNeverAnswers) {
  WireLegs& legs = Start(4, 4);
  for (int i = 0; i < 500 && legs.status().ok(); ++i) {
    legs.Step(now_ms_);
    now_ms_ += 100;
  }
  EXPECT_THAT(std::string(legs.status().message()), HasSubstr("192.0.2.10:3478"));
}

TEST_F(WireLegsTest, SaysWhichLegWasRefused) {
  WireLegs& legs = Start(10, 4);
  refuse_ = {5};
  for (int i = 0; i < 20; ++i) {
    legs.Step(now_ms_);
    AnswerAll();
  }
  EXPECT_FALSE(legs.ready());
  EXPECT_THAT(std::string(legs.status().message()), HasSubstr("leg 5: "));
}

TEST_F(WireLegsTest, RenewsEverythingInTime) {
  WireLegs& legs = Start(10, 4);
  for (int i = 0; i < 20; ++i) {
    legs.Step(now_ms_);
    AnswerAll();
  }
  ASSERT_TRUE(legs.ready());
  // Channels have to be bound again within 300 seconds, allocations refreshed within 600.
  for (const uint64_t end = now_ms_ + 290'000; now_ms_ < end; now_ms_ += 500) {
    legs.Step(now_ms_, 2);
    AnswerAll();
  }
  EXPECT_EQ(binds_, 20);
  for (const uint64_t end = now_ms_ + 300'000; now_ms_ < end; now_ms_ += 500) {
    legs.Step(now_ms_, 2);
    AnswerAll();
  }
  EXPECT_EQ(refreshes_, 10);
  EXPECT_TRUE(legs.ready()) << legs.status();
}

TEST_F(WireLegsTest, ReleasesWhatItAllocated) {
  WireLegs& legs = Start(10, 4);
  for (int i = 0; i < 20; ++i) {
    legs.Step(now_ms_);
    AnswerAll();
  }
  legs.BeginRelease();
  legs.Step(now_ms_);
  EXPECT_EQ(queue_.size(), 4u);
  for (int i = 0; i < 20; ++i) {
    legs.Step(now_ms_);
    AnswerAll();
  }
  EXPECT_TRUE(legs.released());
  EXPECT_EQ(refreshes_, 10);
}

TEST_F(WireLegsTest, ReleasesAlsoWhenFewHaveBegun) {
  WireLegs& legs = Start(10, 2);
  legs.Step(now_ms_);
  AnswerAll();
  legs.BeginRelease();
  for (int i = 0; i < 20; ++i) {
    legs.Step(now_ms_);
    AnswerAll();
  }
  EXPECT_TRUE(legs.released());
  EXPECT_EQ(refreshes_, 2) << "eight legs had nothing to release";
}

}  // namespace
}  // namespace sotto::tools
