// SPDX-License-Identifier: Apache-2.0
#include "signaling/session/session_table.h"

#include <sodium.h>

#include <algorithm>
#include <cstdlib>

namespace sotto::signaling {

SessionTable::SessionTable(const SessionTableOptions& options) : options_(options) {
  if (sodium_init() < 0) std::abort();
  randombytes_buf(hash_key_.data(), hash_key_.size());
}

SessionTable::Room SessionTable::RoomFor(const AccountId& account) const {
  if (sessions_.size() >= options_.max_sessions) return Room::kTableFull;
  const auto it = by_account_.find(account);
  return it != by_account_.end() && it->second.size() >= options_.max_per_account
             ? Room::kAccountFull
             : Room::kYes;
}

Session& SessionTable::Open(const VerifiedAccount& account, const DeviceId& device,
                            ConnectionId connection, MonotonicMs now, ResumeSecret& secret) {
  const SessionId id = next_id_++;
  auto& slot = sessions_[id];
  slot.reset(
      new Session(id, account, device, FrameBudget(options_.frames_per_s, options_.frame_burst)));
  Session& session = *slot;
  session.opened_ms = now;
  randombytes_buf(secret.data(), secret.size());
  session.resume_hash = Hash(secret);
  by_secret_[session.resume_hash] = id;
  by_account_[account.id()].push_back(id);
  Attach(session, connection, now);
  return session;
}

Session* SessionTable::FindResumable(std::span<const uint8_t> secret, const AccountId& account,
                                     const DeviceId& device) {
  if (secret.size() != kResumeSecretSize) return nullptr;
  const auto it = by_secret_.find(Hash(secret));
  if (it == by_secret_.end()) return nullptr;
  Session* const session = Find(it->second);
  return session->account.id() == account && session->device == device ? session : nullptr;
}

Session* SessionTable::Find(SessionId id) {
  const auto it = sessions_.find(id);
  return it == sessions_.end() ? nullptr : it->second.get();
}

Session* SessionTable::FindDevice(const AccountId& account, const DeviceId& device) {
  const auto it = by_account_.find(account);
  if (it == by_account_.end()) return nullptr;
  for (const SessionId id : it->second) {
    Session* const session = Find(id);
    if (session->device == device) return session;
  }
  return nullptr;
}

std::vector<SessionId> SessionTable::SessionsOf(const AccountId& account) const {
  const auto it = by_account_.find(account);
  return it == by_account_.end() ? std::vector<SessionId>() : it->second;
}

void SessionTable::Attach(Session& session, ConnectionId connection, MonotonicMs now) {
  session.connection = connection;
  session.last_heard_ms = now;
  Reschedule(session);
}

void SessionTable::Detach(Session& session, MonotonicMs now) {
  session.connection = 0;
  session.last_heard_ms = now;
  session.notices_at = kNever;
  Reschedule(session);
}

void SessionTable::Reschedule(Session& session) {
  deadlines_.Schedule(session.id, session.entry, DeadlineOf(session));
}

void SessionTable::Erase(SessionId id) {
  const auto it = sessions_.find(id);
  if (it == sessions_.end()) return;
  Session& session = *it->second;
  deadlines_.Remove(id, session.entry);
  by_secret_.erase(session.resume_hash);
  const auto of_account = by_account_.find(session.account.id());
  std::erase(of_account->second, id);
  if (of_account->second.empty()) by_account_.erase(of_account);
  sessions_.erase(it);
}

MonotonicMs SessionTable::DeadlineOf(const Session& session) const {
  const uint64_t patience_s =
      session.connection != 0 ? 2 * uint64_t{options_.heartbeat_s} : options_.resume_s;
  return std::min(
      {session.last_heard_ms + patience_s * 1000, session.identity_until_ms, session.notices_at});
}

std::vector<SessionTable::Due> SessionTable::TakeDue(MonotonicMs now) {
  std::vector<Due> due;
  for (const SessionId id : deadlines_.TakeDue(now)) {
    Session& session = *Find(id);
    session.entry = kNever;
    const uint64_t patience_s =
        session.connection != 0 ? 2 * uint64_t{options_.heartbeat_s} : options_.resume_s;
    if (session.identity_until_ms <= now) {
      due.push_back({id, Due::What::kIdentityExpired});
    } else if (session.last_heard_ms + patience_s * 1000 <= now) {
      due.push_back({id, session.connection != 0 ? Due::What::kSilent : Due::What::kNotResumed});
    } else {
      if (session.notices_at <= now) {
        session.notices_at = kNever;
        due.push_back({id, Due::What::kNotices});
      }
      Reschedule(session);
    }
  }
  return due;
}

SessionTable::SecretHash SessionTable::Hash(std::span<const uint8_t> secret) const {
  SecretHash hash;
  crypto_generichash(hash.data(), hash.size(), secret.data(), secret.size(), hash_key_.data(),
                     hash_key_.size());
  return hash;
}

}  // namespace sotto::signaling
