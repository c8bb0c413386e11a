// SPDX-License-Identifier: Apache-2.0
// All orders of messages, over the real code, in virtual time: forged, stale, repeated and foreign
// ones, decisions that come at any time, sessions that come and go, deadlines met and missed.
//
// Three universes run side by side: their histories are the same, but calls are decided differently
// (rings, silenced, decision failed). After each step
//   - each universe is held to the rules in Universe;
//   - what the callers were sent is the same in all universes, byte for byte, until a call
//   connects.
// Histories that lead to the same state (SwitchboardSnapshot, and what Universe knows, of all
// three) have the same future, so each state is left once by every action: the search ends when
// there are no new states, and covers all histories of any length, or those up to a bound where it
// is given one.

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <sodium.h>

#include <array>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "signaling/call/search_universe.h"

namespace sotto::signaling {
namespace {

// The three universes, through one history.
class Multiverse {
 public:
  explicit Multiverse(const Scenario& scenario) {
    for (const Verdict verdict : {Verdict::kRings, Verdict::kSilenced, Verdict::kFailed}) {
      universes_.push_back(std::make_unique<Universe>(verdict, scenario));
    }
  }

  void Step(const Action& action) {
    for (auto& universe : universes_) universe->Step(action);
    for (size_t call = 0; call < universes_[0]->told_callers.size(); ++call)
      Compare(static_cast<int>(call));
  }

  std::string State() const {
    std::string state;
    for (const auto& universe : universes_) state += universe->State() + "\n";
    return state;
  }
  bool attached(int role) const { return universes_[0]->attached(role); }
  bool deciding(int call) const {
    for (const auto& universe : universes_) {
      if (universe->deciding(call) > 0) return true;
    }
    return false;
  }
  std::vector<std::string> Finish() {
    for (auto& universe : universes_) universe->Finish();
    return Faults();
  }
  std::vector<std::string> Faults() const {
    std::vector<std::string> faults = faults_;
    for (const auto& universe : universes_) {
      faults.insert(faults.end(), universe->faults.begin(), universe->faults.end());
    }
    return faults;
  }

 private:
  void Compare(int call) {
    // Only where it rings can it be accepted. Once it is, the caller knows, until it is placed
    // anew.
    if (universes_[0]->accepted(call)) {
      bool idle = true;
      for (const auto& universe : universes_) idle = idle && universe->idle(call);
      if (idle) universes_[0]->ForgetAccepted(call);
      return;
    }
    for (const auto& universe : universes_) {
      if (universe->told_callers[call] != universes_[0]->told_callers[call]) {
        faults_.emplace_back("a caller sees what was decided");
      }
      if (universe->deciding(call) != universes_[0]->deciding(call)) {
        faults_.emplace_back("what is decided depends on what was decided");
      }
    }
  }

  std::vector<std::unique_ptr<Universe>> universes_;
  std::vector<std::string> faults_;
};

std::vector<Action> AllActions(const Scenario& scenario) {
  std::vector<Action> actions;
  for (int call = 0; call < scenario.calls; ++call) {
    for (const Role role : scenario.roles) {
      if (IsCaller(role)) actions.push_back({.what = Do::kPlace, .role = role, .call = call});
      for (const Do what : {Do::kAccept, Do::kDecline, Do::kHangUp, Do::kSendToPeer}) {
        actions.push_back({.what = what, .role = role, .call = call});
      }
    }
    actions.push_back({.what = Do::kDecide, .call = call});
    for (const CallSideName side : {CallSideName::kCaller, CallSideName::kRecipient}) {
      actions.push_back({.what = Do::kLeg, .call = call, .side = side});
    }
  }
  for (const Role role : scenario.roles) {
    if (role != kC) actions.push_back({.what = Do::kToggle, .role = role});
  }
  actions.push_back({.what = Do::kTick});
  actions.push_back({.what = Do::kWait});
  return actions;
}

class Search {
 public:
  explicit Search(Scenario scenario)
      : scenario_(std::move(scenario)), actions_(AllActions(scenario_)) {}

  void Run() {
    std::vector<Node> level = {{{}, 0}};
    Visit(Multiverse(scenario_).State());
    while (!level.empty() && depth_ < scenario_.max_depth && !HasFailure()) {
      ++depth_;
      std::vector<Node> next;
      for (const Node& node : level) {
        if (!Leave(node, &next)) return;
      }
      level = std::move(next);
    }
    complete_ = level.empty();
    Report();
  }
  bool complete() const { return complete_; }
  size_t states() const { return known_.size(); }

