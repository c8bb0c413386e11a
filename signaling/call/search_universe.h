// SPDX-License-Identifier: Apache-2.0
// One universe of the exhaustive test (switchboard_search_test.cc): a real switchboard, the
// sessions around it, and the rules that all it does must keep.
#pragma once

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <set>
#include <string>
#include <vector>

#include "signaling/call/call_world.h"
#include "signaling/call/switchboard_snapshot.h"

namespace sotto::signaling {

enum Role : int { kA1, kA2, kB1, kB2, kC, kRoles, kNobody = kRoles };
constexpr std::array<const char*, kRoles + 1> kRoleNames = {"A1", "A2", "B1", "B2", "C", "-"};
constexpr std::array<const char*, kRoles> kAccounts = {"alice", "alice", "bob", "bob", "carol"};
inline bool IsCaller(int role) { return role == kA1 || role == kA2; }
inline bool IsRecipient(int role) { return role == kB1 || role == kB2; }

enum class Do {
  kPlace,
  kAccept,
  kDecline,
  kHangUp,
  kSendToPeer,
  kDecide,
  kLeg,
  kToggle,
  kTick,
  kWait
};

struct Action {
  Do what = Do::kTick;
  int role = kNobody;
  int call = 0;
  CallSideName side = CallSideName::kCaller;
  std::string Name() const {
    constexpr std::array<const char*, 10> kNames = {"place", "accept", "decline", "hang up",
                                                    "send",  "decide", "leg",     "come/go",
                                                    "tick",  "wait"};
    return fmt::format("{} {} c{}{}", kRoleNames[role], kNames[static_cast<int>(what)], call,
                       what == Do::kLeg ? (side == CallSideName::kCaller ? "a" : "b") : "");
  }
};

enum class Verdict { kRings, kSilenced, kFailed };

struct Scenario {
  std::vector<Role> roles;  // who sends messages
  int calls = 1;
  bool protect = false;
  // How many ticks a call rings, and how many more it may be connected; a tick may come too late.
  uint32_t ring_ticks = 2;
  uint32_t call_ticks = 3;
  int max_depth = 1000;
};

constexpr uint32_t kTickS = 20;

// One universe: a switchboard, who is attached to it, and the rules that all it does must keep.
class Universe {
 public:
  Universe(Verdict verdict, const Scenario& scenario)
      : verdict_(verdict),
        scenario_(scenario),
        world_({.ring_s = scenario.ring_ticks * kTickS,
                .max_placed_per_account = 100,
                .max_places_per_minute = 1'000'000,
                .max_peer_messages = 1,
                .max_call_s = scenario.call_ticks * kTickS}),
        calls_(scenario.calls) {
    for (int role = 0; role < kRoles; ++role) Attach(role);
    for (int call = 0; call < scenario.calls; ++call) calls_[call].id = IdOf(call);
  }

  // Does it and checks what came of it. What it has sent to callers is in `told_callers`, by call.
  void Step(const Action& action) {
    told_callers.assign(calls_.size(), {});
    const size_t before = world_.effects.size();
    const std::vector<CallState> earlier = calls_;
    request_ = 0;
    Perform(action);
    answers_ = 0;
    for (size_t i = before; i < world_.effects.size(); ++i) {
      Check(action, earlier, world_.effects[i]);
    }
    Expect(answers_ == (request_ != 0 ? 1 : 0), "each request has one answer");
    for (CallState& call : calls_) {
      if (call.owner == kNobody && call.deciding == 0) call.declined = call.would_ring = false;
    }
    if (action.what == Do::kTick) {
      Expect(world_.switchboard->NextDeadline() > world_.now.monotonic_ms,
             "a tick leaves nothing that is out of time");
    }
    if (action.what == Do::kAccept) {
      const CallState& is = calls_[action.call];
      Expect(was_done_ == (is.connected && !earlier[action.call].connected),
             "an accept is answered with Done if, and only if, it connects");
    }
    for (const CallState& call : calls_) {
      Expect(call.armed == call.connected, "armed while connected, and only then");
      Expect(call.acceptor == kNobody || call.connected, "no acceptor without a connection");
    }
  }

