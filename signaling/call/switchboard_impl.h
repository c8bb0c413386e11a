// SPDX-License-Identifier: Apache-2.0
// The switchboard's state and how its code is cut. For switchboard.cc and its exhaustive test.
#pragma once

#include <cstdint>
#include <limits>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/container/btree_map.h"
#include "absl/container/flat_hash_map.h"
#include "signaling/call/call_state.h"
#include "signaling/call/place_rate.h"
#include "signaling/call/switchboard.h"

namespace sotto::signaling {

class Switchboard::Impl {
 public:
  Impl(const SwitchboardOptions& options, const ServerKey& key, CallEffects& effects);
  ~Impl();

  void Attach(const Party& party, const Now& now);
  void Detach(SessionId session);
  bool IsAttached(SessionId session) const { return sessions_.contains(session); }

  void Place(SessionId session, uint64_t request, const api::PlaceCall& message, const Now& now);
  void Accept(SessionId session, uint64_t request, const api::AcceptCall& message, const Now& now);
  void Decline(SessionId session, uint64_t request, const api::DeclineCall& message);
  void HangUp(SessionId session, uint64_t request, const api::HangUp& message);
  void SendToPeer(SessionId session, uint64_t request, const api::SendToPeer& message);

  void OnDecision(const Decision& decision, const Now& now);
  void OnLeg(const LegAddresses& leg);
  void Tick(const Now& now);

  MonotonicMs NextDeadline() const {
    return deadlines_.empty() ? std::numeric_limits<MonotonicMs>::max()
                              : deadlines_.begin()->first.first;
  }
  Counters counters() const {
    Counters counters = counters_;
    counters.calls = static_cast<uint32_t>(calls_.size());
    return counters;
  }

 private:
  friend class SwitchboardSnapshot;  // of the exhaustive test: all that is here, as text

  // How a call ends for either party.
  struct Ending {
    calls::Call* call;
    api::CallEnded::Why to_caller;
    api::CallEnded::Why to_acceptor;
  };

  void Refuse(SessionId session, uint64_t request, api::Refused::Code code, std::string_view text);
  void AnswerPlaced(const calls::Call& call, uint64_t request);
  void SendPeerAddress(SessionId session, const calls::Call& call, CallSideName of);

  CallId MakeCallId(const AccountId& caller, const AccountId& recipient,
                    std::string_view place_id) const;
  calls::Call* Find(const CallId& id);
  // The call that `session` has placed or was offered, unless it is over. Refuses the request if
  // there is none.
  calls::Call* FindOwn(SessionId session, uint64_t request, const std::string& id);
  // The same, of one that was offered to it and still rings.
  calls::Call* FindRinging(SessionId session, uint64_t request, const std::string& id);
  calls::Session* FindSession(SessionId session);

  void Begin(calls::Call& call, calls::Session& session, const api::PlaceCall& message,
             const Now& now);
  void GiveTo(calls::Call& call, calls::Session& session);
  void SetDeadline(calls::Call& call, MonotonicMs deadline);
  void Offer(calls::Call& call, SessionId session, const Now& now);
  void StopRinging(calls::Call& call, api::CallStopped::Why why, SessionId except);
  void End(const std::vector<Ending>& endings);
  void Unlink(calls::Call& call);
  void Forget(calls::Call& call);
  void CountEnd(const calls::Call& call);
  void EraseIfEmpty(const AccountId& account);

  const SwitchboardOptions options_;
  ServerKey key_;
  CallEffects& effects_;
  PlaceRate rate_;
  Counters counters_;
  uint64_t order_ = 0;
  absl::flat_hash_map<SessionId, std::unique_ptr<calls::Session>> sessions_;
  absl::flat_hash_map<AccountId, calls::Account> accounts_;
  absl::flat_hash_map<CallId, std::unique_ptr<calls::Call>> calls_;
  // Of calls that aren't over, by Call::deadline and order.
  absl::btree_map<std::pair<MonotonicMs, uint64_t>, calls::Call*> deadlines_;
};

}  // namespace sotto::signaling
