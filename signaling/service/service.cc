// SPDX-License-Identifier: Apache-2.0
#include "signaling/service/service.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <utility>

#include "relay/daemon/log.h"

namespace sotto::signaling {
namespace {

template <size_t kSize>
std::optional<std::array<uint8_t, kSize>> Bytes(const std::string& text) {
  if (text.size() != kSize) return std::nullopt;
  std::array<uint8_t, kSize> bytes;
  std::memcpy(bytes.data(), text.data(), kSize);
  return bytes;
}

std::span<const uint8_t> Span(const std::string& text) {
  return {reinterpret_cast<const uint8_t*>(text.data()), text.size()};
}

SessionEnd EndOf(CloseCode code) {
  switch (code) {
    case CloseCode::kDone:
      return SessionEnd::kGoodbye;
    case CloseCode::kStopping:
      return SessionEnd::kOperator;
    case CloseCode::kBlocked:
      return SessionEnd::kBlocked;
    case CloseCode::kProtocol:
      return SessionEnd::kProtocol;
    case CloseCode::kIdentity:
      return SessionEnd::kIdentity;
    case CloseCode::kSilent:
      return SessionEnd::kNotResumed;
    case CloseCode::kReplaced:
      return SessionEnd::kReplaced;
    case CloseCode::kRemoved:
      return SessionEnd::kRemoved;
    case CloseCode::kSlow:
      return SessionEnd::kSlow;
    case CloseCode::kTooMany:
      break;
  }
  return SessionEnd::kTooMany;
}

}  // namespace

// What a Hello brought, and what the store knows.
struct Service::Greeting {
  ConnectionId connection = 0;
  VerifiedIdentity identity;
  Device device;
  std::string resume;
  uint64_t ack = 0;
  // Written on the store's thread, read once its job is done.
  bool blocked = false;
  AccountRecord record = {};
  std::vector<StoredNotice> notices = {};
};

Service::Service(const ServiceOptions& options, const ServerKey& key, IdentityVerifier& identities,
                 StoreClient& store, RelayFleet& relays, Clock clock)
    : options_(options),
      key_(key),
      identities_(identities),
      store_(store),
      relays_(relays),
      clock_(std::move(clock)),
      sessions_(options.sessions),
      switchboard_(options.calls, key, *this) {}

Service::~Service() = default;

// --- Connections

ConnectionId Service::OnOpen(Connection& connection) {
  const ConnectionId id = next_connection_++;
  if (stopping_) {
    connection.Close(CloseCode::kStopping, "the server is stopping");
    return id;
  }
  auto& peer = peers_[id];
  peer = std::make_unique<Peer>();
  peer->connection = &connection;
  hello_deadlines_.Schedule(id, peer->entry,
                            CurrentTime().monotonic_ms + uint64_t{options_.hello_s} * 1000);
  return id;
}

void Service::OnMessage(ConnectionId id, std::span<const uint8_t> message) {
  const auto it = peers_.find(id);
  if (it == peers_.end()) return;
  Peer& peer = *it->second;
  ++counters_.frames_in;
  api::ClientFrame frame;
  const bool parsed = message.size() <= kMaxMessageSize &&
                      frame.ParseFromArray(message.data(), static_cast<int>(message.size())) &&
                      frame.body_case() != api::ClientFrame::BODY_NOT_SET;
  if (peer.state == Peer::State::kOpen) {
    if (parsed) {
      OnSessionFrame(id, peer, frame);
    } else {
      EndLater(peer.session, CloseCode::kProtocol, "not a frame of this protocol");
    }
  } else if (!parsed || peer.state == Peer::State::kGreeting || !frame.has_hello()) {
    ++counters_.protocol_errors;
    ClosePeer(id, CloseCode::kProtocol,
              !parsed                                ? "not a frame of this protocol"
              : peer.state == Peer::State::kGreeting ? "a frame before Welcome"
                                                     : "the first frame must be Hello");
  } else {
    OnHello(id, peer, frame);
  }
  Settle();
}

void Service::OnClosed(ConnectionId id) {
  const auto it = peers_.find(id);
  if (it == peers_.end()) return;
  hello_deadlines_.Remove(id, it->second->entry);
  Session* const session = sessions_.Find(it->second->session);
  peers_.erase(it);
  if (session != nullptr) sessions_.Detach(*session, CurrentTime().monotonic_ms);
}

void Service::ClosePeer(ConnectionId id, CloseCode code, std::string_view reason) {
  const auto it = peers_.find(id);
  if (it == peers_.end()) return;
  Connection* const connection = it->second->connection;
  hello_deadlines_.Remove(id, it->second->entry);
  peers_.erase(it);
  connection->Close(code, reason);
}

// --- Sessions

void Service::OnHello(ConnectionId id, Peer& peer, const api::ClientFrame& frame) {
  const api::Hello& hello = frame.hello();
  const auto device = Bytes<16>(hello.device());
  const auto notice_key = Bytes<32>(hello.notice_key());
  if (frame.seq() != 0 || !device || !notice_key ||
      (!hello.resume().empty() && hello.resume().size() != kResumeSecretSize)) {
    ++counters_.protocol_errors;
    return ClosePeer(id, CloseCode::kProtocol, "Hello has a field of the wrong size");
  }
  const absl::StatusOr<VerifiedIdentity> identity =
      identities_.Verify(hello.identity(), CurrentTime().unix_s());
  if (!identity.ok()) {
    CountIdentityFault(IdentityVerifier::FaultOf(identity.status()));
    const absl::string_view why = identity.status().message();
    return ClosePeer(id, CloseCode::kIdentity, std::string_view(why.data(), why.size()));
  }
  auto greeting = std::make_shared<Greeting>(Greeting{
      .connection = id,
      .identity = *identity,
      .device = {.id = *device, .notice_key = *notice_key},
      .resume = hello.resume(),
      .ack = frame.ack(),
  });
  const bool submitted = store_.Submit(
      [greeting](StoreContext& context) -> absl::Status {
        const AccountId& account = greeting->identity.account.id();
        const auto known = context.store.FindAccount(account);
        if (!known.ok()) return known.status();
        greeting->blocked = *known && (*known)->barred;
        if (greeting->blocked) return absl::OkStatus();
        if (absl::Status put = context.store.PutDevice(account, greeting->device); !put.ok()) {
          return put;
        }
        auto record = context.store.FindAccount(account);
        if (!record.ok()) return record.status();
        if (*record) greeting->record = **std::move(record);
        return TakeNotices(context, account, greeting->device.id, greeting->notices);
      },
      [this, greeting](const absl::Status& status) {
        OnGreeted(*greeting, status);
        Settle();
      });
  if (!submitted) {
    ++counters_.store_refusals;
    return ClosePeer(id, CloseCode::kTooMany, "the server is busy");
  }
  peer.state = Peer::State::kGreeting;
}

void Service::OnGreeted(const Greeting& greeting, const absl::Status& status) {
  const auto it = peers_.find(greeting.connection);
  if (it == peers_.end()) return;  // gone meanwhile
  Peer& peer = *it->second;
  if (!status.ok()) {
    const bool full = absl::IsResourceExhausted(status);
    ++(full ? counters_.full_refused : counters_.store_failures);
    return ClosePeer(greeting.connection, CloseCode::kTooMany,
                     full ? "the account has too many devices; remove one"
                          : "the server can't do this at the moment");
  }
  if (greeting.blocked) {
    ++counters_.blocked_refused;
    return ClosePeer(greeting.connection, CloseCode::kBlocked, "the operator blocks the account");
  }
  const ServiceTime now = CurrentTime();
  const VerifiedAccount& account = greeting.identity.account;
  Session* session =
      sessions_.FindResumable(Span(greeting.resume), account.id(), greeting.device.id);
  const bool resumed = session != nullptr && session->outbox.Acknowledge(greeting.ack);
  if (Session* const standing = sessions_.FindDevice(account.id(), greeting.device.id)) {
    if (standing->connection != 0) {
      const ConnectionId old = std::exchange(standing->connection, 0);
      ClosePeer(old, CloseCode::kReplaced, "the same device connected again");
    }
    if (!resumed) {
      EndLater(standing->id, CloseCode::kReplaced, "the same device connected again");
      Settle();
    }
  }
  ResumeSecret secret = {};
  if (resumed) {
    ++counters_.sessions_resumed;
    std::memcpy(secret.data(), greeting.resume.data(), secret.size());
    sessions_.Attach(*session, greeting.connection, now.monotonic_ms);
  } else {
    if (sessions_.RoomFor(account.id()) != SessionTable::Room::kYes) {
      ++counters_.full_refused;
      return ClosePeer(greeting.connection, CloseCode::kTooMany, "too many sessions");
    }
    ++counters_.sessions_opened;
    session =
        &sessions_.Open(account, greeting.device.id, greeting.connection, now.monotonic_ms, secret);
  }
  peer.state = Peer::State::kOpen;
  peer.session = session->id;
  hello_deadlines_.Remove(greeting.connection, peer.entry);
  SetIdentityEnd(*session, greeting.identity.valid_until_unix_s);
  Welcome(*session, greeting, resumed, secret);
  if (!resumed) {
    switchboard_.Attach({.session = session->id, .account = account, .device = session->device},
                        now.call_time());
  }
  SendNotices(*session, greeting.notices);
}

void Service::Welcome(Session& session, const Greeting& greeting, bool resumed,
                      std::span<const uint8_t> secret) {
  api::ServerFrame frame;
  api::Welcome& welcome = *frame.mutable_welcome();
  welcome.set_session(secret.data(), secret.size());
  welcome.set_resumed(resumed);
  welcome.set_account(session.account.id().text());
  welcome.set_server_time_ms(CurrentTime().unix_ms);
  welcome.set_heartbeat_s(options_.sessions.heartbeat_s);
  welcome.set_resume_s(options_.sessions.resume_s);
  welcome.set_ring_s(options_.calls.ring_s);
  const AccountSettings& settings = greeting.record.settings;
  welcome.mutable_settings()->set_silence_unknown_callers(settings.silence_unknown_callers);
  welcome.mutable_settings()->set_protect_ip_address(settings.protect_ip_address);
  for (const EpochKey& key : greeting.record.epoch_keys) welcome.add_epochs(key.epoch);
  welcome.set_has_account_keys(greeting.record.keys.has_value());

  Connection& connection = *peers_.find(session.connection)->second->connection;
  bool taken = connection.Send(EncodeUnnumbered(std::move(frame), session.inbox.seen()));
  ++counters_.frames_out;
  for (uint64_t seq = session.outbox.first_kept(); taken && seq < session.outbox.end(); ++seq) {
    taken = connection.Send(session.outbox.Encode(seq, session.inbox.seen()));
    ++counters_.frames_out;
  }
  if (!taken) EndLater(session.id, CloseCode::kSlow, "too much data waits to be sent");
}

void Service::OnSessionFrame(ConnectionId id, Peer& peer, const api::ClientFrame& frame) {
  Session& session = *sessions_.Find(peer.session);
  const ServiceTime now = CurrentTime();
  if (!session.budget.Take(now.monotonic_ms)) {
    return EndLater(session.id, CloseCode::kTooMany, "too many frames");
  }
  sessions_.Heard(session, now.monotonic_ms);
  const bool unnumbered = frame.has_ping();
  if (frame.has_hello() || unnumbered != (frame.seq() == 0)) {
    return EndLater(session.id, CloseCode::kProtocol, "a frame with an invalid seq");
  }
  if (!session.outbox.Acknowledge(frame.ack())) {
    return EndLater(session.id, CloseCode::kProtocol, "an ack of a frame that was not sent");
  }
  if (unnumbered) {
    api::ServerFrame pong;
    pong.mutable_pong();
    ++counters_.frames_out;
    if (!peer.connection->Send(EncodeUnnumbered(std::move(pong), session.inbox.seen()))) {
      EndLater(session.id, CloseCode::kSlow, "too much data waits to be sent");
    }
    return;
  }
  switch (session.inbox.Take(frame.seq())) {
    case Inbox::Arrival::kAgain:
      return;
    case Inbox::Arrival::kGap:
      // The session itself is whole: a client that lost count of one connection may resume.
      ++counters_.protocol_errors;
      ClosePeer(id, CloseCode::kProtocol, "a frame is missing");
      sessions_.Detach(session, now.monotonic_ms);
      return;
    case Inbox::Arrival::kNext:
      OnRequest(session, frame);
  }
}

void Service::SetIdentityEnd(Session& session, int64_t until_unix_s) {
  const ServiceTime now = CurrentTime();
  session.identity_until_unix_s = until_unix_s;
  session.identity_until_ms = now.monotonic_ms + static_cast<uint64_t>(std::max<int64_t>(
                                                     until_unix_s * 1000 - now.unix_ms, 0));
  sessions_.Reschedule(session);
}

void Service::CountIdentityFault(IdentityFault fault) {
  ++counters_.identities_refused;
  ++counters_.identity_faults[static_cast<size_t>(fault)];
}

void Service::EndLater(SessionId session, CloseCode code, std::string_view reason) {
  if (code == CloseCode::kProtocol) ++counters_.protocol_errors;
  endings_.push_back({.session = session, .code = code, .reason = reason});
}

// The switchboard may want to end what another session of the same call shall still be told of, and
// must not be called back while it works: so ends are noted, and made here.
void Service::Settle() {
  while (!endings_.empty()) {
    const std::vector<Ending> endings = std::exchange(endings_, {});
    for (const Ending& ending : endings) {
      Session* const session = sessions_.Find(ending.session);
      if (session == nullptr) continue;
      const ConnectionId connection = session->connection;
      ++counters_.sessions_ended[static_cast<size_t>(EndOf(ending.code))];
      sessions_.Erase(ending.session);
      ClosePeer(connection, ending.code, ending.reason);
      switchboard_.Detach(ending.session, CurrentTime().call_time());
    }
  }
}

// --- Time

void Service::Tick() {
  const ServiceTime now = CurrentTime();
  for (const ConnectionId id : hello_deadlines_.TakeDue(now.monotonic_ms)) {
    peers_.find(id)->second->entry = kNever;
    ClosePeer(id, CloseCode::kSilent, "no Hello arrived in time");
  }
  // Calls before sessions: what callers are told comes first, and on time.
  switchboard_.Tick(now.call_time());
  for (const CallId& call : std::exchange(undecided_, {})) {
    switchboard_.OnDecisionFailed(call, now.call_time());
  }
  for (const SessionTable::Due& due : sessions_.TakeDue(now.monotonic_ms)) {
    Session& session = *sessions_.Find(due.session);
    switch (due.what) {
      case SessionTable::Due::What::kSilent:
        ClosePeer(session.connection, CloseCode::kSilent, "no frame arrived for two heartbeats");
        sessions_.Detach(session, now.monotonic_ms);
        break;
      case SessionTable::Due::What::kNotResumed:
        EndLater(due.session, CloseCode::kSilent, "the session was not resumed in time");
        break;
      case SessionTable::Due::What::kIdentityExpired:
        EndLater(due.session, CloseCode::kIdentity, "identity: expired");
        break;
      case SessionTable::Due::What::kNotices:
        FetchNotices(session);
        break;
    }
  }
  if (now.monotonic_ms >= retry_at_) RetrySubmissions();
  if (now.monotonic_ms >= forget_at_) ForgetOldEpochs();
  Settle();
}

MonotonicMs Service::NextDeadline() const {
  if (!undecided_.empty()) return 0;
  return std::min({hello_deadlines_.Next(), sessions_.NextDeadline(), switchboard_.NextDeadline(),
                   retry_at_, forget_at_});
}

void Service::Stop() {
  stopping_ = true;
  RetrySubmissions();
  std::vector<ConnectionId> all;
  for (const auto& [id, peer] : peers_) all.push_back(id);
  for (const ConnectionId id : all) ClosePeer(id, CloseCode::kStopping, "the server is stopping");
}

Service::Counters Service::counters() const {
  Counters counters = counters_;
  counters.connections = static_cast<uint32_t>(peers_.size());
  counters.sessions = static_cast<uint32_t>(sessions_.size());
  counters.sessions_connected = static_cast<uint32_t>(std::ranges::count_if(
      peers_, [](const auto& peer) { return peer.second->state == Peer::State::kOpen; }));
  counters.accounts = static_cast<uint32_t>(sessions_.accounts());
  counters.unsubmitted = unsubmitted_.size();
  return counters;
}

// --- What calls bring about

void Service::Send(SessionId id, api::ServerFrame frame) {
  Session* const session = sessions_.Find(id);
  if (session == nullptr) return;
  const std::optional<uint64_t> seq = session->outbox.Add(std::move(frame));
  if (!seq) return EndLater(id, CloseCode::kSlow, "too many frames wait to be acknowledged");
  const auto peer = peers_.find(session->connection);
  if (peer == peers_.end()) return;
  ++counters_.frames_out;
  if (!peer->second->connection->Send(session->outbox.Encode(*seq, session->inbox.seen()))) {
    EndLater(id, CloseCode::kSlow, "too much data waits to be sent");
  }
}

void Service::Decide(DecisionRequest request) {
  const CallId call = request.call;
  const AccountId recipient = request.recipient;
  const bool submitted = store_.Decide(
      std::move(request), [this, call, recipient](const absl::StatusOr<Decision>& decision) {
        if (!decision.ok()) {
          ++counters_.store_failures;
          Log(LogLevel::kError, "Failed to decide a call.",
              {{"error", std::string(decision.status().message())}});
          switchboard_.OnDecisionFailed(call, CurrentTime().call_time());
        } else {
          ++counters_.tokens[static_cast<size_t>(decision->token)];
          switchboard_.OnDecision(*decision, CurrentTime().call_time());
          if (decision->noticed) NoticesWait(recipient);
        }
        Settle();
      });
  if (!submitted) {
    ++counters_.store_refusals;
    undecided_.push_back(call);
  }
}

void Service::EndRedemption(const CallId& call) {
  SubmitSurely([call](StoreContext& context) { return context.store.EndRedemption(call); },
               [](const absl::Status&) {});
}

void Service::Missed(const AccountId& recipient, const VerifiedAccount& caller, bool pretend) {
  const int64_t unix_s = CurrentTime().unix_s();
  SubmitSurely(
      [recipient, caller, pretend, unix_s](StoreContext& context) -> absl::Status {
        const auto record = context.store.FindAccount(recipient);
        if (!record.ok()) return record.status();
        const std::vector<Device> devices = *record ? (*record)->devices : std::vector<Device>();
        return context.notices.Add(recipient, devices, NoticeKind::kMissed, caller, unix_s,
                                   pretend);
      },
      [this, recipient, pretend](const absl::Status& status) {
        if (status.ok() && !pretend) NoticesWait(recipient);
        Settle();
      });
}

RelayIndex Service::ChooseRelay() { return relays_.Choose(); }

RelayCredential Service::MintCredential(RelayIndex relay, const CallId& call, CallSideName side,
                                        int64_t unix_s, uint32_t valid_s) {
  return relays_.Mint(relay, call, side, unix_s, valid_s);
}

void Service::ArmCall(RelayIndex relay, const CallId& call) { relays_.ArmCall(relay, call); }
void Service::EndRelayCall(RelayIndex relay, const CallId& call) { relays_.EndCall(relay, call); }

void Service::OnLeg(const LegAddresses& leg) {
  switchboard_.OnLeg(leg, CurrentTime().call_time());
  Settle();
}

}  // namespace sotto::signaling