  // Lets all time and all decisions pass: nothing may be left.
  void Finish() {
    for (int i = 0; i < 5; ++i) {
      for (int call = 0; call < scenario_.calls; ++call) {
        while (calls_[call].deciding > 0) Step({.what = Do::kDecide, .call = call});
      }
      Step({.what = Do::kTick});
    }
    Expect(world_.switchboard->counters().calls == 0, "no call is left");
    Expect(world_.switchboard->NextDeadline() == UINT64_MAX, "no deadline is left");
    for (const CallState& call : calls_) {
      Expect(!call.armed, "no call is left armed");
      Expect(call.ringing.empty(), "nothing is left ringing");
      Expect(call.owner == kNobody, "every caller was told the end");
      Expect(call.acceptor == kNobody, "every recipient was told the end");
    }
    Expect(world_.Count(Effect::Kind::kMissed) + world_.switchboard->counters().connected ==
               world_.Count(Effect::Kind::kDecide),
           "each call that was decided was answered, or missed, or pretended to be");
    Expect(world_.Count(Effect::Kind::kEndRelay) == world_.switchboard->counters().placed,
           "each call was ended on its relay");
  }

  std::string State() const {
    std::string state = SwitchboardSnapshot::Of(
        *world_.switchboard, world_.now,
        [&](SessionId session) {
          if (session == 0) return std::string("-");
          const int role = RoleOf(session);
          Expect(role != kNobody, "no session that is gone is remembered");
          return std::string(kRoleNames[role]);
        },
        [&](const CallId& id) { return fmt::format("c{}", CallOf(id)); });
    for (const CallState& call : calls_) {
      state += fmt::format("{} {} {} {}{}{}{}{} {} {};", call.deciding, kRoleNames[call.owner],
                           kRoleNames[call.acceptor], call.armed, call.connected, call.declined,
                           call.would_ring, call.accepted_ever, fmt::join(call.ringing, ","),
                           call.ends_in(world_.now.monotonic_ms));
    }
    return state;
  }
  int deciding(int call) const { return calls_[call].deciding; }
  // A recipient has accepted this call: from here on the caller may know of it.
  bool accepted(int call) const { return calls_[call].accepted_ever; }
  void ForgetAccepted(int call) { calls_[call].accepted_ever = false; }
  bool idle(int call) const { return calls_[call].owner == kNobody && calls_[call].deciding == 0; }
  bool attached(int role) const { return sessions_[role] != 0; }

  std::vector<std::string> told_callers;
  std::vector<std::string> faults;

 private:
  struct CallState {
    std::string id;
    int deciding = 0;     // decisions that are awaited
    int owner = kNobody;  // who was told CallPlaced, and not yet CallEnded
    int acceptor = kNobody;
    bool armed = false;
    bool connected = false;
    bool declined = false;
    bool would_ring = false;
    bool accepted_ever = false;
    std::set<int> ringing;  // who was told IncomingCall, and not yet that it's over
    MonotonicMs deadline = 0;
    int64_t ends_in(MonotonicMs now) const {
      return owner == kNobody || deadline <= now ? 0 : static_cast<int64_t>(deadline - now);
    }
  };

  void Expect(bool holds, const char* rule) const {
    if (!holds) const_cast<Universe*>(this)->faults.emplace_back(rule);
  }

  // Ids come from the key and what is in the message: they can be known before the call is placed.
  static std::string IdOf(int call) {
    static const std::array<std::string, 2> kIds = [] {
      CallWorld other;
      other.Attach(1, "alice");
      std::array<std::string, 2> ids;
      for (uint8_t i = 0; i < 2; ++i) {
        other.Place(1, "bob", i);
        ids[i] = other.Take(1).back().call_placed().call();
      }
      return ids;
    }();
    return kIds[call];
  }
  int CallOf(const CallId& id) const { return CallOf(std::string(id.begin(), id.end())); }
  int CallOf(const std::string& id) const {
    for (size_t i = 0; i < calls_.size(); ++i) {
      if (calls_[i].id == id) return static_cast<int>(i);
    }
    return -1;
  }
  int RoleOf(SessionId session) const {
    for (int role = 0; role < kRoles; ++role) {
      if (sessions_[role] == session) return role;
    }
    return kNobody;
  }
  void Attach(int role) {
    sessions_[role] = ++last_session_;
    world_.Attach(sessions_[role], kAccounts[role]);
  }

