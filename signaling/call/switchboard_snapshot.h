// SPDX-License-Identifier: Apache-2.0
// All of a switchboard's state that its future depends on, as text, for the exhaustive test: times
// are relative to now, sessions and calls have the test's names. Left out is what doesn't come back
// into the switchboard's decisions: counters, and the rate limit, which the test sets beyond reach.
#pragma once

#include <fmt/format.h>

#include <algorithm>
#include <functional>
#include <map>
#include <string>

#include "signaling/call/switchboard_impl.h"

namespace sotto::signaling {

class SwitchboardSnapshot {
 public:
  using NameSession = std::function<std::string(SessionId)>;
  using NameCall = std::function<std::string(const CallId&)>;

  static std::string Of(const Switchboard& switchboard, const Now& now, const NameSession& session,
                        const NameCall& call) {
    const Switchboard::Impl& impl = *switchboard.impl_;
    const auto calls = [&](const std::vector<calls::Call*>& list) {
      std::string out;
      for (const calls::Call* of : list) out += call(of->id) + ",";
      return out;
    };
    const auto sessions = [&](const auto& list) {
      std::string out;
      for (const SessionId of : list) out += session(of) + ",";
      return out;
    };
    std::map<std::string, std::string> sorted;
    for (const auto& [id, c] : impl.calls_) {
      std::string& out = sorted["call " + call(id)];
      out = fmt::format("{}{}{}{}{} ", static_cast<int>(c->phase), c->over, c->had_token, c->misses,
                        c->declined);
      if (c->over) continue;  // all else is set when it is placed again, or decided
      out +=
          fmt::format("{}{} {}/{} of {} for {}by {} sent {},{} legs {},{} placed {}",
                      c->serial.has_value(), c->protect_address, c->offer.size(), c->answer.size(),
                      session(c->caller_session), sessions(c->offered), session(c->acceptor),
                      c->peer_messages[0], c->peer_messages[1], c->legs[0].size(),
                      c->legs[1].size(), std::min<int64_t>(now.unix_s - c->placed_unix_s, 120));
    }
    for (const auto& [id, s] : impl.sessions_) sorted["session " + session(id)] = calls(s->calls);
    for (const auto& [id, a] : impl.accounts_) {
      sorted["account " + id.text()] =
          fmt::format("{} {} {}", sessions(a.sessions), calls(a.ringing), a.placed);
    }
    std::string out;
    for (const auto& [key, value] : sorted) out += key + ": " + value + "\n";
    for (const auto& [key, c] : impl.deadlines_) {
      const auto left = static_cast<int64_t>(key.first - now.monotonic_ms);
      out += fmt::format("{} in {}\n", call(c->id), std::max<int64_t>(0, left));
    }
    return out;
  }
};

}  // namespace sotto::signaling
