// SPDX-License-Identifier: Apache-2.0
// For tests of the switchboard: accounts with sessions around a real one, virtual time, and all
// that goes out of it written down. Decisions are made by the test.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "signaling/call/switchboard.h"

namespace sotto::signaling {

// What the switchboard has done, in order.
struct Effect {
  enum class Kind { kSend, kDecide, kEndRedemption, kMissed, kArm, kEndRelay };
  Kind kind = Kind::kSend;
  SessionId session = 0;        // kSend
  api::ServerFrame frame = {};  // kSend
  CallId call = {};             // others; of kMissed none
  RelayIndex relay = 0;
  std::string recipient = {};  // kDecide, kMissed
  std::string caller = {};
  bool has_token = false;  // kDecide
  bool pretend = false;    // kMissed
};

class CallWorld final : public CallEffects {
 public:
  explicit CallWorld(const SwitchboardOptions& options = {})
      : switchboard(std::make_unique<Switchboard>(options, ServerKey{7, 7, 7}, *this)) {}
  CallWorld(const CallWorld&) = delete;  // the switchboard knows where it is
  CallWorld& operator=(const CallWorld&) = delete;

  void Attach(SessionId session, std::string_view account) {
    switchboard->Attach({.session = session, .account = VerifiedAccountForTest::Make(account)},
                        now);
  }
  void Detach(SessionId session) { switchboard->Detach(session, now); }

  static std::string PlaceId(uint8_t tag) { return std::string(16, static_cast<char>(tag)); }
  static std::string Body(char fill, size_t size = 512) { return std::string(size, fill); }
  static CallId ToId(std::string_view bytes) {
    CallId id = {};
    std::copy_n(bytes.begin(), std::min(bytes.size(), id.size()), id.begin());
    return id;
  }

  // Each returns the number of the request.
  uint64_t Place(SessionId session, std::string_view recipient, uint8_t tag = 1,
                 std::string token = {}, std::string offer = Body('o')) {
    api::PlaceCall message;
    message.set_place_id(PlaceId(tag));
    message.set_recipient(std::string(recipient));
    message.set_token(std::move(token));
    message.set_offer(std::move(offer));
    return Handle(session, message);
  }
  uint64_t Accept(SessionId session, std::string call, std::string answer = Body('a')) {
    api::AcceptCall message;
    message.set_call(std::move(call));
    message.set_answer(std::move(answer));
    return Handle(session, message);
  }
  uint64_t Decline(SessionId session, std::string call) {
    api::DeclineCall message;
    message.set_call(std::move(call));
    return Handle(session, message);
  }
  uint64_t HangUp(SessionId session, std::string call) {
    api::HangUp message;
    message.set_call(std::move(call));
    return Handle(session, message);
  }
  uint64_t SendToPeer(SessionId session, std::string call, std::string body = Body('c')) {
    api::SendToPeer message;
    message.set_call(std::move(call));
    message.set_body(std::move(body));
    return Handle(session, message);
  }
  template <typename Message>
  uint64_t Handle(SessionId session, const Message& message) {
    switchboard->Handle(session, ++request, message, now);
    return request;
  }

  void Decide(const std::string& call, bool ring, bool protect = false,
              std::optional<TokenSerial> serial = std::nullopt) {
    Decision decision;
    decision.call = ToId(call);
    decision.ring = ring;
    decision.protect_address = protect;
    decision.serial = serial;
    switchboard->OnDecision(decision, now);
  }
  void Leg(const std::string& call, CallSideName side, std::vector<TransportAddress> relayed) {
    switchboard->OnLeg({.call = ToId(call), .side = side, .relayed = std::move(relayed)}, now);
  }
  void Advance(uint64_t ms) {
    now.monotonic_ms += ms;
    now.unix_s = static_cast<int64_t>(1'800'000'000 + now.monotonic_ms / 1000);
  }
  void Tick() { switchboard->Tick(now); }
  void AdvanceAndTick(uint64_t ms) {
    Advance(ms);
    Tick();
  }

  // What a session was sent since it was last asked, in order.
  std::vector<api::ServerFrame> Take(SessionId session) {
    std::vector<api::ServerFrame> frames;
    size_t& at = taken_[session];
    for (; at < effects.size(); ++at) {
      const Effect& effect = effects[at];
      if (effect.kind == Effect::Kind::kSend && effect.session == session) {
        frames.push_back(effect.frame);
      }
    }
    return frames;
  }
  size_t Count(Effect::Kind kind) const {
    size_t count = 0;
    for (const Effect& effect : effects) count += effect.kind == kind ? 1 : 0;
    return count;
  }

  // CallEffects
  void Send(SessionId session, api::ServerFrame frame) override {
    effects.push_back({.kind = Effect::Kind::kSend, .session = session, .frame = std::move(frame)});
  }
  void Decide(DecisionRequest asked) override {
    effects.push_back({.kind = Effect::Kind::kDecide,
                       .call = asked.call,
                       .recipient = asked.recipient.text(),
                       .caller = asked.caller->id().text(),
                       .has_token = asked.token.has_value()});
  }
  void EndRedemption(const CallId& call) override {
    effects.push_back({.kind = Effect::Kind::kEndRedemption, .call = call});
  }
  void Missed(const AccountId& recipient, const VerifiedAccount& caller, bool pretend) override {
    effects.push_back({.kind = Effect::Kind::kMissed,
                       .recipient = recipient.text(),
                       .caller = caller.id().text(),
                       .pretend = pretend});
  }
  RelayIndex ChooseRelay() override { return next_relay; }
  RelayCredential MintCredential(RelayIndex relay, const CallId& call, CallSideName side,
                                 int64_t unix_s, uint32_t valid_s) override {
    const char* name = side == CallSideName::kCaller ? "/a" : "/b";
    const std::string hex = [&] {
      std::string out;
      for (const uint8_t byte : call) {
        out += "0123456789abcdef"[byte >> 4];
        out += "0123456789abcdef"[byte & 15];
      }
      return out;
    }();
    return {.urls = {"turn:relay" + std::to_string(relay)},
            .username = std::to_string(unix_s + valid_s) + ":" + hex + name,
            .credential = "secret of " + hex + name};
  }
  void ArmCall(RelayIndex relay, const CallId& call) override {
    effects.push_back({.kind = Effect::Kind::kArm, .call = call, .relay = relay});
  }
  void EndRelayCall(RelayIndex relay, const CallId& call) override {
    effects.push_back({.kind = Effect::Kind::kEndRelay, .call = call, .relay = relay});
  }

  Now now = {.monotonic_ms = 1000, .unix_s = 1'800'000'001};
  RelayIndex next_relay = 0;
  uint64_t request = 0;
  std::vector<Effect> effects;
  std::unique_ptr<Switchboard> switchboard;

 private:
  std::map<SessionId, size_t> taken_;
};

}  // namespace sotto::signaling
