// SPDX-License-Identifier: Apache-2.0
#include "signaling/decision/decider.h"

#include <algorithm>
#include <string>
#include <string_view>

#include "signaling/decision/notice_box.h"
#include "signaling/decision/pair_rate.h"
#include "signaling/token/sodium.h"
#include "signaling/token/terms.h"

namespace sotto::signaling {
namespace {

constexpr std::string_view kBlockContext("sotto block v1\0", 15);

void AppendAccount(std::string& bytes, const AccountId& account) {
  bytes += static_cast<char>(account.text().size());
  bytes += account.text();
}

TokenResult ResultOf(bool presented, bool valid, bool may_ring, bool fresh) {
  if (!presented) return TokenResult::kNone;
  if (!valid) return TokenResult::kInvalid;
  if (!may_ring) return TokenResult::kUnused;
  return fresh ? TokenResult::kAccepted : TokenResult::kSpent;
}

void IncrementSaturating(uint32_t& count, bool on) { count += on && count < UINT32_MAX ? 1 : 0; }

}  // namespace

class Decider::Impl {
 public:
  Impl(const DeciderOptions& options, const ServerKey& key, Store& store, NoticeBox& notices)
      : options_(options),
        key_(key),
        store_(store),
        notices_(notices),
        pair_rate_(options.pair_calls, options.pair_window_s) {
    EnsureSodium();
  }

  absl::StatusOr<std::vector<Decision>> Decide(std::span<const DecisionRequest> requests,
                                               int64_t unix_s) {
    absl::StatusOr<std::vector<Decision>> decided = DecideUncommitted(requests, unix_s);
    if (decided.ok()) {
      Committed();
      notices_.Committed();
    } else {
      store_.Rollback();
      RolledBack();
      notices_.RolledBack();
    }
    return decided;
  }

  absl::StatusOr<Decision> DecideWithin(const DecisionRequest& request, int64_t unix_s);
  void Committed() { pair_rate_.Committed(); }
  void RolledBack() { pair_rate_.RolledBack(); }

  BlockHash HashBlock(const AccountId& owner, const AccountId& blocked) const {
    std::string bytes(kBlockContext);
    AppendAccount(bytes, owner);
    AppendAccount(bytes, blocked);
    BlockHash hash;
    crypto_generichash(hash.data(), hash.size(), reinterpret_cast<const uint8_t*>(bytes.data()),
                       bytes.size(), key_.data(), key_.size());
    return hash;
  }

 private:
  absl::StatusOr<std::vector<Decision>> DecideUncommitted(std::span<const DecisionRequest> requests,
                                                          int64_t unix_s) {
    std::vector<Decision> decisions;
    decisions.reserve(requests.size());
    if (absl::Status status = store_.Begin(); !status.ok()) return status;
    for (const DecisionRequest& request : requests) {
      absl::StatusOr<Decision> decision = DecideWithin(request, unix_s);
      if (!decision.ok()) return decision.status();
      decisions.push_back(*decision);
    }
    if (absl::Status status = store_.Commit(); !status.ok()) return status;
    return decisions;
  }

  // The standing within the window that runs now.
  Standing Within(Standing standing, int64_t unix_s) const {
    const int64_t began = standing.window_began_unix_s;
    // A clock that was set back begins a window too: else a window might last for ever.
    if (unix_s < began || unix_s - began >= int64_t{options_.standing_window_s}) {
      return {.placed = 0, .silenced = 0, .window_began_unix_s = unix_s};
    }
    return standing;
  }

