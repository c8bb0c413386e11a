// SPDX-License-Identifier: Apache-2.0
// What sotto-signald does with the messages of its clients (docs/protocol.md, "Signaling"): opens
// and resumes sessions, answers requests, hands calls to the switchboard and delivers notices. No
// sockets, no threads and no clock of its own: connections are an interface, the store and the
// relays are reached through others, and the time comes from `Clock`.
//
// All on one thread; nothing that it calls may call back into it.
#pragma once

#include <array>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "signaling/api/api.h"
#include "signaling/call/switchboard.h"
#include "signaling/decision/store_client.h"
#include "signaling/identity/identity_verifier.h"
#include "signaling/relay_client/relay_fleet.h"
#include "signaling/service/session_end.h"
#include "signaling/session/session_table.h"

namespace sotto::signaling {

// WebSocket close codes (RFC 6455, section 7.4; 4000 and up are the protocol's own).
enum class CloseCode : uint16_t {
  kDone = 1000,
  kStopping = 1001,  // the server stops, or the operator has ended the session
  kProtocol = 4400,
  kIdentity = 4401,
  kBlocked = 4403,
  kSilent = 4408,
  kReplaced = 4409,
  kRemoved = 4410,
  kSlow = 4413,
  kTooMany = 4429,
};

constexpr size_t kMaxMessageSize = 24 * 1024;  // of a client's WebSocket message

// A client's WebSocket connection, open as long as the service hasn't closed it and hasn't been
// told that it is (OnClosed).
class Connection {
 public:
  virtual ~Connection() = default;
  // Begins to send at once. False if too much waits to be sent already: nothing was taken.
  virtual bool Send(std::string message) = 0;
  // The service has no more to do with the connection; what was sent before still goes out.
  virtual void Close(CloseCode code, std::string_view reason) = 0;
};

struct ServiceTime {
  MonotonicMs monotonic_ms = 0;
  int64_t unix_ms = 0;

  int64_t unix_s() const { return unix_ms / 1000; }
  Now call_time() const { return {.monotonic_ms = monotonic_ms, .unix_s = unix_s()}; }
};

struct ServiceOptions {
  SwitchboardOptions calls;
  SessionTableOptions sessions;
  uint32_t hello_s = 10;                   // within which a connection has to say Hello
  uint32_t notice_interval_s = 10;         // between two deliveries to a device
  uint32_t standing_window_s = 24 * 3600;  // DeciderOptions has it too
};

class Service final : private CallEffects {
 public:
  using Clock = std::function<ServiceTime()>;

  // All references must outlive the object; no callback of `store` may come after its end.
  Service(const ServiceOptions& options, const ServerKey& key, IdentityVerifier& identities,
          StoreClient& store, RelayFleet& relays, Clock clock);
  ~Service() override;
  Service(const Service&) = delete;
  Service& operator=(const Service&) = delete;

  // `connection` must live until OnClosed(), or until the service has closed it.
  ConnectionId OnOpen(Connection& connection);
  // Of a connection that the service has closed: ignored, both.
  void OnMessage(ConnectionId connection, std::span<const uint8_t> message);
  void OnClosed(ConnectionId connection);

  // --- For the operator (operator.cc; signaling/api/admin.proto)

  struct SessionView {
    SessionId id = 0;
    AccountId account;
    DeviceId device = {};
    bool connected = false;
    uint64_t age_s = 0;
    uint64_t identity_ends_in_s = 0;
    uint32_t frames_waiting = 0;
  };
  // Adds up to `most` sessions in the order of their ids, from `first` on; returns where to go on,
  // or 0 at the end.
  SessionId ListSessions(SessionId first, uint32_t most, std::vector<SessionView>& out) const;
  // Those of one account.
  std::vector<SessionView> SessionsOf(const AccountId& account) const;
  // False if there is none.
  bool EndSession(SessionId id);

  // Blocks the account, or not any more, durably; `done` is called once, later, with how many of
  // its sessions that has ended. From then on none of its sessions exists, and none is opened.
  // NOT_FOUND: to unblock one that the store doesn't know. UNAVAILABLE: the store has too much to
  // do. Else the store's error.
  void SetBlocked(const AccountId& account, bool blocked,
                  std::function<void(const absl::StatusOr<uint32_t>&)> done);

  // For sessions to come; those that stand stay.
  void SetSessionLimits(const SessionTableOptions& limits) { sessions_.SetLimits(limits); }

  // A leg of a call on a relay, from RelayFleet.
  void OnLeg(const LegAddresses& leg);

  // Does what time demands. Call it at NextDeadline(), or soon after. kNever: none.
  void Tick();
  MonotonicMs NextDeadline() const;

  // Closes all connections (1001) and takes no more. What clients were told before is in the store.
  void Stop();

