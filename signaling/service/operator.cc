// SPDX-License-Identifier: Apache-2.0
// What the operator looks at and does.

#include <algorithm>
#include <utility>

#include "signaling/service/service.h"

namespace sotto::signaling {

Service::SessionView Service::ViewOf(const Session& session, const ServiceTime& now) const {
  return {
      .id = session.id,
      .account = session.account.id(),
      .device = session.device,
      .connected = session.connection != 0,
      .age_s = (now.monotonic_ms - session.opened_ms) / 1000,
      .identity_ends_in_s =
          static_cast<uint64_t>(std::max<int64_t>(session.identity_until_unix_s - now.unix_s(), 0)),
      .frames_waiting = static_cast<uint32_t>(session.outbox.end() - session.outbox.first_kept())};
}

SessionId Service::ListSessions(SessionId first, uint32_t most,
                                std::vector<SessionView>& out) const {
  const ServiceTime now = CurrentTime();
  return sessions_.ForEach(first, most,
                           [&](const Session& session) { out.push_back(ViewOf(session, now)); });
}

std::vector<Service::SessionView> Service::SessionsOf(const AccountId& account) const {
  const ServiceTime now = CurrentTime();
  std::vector<SessionView> views;
  for (const SessionId id : sessions_.SessionsOf(account)) {
    sessions_.ForEach(id, 1,
                      [&](const Session& session) { views.push_back(ViewOf(session, now)); });
  }
  return views;
}

bool Service::EndSession(SessionId id) {
  if (sessions_.Find(id) == nullptr) return false;
  EndLater(id, CloseCode::kStopping, "an operator ended the session");
  Settle();
  return true;
}

void Service::SetBlocked(const AccountId& account, bool blocked,
                         std::function<void(const absl::StatusOr<uint32_t>&)> done) {
  // Whoever signs in before this job has a session by the time that it is done; whoever signs in
  // after it is refused; and what a session places meanwhile is decided after it.
  const bool submitted = store_.Submit(
      [account, blocked](StoreContext& context) {
        return context.store.PutBarred(account, blocked);
      },
      [this, account, blocked, done](const absl::Status& status) {
        if (!status.ok()) return done(status);
        uint32_t ended = 0;
        if (blocked) {
          for (const SessionId session : sessions_.SessionsOf(account)) {
            EndLater(session, CloseCode::kBlocked, "the operator blocks the account");
            ++ended;
          }
        }
        Settle();
        done(ended);
      });
  if (submitted) return;
  ++counters_.store_refusals;
  done(absl::UnavailableError("the store is overloaded; try again"));
}

}  // namespace sotto::signaling
