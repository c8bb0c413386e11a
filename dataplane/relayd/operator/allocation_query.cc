// SPDX-License-Identifier: Apache-2.0
#include "dataplane/relayd/operator/allocation_query.h"

#include <fmt/format.h>

#include <algorithm>

#include "dataplane/relayd/operator/allocation_id.h"
#include "relay/daemon/log.h"

namespace sotto::dataplane {
namespace {

// So that milliseconds don't overflow.
constexpr uint64_t kMostSeconds = UINT64_MAX / 1000;

absl::Status ParseAddress(std::string_view field, const std::string& text,
                          std::optional<AddressQuery>& out) {
  if (text.empty()) return absl::OkStatus();
  if (const auto prefix = IpPrefix::Parse(text); prefix.ok()) {
    out = {.prefix = *prefix};
    return absl::OkStatus();
  }
  if (const auto address = TransportAddress::Parse(text); address.ok() && address->port != 0) {
    out = {.prefix = {address->ip, address->ip.is_v4() ? 32 : 128}, .port = address->port};
    return absl::OkStatus();
  }
  constexpr size_t kShown = 80;
  return absl::InvalidArgumentError(
      fmt::format("{}: \"{}\" is not an address; must be such as 192.0.2.1, 2001:db8::1, "
                  "192.0.2.1:3478 or [2001:db8::1]:3478, or a prefix without host bits "
                  "(192.0.2.0/24)",
                  field, text.substr(0, kShown)));
}

}  // namespace

absl::StatusOr<AllocationQuery> AllocationQuery::Parse(const relay::v1::AllocationFilter& filter) {
  AllocationQuery query;
  for (const absl::Status& status : {ParseAddress("client", filter.client(), query.client_),
                                     ParseAddress("relayed", filter.relayed(), query.relayed_),
                                     ParseAddress("peer", filter.peer(), query.peer_)}) {
    if (!status.ok()) return status;
  }
  if (filter.max_age_s() != 0 && filter.max_age_s() < filter.min_age_s()) {
    return absl::InvalidArgumentError(fmt::format(
        "max_age_s: {} is less than min_age_s, {}, so nothing can match; swap them, or remove "
        "one",
        filter.max_age_s(), filter.min_age_s()));
  }
  query.id_ = filter.id();
  query.first_ = query.single() ? LegIdOf(filter.id()) : 0;
  query.user_ = filter.user();
  query.min_age_ms_ = std::min(filter.min_age_s(), kMostSeconds) * 1000;
  if (filter.max_age_s() != 0) {
    query.max_age_ms_ = std::min(filter.max_age_s(), kMostSeconds) * 1000;
  }
  query.limit_ = filter.limit();
  query.details_ = filter.details();
  return query;
}

bool AllocationQuery::all() const {
  return !single() && user_.empty() && !client_ && !relayed_ && !peer_ && min_age_ms_ == 0 &&
         max_age_ms_ == UINT64_MAX;
}

bool AllocationQuery::Matches(const relay::AllocationInfo& info, MonotonicMs now) const {
  if (info.expires_at <= now) return false;
  if (single() && OperatorId(info) != id_) return false;
  const MonotonicMs age = now - info.created_at;
  if (age < min_age_ms_ || age > max_age_ms_) return false;
  // As it is, or as lists show it.
  if (!user_.empty() && info.user != user_ &&
      (user_.find('\\') == std::string::npos || EscapeText(info.user) != user_)) {
    return false;
  }
  if (client_ && !client_->Matches(info.path.client)) return false;
  if (relayed_ && !(info.relayed_v4 && relayed_->Matches(*info.relayed_v4)) &&
      !(info.relayed_v6 && relayed_->Matches(*info.relayed_v6))) {
    return false;
  }
  if (!peer_) return true;
  return std::ranges::any_of(info.channel_list,
                             [&](const relay::AllocationInfo::Channel& channel) {
                               return channel.expires_at > now && peer_->Matches(channel.peer);
                             }) ||
         (peer_->port == 0 &&
          std::ranges::any_of(
              info.permission_list, [&](const relay::AllocationInfo::Permission& permission) {
                return permission.expires_at > now && peer_->Matches(permission.peer);
              }));
}

}  // namespace sotto::dataplane