  struct Counters {
    uint64_t frames_in = 0;
    uint64_t frames_out = 0;
    uint64_t sessions_opened = 0;
    uint64_t sessions_resumed = 0;
    uint64_t identities_refused = 0;
    std::array<uint64_t, kCountOf<IdentityFault>> identity_faults = {};  // sum: identities_refused
    uint64_t blocked_refused = 0;  // sign-ins of accounts that the operator blocks
    uint64_t full_refused = 0;     // sign-ins beyond the bounds on devices and sessions
    std::array<uint64_t, kCountOf<SessionEnd>> sessions_ended = {};  // by SessionEnd
    uint64_t protocol_errors = 0;
    uint64_t store_refusals = 0;  // requests that the store's queue had no room for
    uint64_t store_failures = 0;  // requests and decisions that the store has failed
    std::array<uint64_t, kCountOf<TokenResult>> tokens = {};  // of decisions, by TokenResult
    uint64_t notices_sent = 0;                                // those that were sent again included
    // At the moment:
    uint32_t connections = 0;
    uint32_t sessions = 0;
    uint32_t sessions_connected = 0;
    uint32_t accounts = 0;   // that have a session
    size_t unsubmitted = 0;  // what must reach the store, and waits for room in its queue
  };
  Counters counters() const;
  const SessionTableOptions& session_options() const { return sessions_.options(); }
  Switchboard::Counters call_counters() const { return switchboard_.counters(); }

 private:
  struct Peer {
    enum class State : uint8_t {
      kNew,       // has to say Hello
      kGreeting,  // has said it; the store is asked
      kOpen,      // has a session
    };
    State state = State::kNew;
    Connection* connection = nullptr;
    SessionId session = 0;
    Deadlines<ConnectionId>::Entry entry = kNever;
  };
  // A session that is to end once the work at hand is done.
  struct Ending {
    SessionId session = 0;
    CloseCode code = CloseCode::kDone;
    std::string_view reason;
  };

  // CallEffects
  void Send(SessionId session, api::ServerFrame frame) override;
  void Decide(DecisionRequest request) override;
  void EndRedemption(const CallId& call) override;
  void Missed(const AccountId& recipient, const VerifiedAccount& caller, bool pretend) override;
  RelayIndex ChooseRelay() override;
  RelayCredential MintCredential(RelayIndex relay, const CallId& call, CallSideName side,
                                 int64_t unix_s, uint32_t valid_s) override;
  void ArmCall(RelayIndex relay, const CallId& call) override;
  void EndRelayCall(RelayIndex relay, const CallId& call) override;

  // Connections and sessions (service.cc).
  void OnHello(ConnectionId id, Peer& peer, const api::ClientFrame& frame);
  struct Greeting;
  void OnGreeted(const Greeting& greeting, const absl::Status& status);
  void Welcome(Session& session, const Greeting& greeting, bool resumed,
               std::span<const uint8_t> secret);
  void OnSessionFrame(ConnectionId id, Peer& peer, const api::ClientFrame& frame);
  void ClosePeer(ConnectionId id, CloseCode code, std::string_view reason);
  // By code: the switchboard and the store end sessions too.
  void EndLater(SessionId session, CloseCode code, std::string_view reason);
  void CountIdentityFault(IdentityFault fault);
  void Settle();
  void SetIdentityEnd(Session& session, int64_t until_unix_s);

  // Requests of a session (requests.cc).
  void OnRequest(Session& session, const api::ClientFrame& frame);
  void Handle(Session& session, uint64_t request, const api::PutSettings& message);
  void Handle(Session& session, uint64_t request, const api::PutAccountKeys& message);
  void Handle(Session& session, uint64_t request, const api::PutEpochKey& message);
  void Handle(Session& session, uint64_t request, const api::RevokeTokens& message);
  void Handle(Session& session, uint64_t request, const api::PutBlock& message);
  void Handle(Session& session, uint64_t request, const api::AckNotices& message);
  void Handle(Session& session, uint64_t request, const api::GetKeys& message);
  void Handle(Session& session, uint64_t request, const api::RemoveDevice& message);
  void Handle(Session& session, uint64_t request, const api::RenewIdentity& message);
  void Answer(SessionId session, uint64_t request, const absl::Status& status);
  void Refuse(SessionId session, uint64_t request, api::Refused::Code code, std::string_view text);
  // Runs `job`, then answers with Done or Refused, then does what is to follow if it was Done.
  void Put(Session& session, uint64_t request, StoreClient::Job job,
           std::function<void()> then = nullptr);

  // Notices and upkeep (notices.cc).
  void NoticesWait(const AccountId& account);
  void FetchNotices(Session& session);
  void SendNotices(Session& session, const std::vector<StoredNotice>& notices);
  // On the store's thread: the notices of a device, which count as delivered from then on.
  static absl::Status TakeNotices(StoreContext& context, const AccountId& account,
                                  const DeviceId& device, std::vector<StoredNotice>& notices);
  void SubmitSurely(StoreClient::Job job, StoreClient::Done done);
  void RetrySubmissions();
  void ForgetOldEpochs();

  SessionView ViewOf(const Session& session, const ServiceTime& now) const;
  ServiceTime CurrentTime() const { return clock_(); }

  const ServiceOptions options_;
  const ServerKey key_;
  IdentityVerifier& identities_;
  StoreClient& store_;
  RelayFleet& relays_;
  const Clock clock_;

  bool stopping_ = false;
  ConnectionId next_connection_ = 1;
  absl::flat_hash_map<ConnectionId, std::unique_ptr<Peer>> peers_;
  Deadlines<ConnectionId> hello_deadlines_;
  SessionTable sessions_;
  Switchboard switchboard_;
  std::vector<Ending> endings_;
  std::vector<CallId> undecided_;  // calls that the store's queue had no room for
  // What must reach the store, but found its queue full; in order.
  std::deque<std::pair<StoreClient::Job, StoreClient::Done>> unsubmitted_;
  MonotonicMs retry_at_ = kNever;
  MonotonicMs forget_at_ = 0;
  Counters counters_;
};

}  // namespace sotto::signaling