  void Perform(const Action& action) {
    const std::string& id = calls_[action.call].id;
    const SessionId session = action.role == kNobody ? 0 : sessions_[action.role];
    switch (action.what) {
      case Do::kPlace:
        request_ = world_.Place(session, "bob", static_cast<uint8_t>(action.call));
        break;
      case Do::kAccept:
        request_ = world_.Accept(session, id);
        break;
      case Do::kDecline:
        request_ = world_.Decline(session, id);
        break;
      case Do::kHangUp:
        request_ = world_.HangUp(session, id);
        break;
      case Do::kSendToPeer:
        request_ = world_.SendToPeer(session, id);
        break;
      case Do::kDecide: {
        CallState& call = calls_[action.call];
        missed_call_ = action.call;
        if (call.deciding > 0) {
          --call.deciding;
          call.would_ring = verdict_ == Verdict::kRings;
        }
        if (verdict_ == Verdict::kFailed) {
          world_.switchboard->OnDecisionFailed(CallWorld::ToId(id), world_.now);
        } else {
          world_.Decide(id, verdict_ == Verdict::kRings, scenario_.protect);
        }
        break;
      }
      case Do::kLeg:
        world_.Leg(id, action.side, {{IpAddress::V4(192, 0, 2, 1), 50000}});
        break;
      case Do::kToggle:
        if (session == 0) {
          Attach(action.role);
          break;
        }
        // From here on nothing may be sent to it: RoleOf() doesn't know it any more.
        sessions_[action.role] = 0;
        for (CallState& call : calls_) {
          call.ringing.erase(action.role);
          if (call.owner == action.role) call.owner = kNobody;
          if (call.acceptor == action.role) call.acceptor = kNobody;
        }
        world_.Detach(session);
        break;
      case Do::kTick:
        world_.AdvanceAndTick(kTickS * 1000);
        break;
      case Do::kWait:
        world_.Advance(kTickS * 1000);
        break;
    }
  }

  void Check(const Action& action, const std::vector<CallState>& earlier, const Effect& effect) {
    if (effect.kind == Effect::Kind::kSend) return CheckFrame(action, earlier, effect);
    if (effect.kind == Effect::Kind::kMissed) {
      const CallState& call = calls_[missed_call_];
      Expect(effect.recipient == "bob" && effect.caller == "alice", "whose call was missed");
      Expect(effect.pretend == !(call.would_ring && !call.declined),
             "missed if it would have rung and wasn't declined");
      calls_[missed_call_].would_ring = false;
      return;
    }
    const int number = CallOf(effect.call);
    Expect(number >= 0, "only known calls have effects");
    CallState& call = calls_[std::max(number, 0)];
    switch (effect.kind) {
      case Effect::Kind::kDecide:
        Expect(action.what == Do::kPlace && !told_callers[number].empty(),
               "decided only when placed, and after CallPlaced is on its way");
        call.would_ring = false;
        ++call.deciding;
        break;
      case Effect::Kind::kArm:
        Expect(action.what == Do::kAccept && action.call == number && IsRecipient(action.role) &&
                   earlier[number].ringing.contains(action.role) && verdict_ == Verdict::kRings &&
                   !call.armed,
               "armed only by an accept of a recipient's session on which it rings");
        call.armed = true;
        call.connected = true;
        call.accepted_ever = true;
        call.acceptor = action.role;
        call.ringing.erase(action.role);
        call.deadline = world_.now.monotonic_ms + scenario_.call_ticks * kTickS * 1000;
        break;
      case Effect::Kind::kEndRelay:
        call.armed = false;
        call.connected = false;
        missed_call_ = number;
        break;
      default:
        Expect(false, "no redemption without a token");
    }
  }

