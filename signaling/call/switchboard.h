// SPDX-License-Identifier: Apache-2.0
// Calls: from place to ring, accept and end. No sockets, no threads, no clock: messages and the
// time are passed in, and what follows goes out through `CallEffects`. All on one thread.
//
// Two rules carry the product, and the exhaustive test (switchboard_search_test.cc) holds the code
// to them over all orders of messages:
//   - nothing but an accept by a session of the recipient's that was offered the call connects it
//     or arms its relay legs;
//   - until then the caller gets the same frames at the same times, whoever the recipient is and
//     whatever was decided: CallPlaced at once, CallEnded{NO_ANSWER} when the time is out.
//
// Of all that follows from a message or a deadline, the frames to callers come first: what is done
// for recipients can't delay them. And what is done at the end of a call that wasn't answered is
// done alike for all of them, as far as others see it (`Missed`, `EndRedemption`, `EndRelayCall`).
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "relay/base/clock.h"
#include "signaling/api/api.h"
#include "signaling/decision/decision.h"
#include "signaling/identity/account.h"
#include "signaling/ids.h"
#include "signaling/relay_client/relay_fleet.h"

namespace sotto::signaling {

// Whom a session belongs to.
struct Party {
  SessionId session = 0;
  VerifiedAccount account;
  DeviceId device = {};
};

struct SwitchboardOptions {
  uint32_t ring_s = 45;
  uint32_t max_calls = 100'000;           // at a time, over all: beyond, CODE_TRY_AGAIN
  uint32_t max_placed_per_account = 8;    // at a time; connected calls count
  uint32_t max_places_per_minute = 60;    // of an account; placing a standing call again is free
  uint32_t max_ringing_per_account = 16;  // beyond, a call doesn't ring and is missed
  uint32_t max_peer_messages = 64;        // SendToPeer, of a call and party
  uint32_t credential_s = 600;            // within which a leg may be allocated
  uint32_t max_call_s = 24 * 3600;        // a connected call ends then, WHY_PEER_LOST to both
};

class CallEffects {
 public:
  virtual ~CallEffects() = default;

  // To one session; lost if that is gone. `frame` has its body, and `request` if it answers one.
  virtual void Send(SessionId session, api::ServerFrame frame) = 0;
  // Asks for a decision; OnDecision() or OnDecisionFailed() follows, once, and never from within
  // this call. Until then the call is remembered, even if it ends.
  virtual void Decide(DecisionRequest request) = 0;
  // The call is over: its token, if it had a good one, is used up (Store::EndRedemption). For each
  // call that was placed with a token, whatever was decided; after its decision.
  virtual void EndRedemption(const CallId& call) = 0;
  // A call wasn't answered. For each such call, once, after its decision; `pretend` where it
  // neither rang nor would have, or was declined: then the same work is to be done and nothing to
  // be left (NoticeBox::Add), so that the time that it takes doesn't tell a caller who looks.
  virtual void Missed(const AccountId& recipient, const VerifiedAccount& caller, bool pretend) = 0;

  virtual RelayIndex ChooseRelay() = 0;
  virtual RelayCredential MintCredential(RelayIndex relay, const CallId& call, CallSideName side,
                                         int64_t unix_s, uint32_t valid_s) = 0;
  virtual void ArmCall(RelayIndex relay, const CallId& call) = 0;
  // For each call that ends, armed or not: its caller may have allocated a leg.
  virtual void EndRelayCall(RelayIndex relay, const CallId& call) = 0;
};

class Switchboard {
 public:
  // `key` keys the ids of calls. `effects` must outlive the object, and doesn't call back into it.
  Switchboard(const SwitchboardOptions& options, const ServerKey& key, CallEffects& effects);
  ~Switchboard();

  // A session begins: calls that ring for its account ring here too. A resumed session hasn't
  // ended, and isn't attached again.
  void Attach(const Party& party, const Now& now);
  // A session ends for good. What it has placed is over, as after a HangUp (to a peer that is
  // connected: WHY_PEER_LOST), and so is what it has accepted; what rings here rings on for the
  // account's other devices, and for those to come. It gets no more frames.
  void Detach(SessionId session, const Now& now);

  // `request` is the ClientFrame.seq to answer: PlaceCall with CallPlaced, the others with Done,
  // which comes before anything else that follows; or with Refused, and nothing else has happened.
  // Fields may hold anything. Does nothing if the session isn't attached.
  //
  // MALFORMED: `place_id` or `call` without 16 bytes, a recipient that no account's name can be, a
  // token without 85 bytes, a body without a body's size. (A token of 85 bytes that is none counts
  // as no token, and a call to oneself rings nowhere: neither is refused.) TOO_MANY, TRY_AGAIN: see
  // SwitchboardOptions. NOT_FOUND: no such call, or not this session's. WRONG_STATE: this
  // session's, but it doesn't ring (any more), or isn't connected, or protects addresses.
  //
  // A call belongs to the session that placed it. Placed again (same account, recipient and
  // place_id) while it stands, it is the same call: CallPlaced again and no second decision; from
  // another session of the account, it moves there, and if it is connected that session is told so
  // (CallConnected, PeerAddress); the session that had it gets CallEnded{HUNG_UP}.
  void Handle(SessionId session, uint64_t request, const api::PlaceCall& message, const Now& now);
  void Handle(SessionId session, uint64_t request, const api::AcceptCall& message, const Now& now);
  void Handle(SessionId session, uint64_t request, const api::DeclineCall& message, const Now& now);
  // By the caller at any time, by the recipient's session that accepted. CallEnded{HUNG_UP} follows
  // Done.
  void Handle(SessionId session, uint64_t request, const api::HangUp& message, const Now& now);
  void Handle(SessionId session, uint64_t request, const api::SendToPeer& message, const Now& now);

  // Of a call that is over by now: it is missed if it would have rung.
  void OnDecision(const Decision& decision, const Now& now);
  void OnDecisionFailed(const CallId& call, const Now& now);  // as if it were silenced
  // Becomes PeerAddress to the other side; ignored unless the call is connected.
  void OnLeg(const LegAddresses& leg, const Now& now);

  // Ends what is out of time. Call it at NextDeadline() or soon after; all callers of one Tick are
  // told before any recipient is.
  void Tick(const Now& now);
  // UINT64_MAX: none.
  MonotonicMs NextDeadline() const;

  struct Counters {
    uint64_t placed = 0;   // without those that were placed again
    uint64_t refused = 0;  // requests of all kinds
    uint64_t rang = 0;     // on one device at least, or waited for one
    uint64_t connected = 0;
    uint64_t not_rung = 0;
    uint64_t missed = 0;  // without `pretend`
    // What became of calls that are over and decided: each is counted once.
    uint64_t ended_answered = 0;
    uint64_t ended_missed = 0;  // rang, or would have, and nobody answered
    uint64_t ended_declined = 0;
    uint64_t ended_silenced = 0;  // didn't ring, whyever
    uint32_t calls = 0;           // at the moment, those included that are over but not decided
    uint32_t connected_calls = 0;
  };
  Counters counters() const;

 private:
  friend class SwitchboardSnapshot;
  class Impl;
  std::unique_ptr<Impl> impl_;
};

// Whether a body has one of the sizes that bodies may have.
bool IsBodySize(size_t size);

}  // namespace sotto::signaling
