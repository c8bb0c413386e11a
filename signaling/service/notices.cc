// SPDX-License-Identifier: Apache-2.0
// Notices on their way to devices, and the store's upkeep.

#include <utility>

#include "relay/daemon/log.h"
#include "signaling/service/service.h"
#include "signaling/token/token.h"

namespace sotto::signaling {
namespace {

constexpr uint64_t kRetryMs = 50;
constexpr uint64_t kForgetMs = 3600 * 1000;
// More than all calls at a time: what is beyond is lost, as if the server had ended before it.
constexpr size_t kMaxUnsubmitted = 200'000;

}  // namespace

void Service::NoticesWait(const AccountId& account) {
  for (const SessionId id : sessions_.SessionsOf(account)) {
    Session& session = *sessions_.Find(id);
    if (session.connection == 0) continue;  // gets them when it is resumed
    session.notices_at = std::max(session.notices_after, CurrentTime().monotonic_ms);
    sessions_.Reschedule(session);
  }
}

void Service::FetchNotices(Session& session) {
  const auto found = std::make_shared<std::vector<StoredNotice>>();
  const bool submitted = store_.Submit(
      [found, account = session.account.id(), device = session.device](StoreContext& context) {
        return TakeNotices(context, account, device, *found);
      },
      [this, id = session.id, found](const absl::Status& status) {
        Session* const waiting = sessions_.Find(id);
        if (status.ok() && waiting != nullptr) SendNotices(*waiting, *found);
        Settle();
      });
  session.notices_after = CurrentTime().monotonic_ms + uint64_t{options_.notice_interval_s} * 1000;
  if (submitted) return;
  ++counters_.store_refusals;
  session.notices_at = session.notices_after;
  sessions_.Reschedule(session);
}

absl::Status Service::TakeNotices(StoreContext& context, const AccountId& account,
                                  const DeviceId& device, std::vector<StoredNotice>& notices) {
  auto found = context.store.Notices(account, device);
  if (!found.ok()) return found.status();
  // Calls from here on begin new notices: a count must not rise in what the device has seen.
  if (!found->empty()) context.notices.Delivered(account, device);
  notices = *std::move(found);
  return absl::OkStatus();
}

void Service::SendNotices(Session& session, const std::vector<StoredNotice>& notices) {
  session.notices_after = CurrentTime().monotonic_ms + uint64_t{options_.notice_interval_s} * 1000;
  if (notices.empty()) return;
  counters_.notices_sent += notices.size();
  api::ServerFrame frame;
  for (const StoredNotice& stored : notices) {
    api::Notice& notice = *frame.mutable_notices()->add_notices();
    notice.set_id(stored.id);
    notice.set_sealed(stored.sealed.data(), stored.sealed.size());
  }
  Send(session.id, std::move(frame));
}

void Service::SubmitSurely(StoreClient::Job job, StoreClient::Done done) {
  // A copy, as a full queue doesn't give it back.
  if (unsubmitted_.empty() && store_.Submit(job, done)) return;
  if (unsubmitted_.size() >= kMaxUnsubmitted) {
    ++counters_.store_refusals;
    return;
  }
  unsubmitted_.emplace_back(std::move(job), std::move(done));
  if (retry_at_ == kNever) retry_at_ = CurrentTime().monotonic_ms + kRetryMs;
}

void Service::RetrySubmissions() {
  while (!unsubmitted_.empty() &&
         store_.Submit(unsubmitted_.front().first, unsubmitted_.front().second)) {
    unsubmitted_.pop_front();
  }
  retry_at_ = unsubmitted_.empty() ? kNever : CurrentTime().monotonic_ms + kRetryMs;
}

void Service::ForgetOldEpochs() {
  const ServiceTime now = CurrentTime();
  forget_at_ = now.monotonic_ms + kForgetMs;
  // The epoch before the current one is still live, by the slowest clock that counts.
  const Epoch current = EpochAt(now.unix_s() - kEpochSkewSeconds);
  const Epoch earlier_than = current > 0 ? current - 1 : 0;
  const int64_t standing_before = now.unix_s() - int64_t{options_.standing_window_s};
  const auto more = std::make_shared<bool>(false);
  store_.Submit(
      [more, earlier_than, standing_before](StoreContext& context) -> absl::Status {
        const auto left = context.store.Forget(earlier_than, standing_before);
        if (!left.ok()) return left.status();
        *more = *left;
        return absl::OkStatus();
      },
      [this, more](const absl::Status& status) {
        if (!status.ok()) {
          Log(LogLevel::kWarning, "Failed to delete expired epochs; trying again in an hour.",
              {{"error", std::string(status.message())}});
        } else if (*more) {
          forget_at_ = CurrentTime().monotonic_ms + kRetryMs;
        }
      });
}

}  // namespace sotto::signaling