  void CheckFrame(const Action& action, const std::vector<CallState>& earlier,
                  const Effect& effect) {
    using Body = api::ServerFrame::BodyCase;
    const api::ServerFrame& frame = effect.frame;
    const int role = RoleOf(effect.session);
    Expect(role != kNobody, "nothing is sent to a session that is gone");
    if (role == kNobody) return;
    if (frame.request() != 0) {
      ++answers_;
      was_done_ = frame.body_case() == Body::kDone;
      Expect(frame.request() == request_ && role == action.role, "answers go to whom they belong");
    }
    int number = action.call;
    CallState* call = &calls_[number];
    const auto of = [&](const std::string& id) {
      number = CallOf(id);
      Expect(number >= 0 && frame.request() == 0, "an event of a known call");
      call = &calls_[std::max(number, 0)];
    };
    switch (frame.body_case()) {
      case Body::kDone:
        Expect(frame.request() != 0, "an answer");
        Expect(role != kC, "nothing is done for a stranger");
        if (action.what == Do::kDecline) {
          Expect(call->ringing.erase(role) == 1, "declined only where it rings");
          call->declined = true;
        }
        break;
      case Body::kRefused:
        Expect(frame.request() != 0, "an answer");
        break;
      case Body::kCallPlaced:
        Expect(IsCaller(role) && CallOf(frame.call_placed().call()) == action.call, "whose call");
        if (call->owner == kNobody) {
          call->deadline = world_.now.monotonic_ms + scenario_.ring_ticks * kTickS * 1000;
          call->declined = false;
        }
        moved_from_ = call->owner == role ? kNobody : call->owner;
        call->owner = role;
        break;
      case Body::kIncomingCall:
        of(frame.incoming_call().call());
        Expect(IsRecipient(role) && verdict_ == Verdict::kRings && call->would_ring &&
                   !call->declined && !call->connected && call->owner != kNobody,
               "rings only on the recipient's devices, and if it was decided so");
        Expect(call->ringing.insert(role).second, "rings once on a device");
        break;
      case Body::kCallStopped:
        of(frame.call_stopped().call());
        Expect(call->ringing.erase(role) == 1, "stops where it rings");
        break;
      case Body::kCallConnected:
        of(frame.call_connected().call());
        Expect(call->connected && (role == call->owner || role == call->acceptor),
               "only parties are connected");
        Expect(frame.call_connected().answer().empty() == (role != call->owner),
               "the answer is the caller's");
        Expect(frame.call_connected().protect_address() == scenario_.protect, "protects");
        break;
      case Body::kCallEnded:
        of(frame.call_ended().call());
        CheckEnded(action, *call, role, frame.call_ended().why(), earlier[number]);
        break;
      case Body::kPeerAddress:
        of(frame.peer_address().call());
        Expect(call->connected && (role == call->owner || role == call->acceptor),
               "addresses of legs are the parties' alone");
        if (action.what == Do::kLeg) {
          Expect((role == call->owner) == (action.side == CallSideName::kRecipient),
                 "the other party's leg");
        }
        break;
      case Body::kFromPeer:
        of(frame.from_peer().call());
        Expect(call->connected && !scenario_.protect, "messages of an unprotected, connected call");
        Expect((role == call->owner && action.role == call->acceptor) ||
                   (role == call->acceptor && action.role == call->owner),
               "from one party to the other");
        break;
      default:
        Expect(false, "no other frame");
    }
    if (role == kC) Expect(frame.has_refused(), "a stranger is told nothing");
    if (IsRecipient(role) && verdict_ != Verdict::kRings) {
      Expect(frame.has_refused(), "the devices of a recipient who isn't rung are told nothing");
    }
    if (IsCaller(role)) {
      told_callers[number] += fmt::format("{}@{}:", kRoleNames[role], world_.now.monotonic_ms) +
                              frame.SerializeAsString();
    }
  }

  void CheckEnded(const Action& action, CallState& call, int role, api::CallEnded::Why why,
                  const CallState& earlier) {
    using Ended = api::CallEnded;
    if (role == moved_from_ && action.what == Do::kPlace) {
      Expect(why == Ended::WHY_HUNG_UP, "it went on on another session");
      moved_from_ = kNobody;
      return;
    }
    Expect(role == call.owner || role == call.acceptor, "an end is told to parties alone");
    const bool out_of_time =
        action.what == Do::kTick && earlier.deadline <= world_.now.monotonic_ms;
    if (why == Ended::WHY_NO_ANSWER) {
      Expect(out_of_time && role == call.owner && !call.connected, "no answer in time");
    } else if (why == Ended::WHY_PEER_LOST) {
      Expect(call.connected && (out_of_time || action.what == Do::kToggle), "a lost peer");
    } else {
      Expect(action.what == Do::kHangUp &&
                 why == (role == action.role ? Ended::WHY_HUNG_UP : Ended::WHY_PEER_HUNG_UP),
             "hung up");
    }
    (role == call.owner ? call.owner : call.acceptor) = kNobody;
  }

  const Verdict verdict_;
  const Scenario& scenario_;
  CallWorld world_;
  SessionId last_session_ = 0;
  std::array<SessionId, kRoles> sessions_ = {};
  std::vector<CallState> calls_;
  uint64_t request_ = 0;  // of this step
  int answers_ = 0;
  bool was_done_ = false;
  int moved_from_ = kNobody;
  int missed_call_ = 0;  // the one that ended, or was decided, last
};

}  // namespace sotto::signaling
