// SPDX-License-Identifier: Apache-2.0
// All sessions of the server: found by id, by device and by the secret that resumes them. Knows
// which connection a session has, if any; what that is, and what frames mean, it doesn't know.
//
// A session's secret is 32 random bytes that only its client holds: the table keeps a hash under a
// key of its own, so that neither a look-up's time nor a copy of its memory says anything about it.
// Time is passed in; one thread.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/container/btree_map.h"
#include "absl/container/flat_hash_map.h"
#include "relay/base/deadlines.h"
#include "signaling/identity/account.h"
#include "signaling/ids.h"
#include "signaling/session/session.h"

namespace sotto::signaling {

constexpr size_t kResumeSecretSize = 32;
using ResumeSecret = std::array<uint8_t, kResumeSecretSize>;

struct SessionTableOptions {
  uint32_t heartbeat_s = 30;  // a client that sends nothing for twice as long is gone
  uint32_t resume_s = 120;    // how long a session without a connection is kept
  uint32_t max_sessions = 20'000;
  uint32_t max_per_account = 8;
  uint32_t frames_per_s = 50;
  uint32_t frame_burst = 200;
};

struct Session {
  SessionId id = 0;
  VerifiedAccount account;
  DeviceId device = {};
  ConnectionId connection = 0;  // 0: waits to be resumed
  MonotonicMs opened_ms = 0;
  Outbox outbox;
  Inbox inbox;
  FrameBudget budget;

  // For the owner of the table's use.
  int64_t identity_until_unix_s = 0;
  MonotonicMs identity_until_ms = kNever;
  MonotonicMs notices_at = kNever;  // when waiting notices are to be fetched
  MonotonicMs notices_after = 0;    // not before

 private:
  friend class SessionTable;
  MonotonicMs last_heard_ms = 0;  // or, without a connection, when it was lost
  Deadlines<SessionId>::Entry entry = kNever;
  std::array<uint8_t, 32> resume_hash = {};

  Session(SessionId session_id, VerifiedAccount whose, const DeviceId& which, FrameBudget frames)
      : id(session_id), account(std::move(whose)), device(which), budget(frames) {}
};

class SessionTable {
 public:
  explicit SessionTable(const SessionTableOptions& options);
  SessionTable(const SessionTable&) = delete;
  SessionTable& operator=(const SessionTable&) = delete;

  // Whether there is room for one more, of this account.
  enum class Room : uint8_t { kYes, kTableFull, kAccountFull };
  Room RoomFor(const AccountId& account) const;

  // A session with a connection. Expects that there is room, and no other session of this device.
  // `secret` is what resumes it.
  Session& Open(const VerifiedAccount& account, const DeviceId& device, ConnectionId connection,
                MonotonicMs now, ResumeSecret& secret);

  // The session that `secret` resumes, if it is this device's. Attach() gives it the connection.
  Session* FindResumable(std::span<const uint8_t> secret, const AccountId& account,
                         const DeviceId& device);

  Session* Find(SessionId id);
  Session* FindDevice(const AccountId& account, const DeviceId& device);
  std::vector<SessionId> SessionsOf(const AccountId& account) const;
  // Visits up to `most` sessions in the order of their ids, from `first` on; returns where to go
  // on, or 0 at the end.
  template <typename Visit>
  SessionId ForEach(SessionId first, uint32_t most, Visit visit) const {
    auto at = sessions_.lower_bound(first);
    for (; at != sessions_.end() && most > 0; ++at, --most) visit(std::as_const(*at->second));
    return at == sessions_.end() ? 0 : at->first;
  }

  void Attach(Session& session, ConnectionId connection, MonotonicMs now);
  void Detach(Session& session, MonotonicMs now);
  void Heard(Session& session, MonotonicMs now) { session.last_heard_ms = now; }
  // After a change of one of the owner's times.
  void Reschedule(Session& session);
  void Erase(SessionId id);

  // What is to be done about a session whose time has come.
  struct Due {
    SessionId session = 0;
    enum class What : uint8_t {
      kSilent,           // its connection is to be closed, and can be resumed
      kNotResumed,       // to be erased
      kIdentityExpired,  // to be erased
      kNotices,          // notices_at has come; it is kNever now
    } what;
  };
  std::vector<Due> TakeDue(MonotonicMs now);
  MonotonicMs NextDeadline() const { return deadlines_.Next(); }

  // Takes over max_sessions, frames_per_s and frame_burst, for sessions to come.
  void SetLimits(const SessionTableOptions& wanted) {
    options_.max_sessions = wanted.max_sessions;
    options_.frames_per_s = wanted.frames_per_s;
    options_.frame_burst = wanted.frame_burst;
  }

  size_t size() const { return sessions_.size(); }
  size_t accounts() const { return by_account_.size(); }
  const SessionTableOptions& options() const { return options_; }

 private:
  using SecretHash = std::array<uint8_t, 32>;
  SecretHash Hash(std::span<const uint8_t> secret) const;
  MonotonicMs DeadlineOf(const Session& session) const;

  SessionTableOptions options_;
  std::array<uint8_t, 32> hash_key_;
  SessionId next_id_ = 1;
  absl::btree_map<SessionId, std::unique_ptr<Session>> sessions_;
  absl::flat_hash_map<AccountId, std::vector<SessionId>> by_account_;
  absl::flat_hash_map<SecretHash, SessionId> by_secret_;
  Deadlines<SessionId> deadlines_;
};

}  // namespace sotto::signaling