  const DeciderOptions options_;
  const ServerKey key_;
  Store& store_;
  NoticeBox& notices_;
  PairRate pair_rate_;
};

absl::StatusOr<Decision> Decider::Impl::DecideWithin(const DecisionRequest& request,
                                                     int64_t unix_s) {
  const DummyToken& dummy = TheDummyToken();
  const AccountId& caller = request.caller ? request.caller->id() : TheDummyAccount();
  const bool to_oneself = caller == request.recipient;
  const AccountId& recipient = to_oneself ? TheDummyAccount() : request.recipient;

  absl::StatusOr<std::optional<AccountRecord>> found = store_.FindAccount(recipient);
  if (!found.ok()) return found.status();
  absl::StatusOr<std::optional<AccountRecord>> caller_found = store_.FindAccount(caller);
  if (!caller_found.ok()) return caller_found.status();
  const bool known = found->has_value();
  const AccountRecord record = std::move(*found).value_or(AccountRecord());
  const AccountRecord caller_record = std::move(*caller_found).value_or(AccountRecord());
  const bool exists = AllOf(known, !record.barred);

  absl::StatusOr<bool> blocked = store_.IsBlocked(recipient, HashBlock(recipient, caller));
  if (!blocked.ok()) return blocked.status();

  absl::StatusOr<Standing> stored_standing = store_.GetStanding(caller);
  if (!stored_standing.ok()) return stored_standing.status();
  Standing standing = Within(*stored_standing, unix_s);
  const bool standing_ok = standing.silenced <= options_.standing_silenced;
  // All that have no name would share one rate.
  const bool pair_rate_ok =
      AnyOf(pair_rate_.Take(caller, recipient, unix_s), !request.caller.has_value());

  const Token& presented = request.token ? *request.token : dummy.token;
  const auto epoch_key = std::ranges::find(record.epoch_keys, presented.epoch, &EpochKey::epoch);
  const bool has_key = epoch_key != record.epoch_keys.end();
  const bool live = AllOf(request.token.has_value(), has_key, IsEpochLive(presented.epoch, unix_s));
  const Token& token = live ? presented : dummy.token;
  const bool verified = VerifyToken(token, recipient, live ? epoch_key->public_key : dummy.key);
  const bool valid = AllOf(live, verified);

  const bool may_ring = AllOf(exists, !caller_record.barred, !*blocked, standing_ok, pair_rate_ok);
  const bool redeems = AllOf(may_ring, valid);
  const Nullifier nullifier = MakeNullifier(recipient, token.epoch, token.serial);
  absl::StatusOr<Redemption> redemption =
      store_.Redeem(nullifier, token.epoch, redeems ? epoch_key->uses : uint16_t{0}, request.call);
  if (!redemption.ok()) return redemption.status();
  const bool fresh = *redemption == Redemption::kAccepted;

  const bool with_token = AllOf(redeems, fresh);
  const bool silencing = record.settings.silence_unknown_callers;
  const bool ring = AllOf(may_ring, AnyOf(with_token, !silencing));

  IncrementSaturating(standing.placed, true);
  IncrementSaturating(standing.silenced, !ring);
  if (absl::Status status = store_.PutStanding(caller, standing); !status.ok()) return status;

  // Those whom the recipient has blocked, it doesn't want to hear of either.
  const bool notice =
      AllOf(exists, !caller_record.barred, !ring, !*blocked, !record.devices.empty());
  if (absl::Status status = notices_.Add(recipient, record.devices, NoticeKind::kSilenced,
                                         request.caller, unix_s, /*pretend=*/!notice);
      !status.ok()) {
    return status;
  }

  return Decision{.call = request.call,
                  .ring = ring,
                  .protect_address = record.settings.protect_ip_address ||
                                     caller_record.settings.protect_ip_address,
                  .serial = with_token ? std::optional(token.serial) : std::nullopt,
                  .noticed = notice,
                  .token = ResultOf(request.token.has_value(), valid, may_ring, fresh)};
}

Decider::Decider(const DeciderOptions& options, const ServerKey& key, Store& store,
                 NoticeBox& notices)
    : impl_(std::make_unique<Impl>(options, key, store, notices)) {}
Decider::~Decider() = default;

absl::StatusOr<std::vector<Decision>> Decider::Decide(std::span<const DecisionRequest> requests,
                                                      int64_t unix_s) {
  return impl_->Decide(requests, unix_s);
}
absl::StatusOr<Decision> Decider::DecideWithin(const DecisionRequest& request, int64_t unix_s) {
  return impl_->DecideWithin(request, unix_s);
}
void Decider::Committed() { impl_->Committed(); }
void Decider::RolledBack() { impl_->RolledBack(); }

BlockHash Decider::HashBlock(const AccountId& owner, const AccountId& blocked) const {
  return impl_->HashBlock(owner, blocked);
}

}  // namespace sotto::signaling
