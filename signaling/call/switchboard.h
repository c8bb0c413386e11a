// Calls: from place to ring, accept and end. No sockets, no threads, no clock: messages and the time
// are passed in, and what follows goes out through `CallEffects`. All on one thread.
//
// Two rules carry the product, and the exhaustive test (switchboard_search_test.cc) holds the code to
// them over all orders of messages:
//   - nothing but an accept by the recipient's own session connects a call or arms its relay legs;
//   - until then the caller gets the same frames at the same times, whoever the recipient is and
//     whatever was decided: CallPlaced at once, CallEnded{NO_ANSWER} when the time is out.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "signaling/api/api.h"
#include "signaling/decision/decider.h"
#include "signaling/identity/account.h"
#include "signaling/relay_client/relay_fleet.h"

namespace sotto::signaling {

using SessionId = uint64_t;     // never used twice within a process
using MonotonicMs = uint64_t;   // a clock that only goes forward

struct CallTime {
  MonotonicMs monotonic_ms = 0;
  int64_t unix_s = 0;
};

// Whom a session belongs to.
struct Party {
  SessionId session = 0;
  VerifiedAccount account;
  DeviceId device = {};
};

struct SwitchboardOptions {
  uint32_t ring_s = 45;
  uint32_t max_calls = 100'000;           // at a time, over all
  uint32_t max_placed_per_account = 8;    // at a time; connected calls count
  uint32_t max_places_per_minute = 60;    // of an account
  uint32_t max_ringing_per_account = 16;  // beyond, a call doesn't ring and is missed
  uint32_t max_peer_messages = 64;        // SendToPeer, of a call and party
  uint32_t credential_s = 600;            // within which a leg may be allocated
  uint32_t max_call_s = 24 * 3600;        // a connected call ends then
};

class CallEffects {
 public:
  virtual ~CallEffects() = default;

  // To one session; lost if that is gone. `frame` has its body, and `request` if it answers one.
  virtual void Send(SessionId session, api::ServerFrame frame) = 0;
  // Asks for a decision; OnDecision() or OnDecisionFailed() follows, never from within this call.
  virtual void Decide(DecisionRequest request) = 0;
  // The call's token is used up for good (Store::EndRedemption).
  virtual void EndRedemption(const CallId& call) = 0;
  // A call that may have rung wasn't answered (NoticeKind::kMissed).
  virtual void Missed(const AccountId& recipient, const VerifiedAccount& caller) = 0;

  virtual RelayIndex ChooseRelay() = 0;
  virtual RelayCredential MintCredential(RelayIndex relay, const CallId& call, CallSideName side,
                                         int64_t unix_s, uint32_t valid_s) = 0;
  virtual void ArmCall(RelayIndex relay, const CallId& call) = 0;
  virtual void EndRelayCall(RelayIndex relay, const CallId& call) = 0;
};

class Switchboard {
 public:
  // `key` keys the ids of calls. `effects` must outlive the object.
  Switchboard(const SwitchboardOptions& options, const ServerKey& key, CallEffects& effects);
  ~Switchboard();

  // A session begins: calls that ring for its account ring here too, if they still do. A session
  // ends when it can't be resumed any more: its calls end, ringing ones that others can still accept
  // excepted.
  void Attach(const Party& party, const CallTime& now);
  void Detach(SessionId session, const CallTime& now);

  // `request` is the ClientFrame.seq to answer. The session must be attached. Fields may hold
  // anything.
  void Handle(SessionId session, uint64_t request, const api::PlaceCall& message,
              const CallTime& now);
  void Handle(SessionId session, uint64_t request, const api::AcceptCall& message,
              const CallTime& now);
  void Handle(SessionId session, uint64_t request, const api::DeclineCall& message,
              const CallTime& now);
  void Handle(SessionId session, uint64_t request, const api::HangUp& message,
              const CallTime& now);
  void Handle(SessionId session, uint64_t request, const api::SendToPeer& message,
              const CallTime& now);

  // A call that is over by now is ignored.
  void OnDecision(const Decision& decision, const CallTime& now);
  void OnDecisionFailed(const CallId& call, const CallTime& now);  // as if it were silenced
  void OnLeg(const LegAddresses& leg, const CallTime& now);

  // Ends what is out of time. Call it at NextDeadline() or soon after; all callers of one Tick are
  // told before any recipient is.
  void Tick(const CallTime& now);
  // UINT64_MAX: none.
  MonotonicMs NextDeadline() const;

  struct Counters {
    uint64_t placed = 0;
    uint64_t refused = 0;
    uint64_t rang = 0;       // on one device at least, or waited for one
    uint64_t connected = 0;
    uint64_t not_rung = 0;
    uint64_t missed = 0;
    uint32_t calls = 0;      // at the moment
  };
  Counters counters() const;

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

// Whether a body has one of the sizes that bodies may have.
bool IsBodySize(size_t size);

}  // namespace sotto::signaling
