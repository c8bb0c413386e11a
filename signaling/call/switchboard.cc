// SPDX-License-Identifier: Apache-2.0
#include "signaling/call/switchboard.h"

#include <sodium.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "signaling/call/call_frames.h"
#include "signaling/call/switchboard_impl.h"

namespace sotto::signaling {
namespace {

using calls::Account;
using calls::Call;
using calls::Phase;
using calls::Session;
using Code = api::Refused::Code;
using Ended = api::CallEnded;
using Stopped = api::CallStopped;

constexpr size_t kIdSize = std::tuple_size_v<CallId>;

template <typename Container, typename Value>
void Remove(Container& from, const Value& value) {
  from.erase(std::remove(from.begin(), from.end(), value), from.end());
}

std::optional<CallId> ParseCallId(std::string_view bytes) {
  if (bytes.size() != kIdSize) return std::nullopt;
  CallId id;
  std::copy(bytes.begin(), bytes.end(), id.begin());
  return id;
}

size_t Index(CallSideName side) { return static_cast<size_t>(side); }

}  // namespace

bool IsBodySize(size_t size) {
  constexpr std::array<size_t, 6> kSizes = {512, 1024, 2048, 4096, 8192, 16384};
  return std::find(kSizes.begin(), kSizes.end(), size) != kSizes.end();
}

Switchboard::Impl::Impl(const SwitchboardOptions& options, const ServerKey& key,
                        CallEffects& effects)
    : options_(options), key_(key), effects_(effects), rate_(options.max_places_per_minute) {
  // It fails only where the system has no randomness to give, and then nothing may go on.
  if (sodium_init() < 0) std::abort();
}

Switchboard::Impl::~Impl() { sodium_memzero(key_.data(), key_.size()); }

// --- What is sent

void Switchboard::Impl::Refuse(SessionId session, uint64_t request, Code code,
                               std::string_view text) {
  ++counters_.refused;
  effects_.Send(session, RefusedFrame(request, code, text));
}

// From what the caller has sent and the server's own alone: the recipient isn't looked at before.
void Switchboard::Impl::AnswerPlaced(const Call& call, uint64_t request) {
  effects_.Send(
      call.caller_session,
      CallPlacedFrame(request, call.place_id, call.id,
                      effects_.MintCredential(call.relay, call.id, CallSideName::kCaller,
                                              call.placed_unix_s, options_.credential_s)));
}

void Switchboard::Impl::SendPeerAddress(SessionId session, const Call& call, CallSideName of) {
  const auto& relayed = call.legs[Index(of)];
  if (!relayed.empty()) effects_.Send(session, PeerAddressFrame(call.id, relayed));
}

// --- What is known

CallId Switchboard::Impl::MakeCallId(const AccountId& caller, const AccountId& recipient,
                                     std::string_view place_id) const {
  using namespace std::string_view_literals;
  std::string input("sotto call id v1\0"sv);
  for (const AccountId* account : {&caller, &recipient}) {
    input.push_back(static_cast<char>(account->text().size()));
    input += account->text();
  }
  input += place_id;
  CallId id;
  crypto_generichash(id.data(), id.size(), reinterpret_cast<const uint8_t*>(input.data()),
                     input.size(), key_.data(), key_.size());
  return id;
}

Call* Switchboard::Impl::Find(const CallId& id) {
  const auto found = calls_.find(id);
  return found == calls_.end() ? nullptr : found->second.get();
}

Call* Switchboard::Impl::FindOwn(SessionId session, uint64_t request, const std::string& id) {
  const std::vector<Call*>& own = FindSession(session)->calls;
  const std::optional<CallId> parsed = ParseCallId(id);
  if (!parsed) {
    Refuse(session, request, api::Refused::CODE_MALFORMED, "call must have 16 bytes");
    return nullptr;
  }
  Call* call = Find(*parsed);
  if (call == nullptr || std::find(own.begin(), own.end(), call) == own.end()) {
    Refuse(session, request, api::Refused::CODE_NOT_FOUND, "this session has no such call");
    return nullptr;
  }
  return call;
}

Session* Switchboard::Impl::FindSession(SessionId session) {
  const auto found = sessions_.find(session);
  return found == sessions_.end() ? nullptr : found->second.get();
}

// --- Sessions

void Switchboard::Impl::Attach(const Party& party, const Now& now) {
  auto& session = sessions_[party.session];
  if (session != nullptr) return;
  session = std::make_unique<Session>(party);
  Account& account = accounts_[party.account.id()];
  account.sessions.push_back(party.session);
  for (Call* call : account.ringing) Offer(*call, party.session, now);
}

void Switchboard::Impl::Detach(SessionId session) {
  const auto found = sessions_.find(session);
  if (found == sessions_.end()) return;
  // First it is gone, so that nothing below is sent to it.
  const std::unique_ptr<Session> gone = std::move(found->second);
  sessions_.erase(found);
  std::vector<Ending> endings;
  for (Call* call : gone->calls) {
    if (call->caller_session == session) {
      call->caller_session = 0;
      endings.push_back({call, Ended::WHY_UNSPECIFIED, Ended::WHY_PEER_LOST});
      continue;
    }
    Remove(call->offered, session);
    if (call->acceptor == session) {
      call->acceptor = 0;
      endings.push_back({call, Ended::WHY_PEER_LOST, Ended::WHY_UNSPECIFIED});
    }
  }
  const AccountId& account = gone->party.account.id();
  Remove(accounts_[account].sessions, session);
  End(endings);
  EraseIfEmpty(account);
}

void Switchboard::Impl::EraseIfEmpty(const AccountId& account) {
  const auto found = accounts_.find(account);
  if (found != accounts_.end() && found->second.empty()) accounts_.erase(found);
}

// --- The caller places

void Switchboard::Impl::Place(SessionId session, uint64_t request, const api::PlaceCall& message,
                              const Now& now) {
  const auto refuse = [&](Code code, std::string_view text) {
    Refuse(session, request, code, text);
  };
  if (message.place_id().size() != kIdSize) {
    return refuse(api::Refused::CODE_MALFORMED, "place_id must have 16 bytes");
  }
  const std::optional<AccountId> recipient = AccountId::Parse(message.recipient());
  if (!recipient) {
    return refuse(api::Refused::CODE_MALFORMED, "recipient must be the name of an account");
  }
  if (!message.token().empty() && message.token().size() != kTokenSize) {
    return refuse(api::Refused::CODE_MALFORMED, "token must be empty or have 85 bytes");
  }
  if (!IsBodySize(message.offer().size())) {
    return refuse(api::Refused::CODE_MALFORMED,
                  "offer must have 512, 1024, 2048, 4096, 8192 or 16384 bytes");
  }

  Session& placing = *FindSession(session);
  const VerifiedAccount& caller = placing.party.account;
  const CallId id = MakeCallId(caller.id(), *recipient, message.place_id());
  Call* call = Find(id);
  if (call != nullptr && !call->over) {
    const SessionId before = call->caller_session;
    if (before == session) return AnswerPlaced(*call, request);
    Remove(FindSession(before)->calls, call);
    GiveTo(*call, placing);
    AnswerPlaced(*call, request);
    if (call->phase == Phase::kConnected) {
      effects_.Send(session, CallConnectedFrame(call->id, call->answer, call->protect_address));
      SendPeerAddress(session, *call, CallSideName::kRecipient);
    }
    effects_.Send(before, CallEndedFrame(id, Ended::WHY_HUNG_UP));
    return;
  }
  if (accounts_[caller.id()].placed >= options_.max_placed_per_account) {
    return refuse(api::Refused::CODE_TOO_MANY,
                  "the account has as many calls as it may have at a time");
  }
  if (call == nullptr && calls_.size() >= options_.max_calls) {
    return refuse(api::Refused::CODE_TRY_AGAIN, "the server has reached its limit of calls");
  }
  if (!rate_.Spend(caller.id(), now.monotonic_ms)) {
    return refuse(api::Refused::CODE_TOO_MANY,
                  "the account has placed as many calls as it may in a minute");
  }
  ++counters_.placed;
  if (call != nullptr) {
    // It ended, and its decision is still on the way: that one is for this call, too.
    Begin(*call, placing, message, now);
    AnswerPlaced(*call, request);
    return;
  }
  auto& made = calls_[id];
  made = std::make_unique<Call>(id, caller, *recipient);
  Begin(*made, placing, message, now);
  AnswerPlaced(*made, request);
  const auto token = std::as_bytes(std::span(message.token()));
  effects_.Decide(
      {.call = id,
       .caller = caller,
       .recipient = *recipient,
       .token = Token::Parse({reinterpret_cast<const uint8_t*>(token.data()), token.size()})});
}

void Switchboard::Impl::Begin(Call& call, Session& session, const api::PlaceCall& message,
                              const Now& now) {
  call.over = false;
  call.place_id = message.place_id();
  call.offer = message.offer();
  call.had_token = call.had_token || !message.token().empty();
  call.placed_unix_s = now.unix_s;
  call.relay = effects_.ChooseRelay();
  ++accounts_[call.caller.id()].placed;
  GiveTo(call, session);
  SetDeadline(call, now.monotonic_ms + uint64_t{options_.ring_s} * 1000);
}

void Switchboard::Impl::GiveTo(Call& call, Session& session) {
  call.caller_session = session.party.session;
  session.calls.push_back(&call);
}

void Switchboard::Impl::SetDeadline(Call& call, MonotonicMs deadline) {
  deadlines_.erase({call.deadline, call.order});
  call.deadline = deadline;
  call.order = ++order_;
  deadlines_.emplace(std::pair(call.deadline, call.order), &call);
}

// --- It rings, or doesn't

void Switchboard::Impl::OnDecision(const Decision& decision, const Now& now) {
  Call* call = Find(decision.call);
  if (call == nullptr || call->phase != Phase::kDeciding) return;
  const bool ring = decision.ring && call->recipient != call->caller.id();
  call->misses = ring;
  call->protect_address = decision.protect_address;
  call->serial = decision.serial;
  call->phase = Phase::kQuiet;
  if (call->over) {
    ++counters_.not_rung;
    return Forget(*call);
  }
  if (ring) {
    Account& account = accounts_[call->recipient];
    if (account.ringing.size() < options_.max_ringing_per_account) {
      ++counters_.rang;
      call->phase = Phase::kRinging;
      account.ringing.push_back(call);
      for (const SessionId session : account.sessions) Offer(*call, session, now);
      return;
    }
  }
  ++counters_.not_rung;
  call->offer = {};
}

void Switchboard::Impl::Offer(Call& call, SessionId session, const Now& now) {
  api::ServerFrame frame;
  api::IncomingCall& incoming = *frame.mutable_incoming_call();
  incoming.set_call(std::string(AsBytes(call.id)));
  incoming.set_caller(call.caller.id().text());
  incoming.set_offer(call.offer);
  SetIceServer(effects_.MintCredential(call.relay, call.id, CallSideName::kRecipient, now.unix_s,
                                       options_.credential_s),
               incoming.mutable_relay());
  if (call.serial) {
    incoming.set_with_token(true);
    incoming.set_token_serial(std::string(call.serial->begin(), call.serial->end()));
  }
  const MonotonicMs left = call.deadline > now.monotonic_ms ? call.deadline - now.monotonic_ms : 0;
  incoming.set_rings_for_s(std::max<uint32_t>(1, static_cast<uint32_t>((left + 999) / 1000)));
  call.offered.push_back(session);
  FindSession(session)->calls.push_back(&call);
  effects_.Send(session, std::move(frame));
}

// The devices stop; what the call becomes is the caller's to say.
void Switchboard::Impl::StopRinging(Call& call, Stopped::Why why, SessionId except) {
  Remove(accounts_[call.recipient].ringing, &call);
  EraseIfEmpty(call.recipient);
  call.offer = {};
  for (const SessionId session : call.offered) {
    if (session != except) effects_.Send(session, CallStoppedFrame(call.id, why));
  }
}

// --- The recipient accepts or declines

Call* Switchboard::Impl::FindRinging(SessionId session, uint64_t request, const std::string& id) {
  Call* call = FindOwn(session, request, id);
  if (call == nullptr) return nullptr;
  if (call->caller_session == session) {
    // Whatever the phase: it says what became of the call.
    Refuse(session, request, api::Refused::CODE_NOT_FOUND,
           "the call does not ring on this session");
    return nullptr;
  }
  if (call->phase != Phase::kRinging) {
    Refuse(session, request, api::Refused::CODE_WRONG_STATE, "the call no longer rings");
    return nullptr;
  }
  return call;
}

void Switchboard::Impl::Accept(SessionId session, uint64_t request, const api::AcceptCall& message,
                               const Now& now) {
  if (!IsBodySize(message.answer().size())) {
    return Refuse(session, request, api::Refused::CODE_MALFORMED,
                  "answer must have 512, 1024, 2048, 4096, 8192 or 16384 bytes");
  }
  Call* call = FindRinging(session, request, message.call());
  if (call == nullptr) return;
  ++counters_.connected;
  ++counters_.connected_calls;
  call->phase = Phase::kConnected;
  call->acceptor = session;
  call->answer = message.answer();
  SetDeadline(*call, now.monotonic_ms + uint64_t{options_.max_call_s} * 1000);
  effects_.Send(session, DoneFrame(request));
  effects_.ArmCall(call->relay, call->id);
  effects_.Send(call->caller_session,
                CallConnectedFrame(call->id, call->answer, call->protect_address));
  effects_.Send(session, CallConnectedFrame(call->id, {}, call->protect_address));
  StopRinging(*call, Stopped::WHY_ANSWERED_ELSEWHERE, session);
}

void Switchboard::Impl::Decline(SessionId session, uint64_t request,
                                const api::DeclineCall& message) {
  Call* call = FindRinging(session, request, message.call());
  if (call == nullptr) return;
  call->phase = Phase::kQuiet;
  call->misses = false;
  call->declined = true;
  effects_.Send(session, DoneFrame(request));
  StopRinging(*call, Stopped::WHY_DECLINED_ELSEWHERE, session);
}

// --- Connected

void Switchboard::Impl::SendToPeer(SessionId session, uint64_t request,
                                   const api::SendToPeer& message) {
  if (!IsBodySize(message.body().size())) {
    return Refuse(session, request, api::Refused::CODE_MALFORMED,
                  "body must have 512, 1024, 2048, 4096, 8192 or 16384 bytes");
  }
  Call* call = FindOwn(session, request, message.call());
  if (call == nullptr) return;
  const bool by_caller = call->caller_session == session;
  if (call->phase != Phase::kConnected || (!by_caller && call->acceptor != session)) {
    return Refuse(session, request, api::Refused::CODE_WRONG_STATE, "the call is not connected");
  }
  if (call->protect_address) {
    return Refuse(session, request, api::Refused::CODE_WRONG_STATE,
                  "the call protects addresses, so its parties can't send messages to each other");
  }
  uint32_t& sent =
      call->peer_messages[Index(by_caller ? CallSideName::kCaller : CallSideName::kRecipient)];
  if (sent >= options_.max_peer_messages) {
    return Refuse(session, request, api::Refused::CODE_TOO_MANY,
                  "too many messages to the peer in this call");
  }
  ++sent;
  effects_.Send(session, DoneFrame(request));
  effects_.Send(by_caller ? call->acceptor : call->caller_session,
                FromPeerFrame(call->id, message.body()));
}

void Switchboard::Impl::OnLeg(const LegAddresses& leg) {
  Call* call = Find(leg.call);
  if (call == nullptr || call->phase != Phase::kConnected) return;
  auto& known = call->legs[Index(leg.side)];
  // A relay names all its legs again when signaling has lost sight of it.
  if (known == leg.relayed) return;
  known = leg.relayed;
  SendPeerAddress(leg.side == CallSideName::kCaller ? call->acceptor : call->caller_session, *call,
                  leg.side);
}

// --- The end

void Switchboard::Impl::HangUp(SessionId session, uint64_t request, const api::HangUp& message) {
  Call* call = FindOwn(session, request, message.call());
  if (call == nullptr) return;
  const bool by_caller = call->caller_session == session;
  if (!by_caller && call->acceptor != session) {
    return Refuse(session, request, api::Refused::CODE_WRONG_STATE,
                  "this session has not accepted the call");
  }
  effects_.Send(session, DoneFrame(request));
  End({by_caller ? Ending{call, Ended::WHY_HUNG_UP, Ended::WHY_PEER_HUNG_UP}
                 : Ending{call, Ended::WHY_PEER_HUNG_UP, Ended::WHY_HUNG_UP}});
}

void Switchboard::Impl::Tick(const Now& now) {
  std::vector<Ending> endings;
  for (const auto& [key, call] : deadlines_) {
    if (key.first > now.monotonic_ms) break;
    endings.push_back(call->phase == Phase::kConnected
                          ? Ending{call, Ended::WHY_PEER_LOST, Ended::WHY_PEER_LOST}
                          : Ending{call, Ended::WHY_NO_ANSWER, Ended::WHY_UNSPECIFIED});
  }
  End(endings);
}

void Switchboard::Impl::End(const std::vector<Ending>& endings) {
  for (const Ending& ending : endings) {
    const Call& call = *ending.call;
    if (call.caller_session != 0) {
      effects_.Send(call.caller_session, CallEndedFrame(call.id, ending.to_caller));
    }
  }
  for (const Ending& ending : endings) {
    Call& call = *ending.call;
    if (call.phase == Phase::kRinging) {
      StopRinging(call, Stopped::WHY_MISSED, /*except=*/0);
      call.phase = Phase::kQuiet;
    } else if (call.acceptor != 0) {
      effects_.Send(call.acceptor, CallEndedFrame(call.id, ending.to_acceptor));
    }
    effects_.EndRelayCall(call.relay, call.id);
    Unlink(call);
    if (call.phase == Phase::kDeciding) {
      call.over = true;
      call.offer = {};
    } else {
      Forget(call);
    }
  }
}

// From now on it's no party's call.
void Switchboard::Impl::Unlink(Call& call) {
  deadlines_.erase({call.deadline, call.order});
  if (Session* session = FindSession(call.caller_session)) Remove(session->calls, &call);
  for (const SessionId offered : call.offered) {
    if (Session* session = FindSession(offered)) Remove(session->calls, &call);
  }
  call.caller_session = 0;
  call.offered.clear();
  --accounts_[call.caller.id()].placed;
  EraseIfEmpty(call.caller.id());
}

void Switchboard::Impl::Forget(Call& call) {
  if (call.had_token) effects_.EndRedemption(call.id);
  if (call.phase != Phase::kConnected) {
    counters_.missed += call.misses ? 1 : 0;
    effects_.Missed(call.recipient, call.caller, /*pretend=*/!call.misses);
  }
  CountEnd(call);
  const CallId id = call.id;
  calls_.erase(id);
}

void Switchboard::Impl::CountEnd(const Call& call) {
  if (call.phase == Phase::kConnected) {
    ++counters_.ended_answered;
    --counters_.connected_calls;
  } else if (call.declined) {
    ++counters_.ended_declined;
  } else {
    ++(call.misses ? counters_.ended_missed : counters_.ended_silenced);
  }
}

// --- The public face

Switchboard::Switchboard(const SwitchboardOptions& options, const ServerKey& key,
                         CallEffects& effects)
    : impl_(std::make_unique<Impl>(options, key, effects)) {}
Switchboard::~Switchboard() = default;

void Switchboard::Attach(const Party& party, const Now& now) { impl_->Attach(party, now); }
void Switchboard::Detach(SessionId session, const Now&) { impl_->Detach(session); }

void Switchboard::Handle(SessionId session, uint64_t request, const api::PlaceCall& message,
                         const Now& now) {
  if (impl_->IsAttached(session)) impl_->Place(session, request, message, now);
}
void Switchboard::Handle(SessionId session, uint64_t request, const api::AcceptCall& message,
                         const Now& now) {
  if (impl_->IsAttached(session)) impl_->Accept(session, request, message, now);
}
void Switchboard::Handle(SessionId session, uint64_t request, const api::DeclineCall& message,
                         const Now&) {
  if (impl_->IsAttached(session)) impl_->Decline(session, request, message);
}
void Switchboard::Handle(SessionId session, uint64_t request, const api::HangUp& message,
                         const Now&) {
  if (impl_->IsAttached(session)) impl_->HangUp(session, request, message);
}
void Switchboard::Handle(SessionId session, uint64_t request, const api::SendToPeer& message,
                         const Now&) {
  if (impl_->IsAttached(session)) impl_->SendToPeer(session, request, message);
}

void Switchboard::OnDecision(const Decision& decision, const Now& now) {
  impl_->OnDecision(decision, now);
}
void Switchboard::OnDecisionFailed(const CallId& call, const Now& now) {
  Decision silenced;
  silenced.call = call;
  impl_->OnDecision(silenced, now);
}
void Switchboard::OnLeg(const LegAddresses& leg, const Now&) { impl_->OnLeg(leg); }
void Switchboard::Tick(const Now& now) { impl_->Tick(now); }
MonotonicMs Switchboard::NextDeadline() const { return impl_->NextDeadline(); }
Switchboard::Counters Switchboard::counters() const { return impl_->counters(); }

}  // namespace sotto::signaling
