// SPDX-License-Identifier: Apache-2.0
// Alice calls, bob is called on two devices, carol is neither; frames in a word or two.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "signaling/call/call_world.h"

namespace sotto::signaling {

constexpr SessionId kAlice = 1;  // calls
constexpr SessionId kAlice2 = 2;
constexpr SessionId kBob = 11;  // is called
constexpr SessionId kBob2 = 12;
constexpr SessionId kCarol = 21;  // is neither

// A frame in a word or two.
inline std::string Word(const api::ServerFrame& frame) {
  const auto without = [](const std::string& name, size_t prefix) { return name.substr(prefix); };
  switch (frame.body_case()) {
    case api::ServerFrame::kDone:
      return "done";
    case api::ServerFrame::kRefused:
      return "refused " + without(api::Refused::Code_Name(frame.refused().code()), 5);
    case api::ServerFrame::kCallPlaced:
      return "placed";
    case api::ServerFrame::kIncomingCall:
      return "incoming";
    case api::ServerFrame::kCallStopped:
      return "stopped " + without(api::CallStopped::Why_Name(frame.call_stopped().why()), 4);
    case api::ServerFrame::kCallConnected:
      return "connected";
    case api::ServerFrame::kCallEnded:
      return "ended " + without(api::CallEnded::Why_Name(frame.call_ended().why()), 4);
    case api::ServerFrame::kPeerAddress:
      return "peer address";
    case api::ServerFrame::kFromPeer:
      return "from peer";
    default:
      return "?";
  }
}

class SwitchboardTest : public ::testing::Test {
 protected:
  explicit SwitchboardTest(const SwitchboardOptions& options = {.ring_s = 45}) : world_(options) {
    world_.Attach(kAlice, "alice");
    world_.Attach(kBob, "bob");
    world_.Attach(kBob2, "bob");
    world_.Attach(kCarol, "carol");
  }

  std::vector<std::string> Words(SessionId session) {
    std::vector<std::string> words;
    for (const api::ServerFrame& frame : world_.Take(session)) words.push_back(Word(frame));
    return words;
  }
  void Drain() {
    for (const SessionId session : {kAlice, kAlice2, kBob, kBob2, kCarol}) world_.Take(session);
  }

  // A call from alice to bob, by its id; nobody has looked at what was sent.
  std::string Placed(uint8_t tag = 1, std::string token = {}) {
    world_.Place(kAlice, "bob", tag, std::move(token));
    return world_.effects[IndexOfLastPlaced()].frame.call_placed().call();
  }
  std::string Ringing(uint8_t tag = 1) {
    const std::string call = Placed(tag);
    world_.Decide(call, true);
    return call;
  }
  std::string Connected(bool protect = false) {
    const std::string call = Placed();
    world_.Decide(call, true, protect);
    world_.Accept(kBob, call);
    Drain();
    return call;
  }
  size_t IndexOfLastPlaced() const {
    for (size_t i = world_.effects.size(); i-- > 0;) {
      if (world_.effects[i].frame.has_call_placed()) return i;
    }
    return 0;
  }
  // Missed calls, "bob<alice", pretended ones in brackets.
  std::vector<std::string> Missed() const {
    std::vector<std::string> missed;
    for (const Effect& effect : world_.effects) {
      if (effect.kind != Effect::Kind::kMissed) continue;
      const std::string who = effect.recipient + "<" + effect.caller;
      missed.push_back(effect.pretend ? "(" + who + ")" : who);
    }
    return missed;
  }
  Switchboard::Counters counters() const { return world_.switchboard->counters(); }
  void ExpectNothingLeft() const {
    EXPECT_EQ(counters().calls, 0u);
    EXPECT_EQ(world_.switchboard->NextDeadline(), UINT64_MAX);
    EXPECT_EQ(world_.Count(Effect::Kind::kEndRelay), counters().placed);
  }

  CallWorld world_;
};

}  // namespace sotto::signaling