 private:
  struct Node {
    std::vector<uint8_t> history;  // the shortest that leads there
    uint32_t state;
  };

  static bool HasFailure() { return ::testing::Test::HasFailure(); }

  // The state's number, and whether it is new.
  std::pair<uint32_t, bool> Visit(const std::string& state) {
    std::array<uint8_t, 16> digest;
    crypto_generichash(digest.data(), digest.size(), reinterpret_cast<const uint8_t*>(state.data()),
                       state.size(), nullptr, 0);
    const auto [at, fresh] = known_.emplace(digest, static_cast<uint32_t>(known_.size()));
    if (fresh) successors_.emplace_back();
    return {at->second, fresh};
  }

  bool Leave(const Node& node, std::vector<Node>* next) {
    std::unique_ptr<Multiverse> multiverse;
    for (size_t i = 0; i < actions_.size(); ++i) {
      if (multiverse == nullptr) {
        multiverse = std::make_unique<Multiverse>(scenario_);
        for (const uint8_t step : node.history) multiverse->Step(actions_[step]);
      }
      const Action& action = actions_[i];
      // What the world doesn't do: a session that is gone sends nothing.
      if (action.what <= Do::kSendToPeer && !multiverse->attached(action.role)) continue;
      multiverse->Step(action);
      ++transitions_;
      const auto [state, fresh] = Visit(multiverse->State());
      successors_[node.state].push_back(state);
      std::vector<std::string> faults = multiverse->Faults();
      if (fresh) {
        next->push_back({node.history, state});
        next->back().history.push_back(static_cast<uint8_t>(i));
        if (faults.empty()) faults = multiverse->Finish();
      }
      if (!faults.empty()) {
        std::string history;
        for (const uint8_t step : node.history) history += actions_[step].Name() + "; ";
        ADD_FAILURE() << "rule broken: " << faults.front() << "\nafter: " << history
                      << action.Name();
        return false;
      }
      // Most messages change nothing: then it is still where the next action begins.
      if (state != node.state) multiverse.reset();
    }
    return true;
  }

  void Report() const {
    // How many histories of up to ten steps those transitions make.
    std::vector<double> ways(known_.size(), 0);
    ways[0] = 1;
    double histories = 0;
    for (int length = 1; length <= std::min(10, depth_); ++length) {
      std::vector<double> longer(known_.size(), 0);
      for (size_t state = 0; state < ways.size(); ++state) {
        for (const uint32_t to : successors_[state]) longer[to] += ways[state];
      }
      ways = std::move(longer);
      for (const double way : ways) histories += way;
    }
    fmt::print(
        "{} states, {} transitions by {} actions, {} steps deep{}; {:.3g} histories of up to {} "
        "steps\n",
        known_.size(), transitions_, actions_.size(), depth_,
        complete_ ? ", complete: no new states beyond" : "", histories, std::min(10, depth_));
  }

  const Scenario scenario_;
  const std::vector<Action> actions_;
  std::map<std::array<uint8_t, 16>, uint32_t> known_;
  std::vector<std::vector<uint32_t>> successors_;
  size_t transitions_ = 0;
  int depth_ = 0;
  bool complete_ = false;
};

// Each runs until there are no new states, the last one excepted.
void RunToTheEnd(const Scenario& scenario) {
  Search search(scenario);
  search.Run();
  EXPECT_TRUE(search.complete() || ::testing::Test::HasFailure());
}

TEST(SwitchboardSearch, OneProtectedCallAndAStranger) {
  RunToTheEnd({.roles = {kA1, kB1, kC}, .protect = true});
}

TEST(SwitchboardSearch, OneCallToTwoDevices) {
  RunToTheEnd({.roles = {kA1, kB1, kB2}, .ring_ticks = 1, .call_ticks = 1});
}

TEST(SwitchboardSearch, OneCallFromTwoDevices) {
  RunToTheEnd({.roles = {kA1, kA2, kB1}, .ring_ticks = 1, .call_ticks = 1});
}

TEST(SwitchboardSearch, TwoCallsAtATime) {
  Search({.roles = {kA1, kB1}, .calls = 2, .ring_ticks = 1, .call_ticks = 2, .max_depth = 10})
      .Run();
}

}  // namespace
}  // namespace sotto::signaling
