// SPDX-License-Identifier: Apache-2.0
// Look-ups that may answer a million times.
#include <fmt/format.h>

#include "dataplane/relayd/operator/admin_messages.h"
#include "dataplane/relayd/operator/admin_service.h"
#include "dataplane/relayd/operator/allocation_id.h"
#include "dataplane/relayd/operator/allocation_query.h"
#include "relay/daemon/list_stream.h"
#include "relay/daemon/log.h"
#include "relay/turn/call_name.h"

namespace sotto::dataplane {
namespace {

namespace api = relay::v1;

uint64_t SecondsLeft(MonotonicMs expires_at, MonotonicMs now) {
  return expires_at > now ? (expires_at - now) / 1000 : 0;
}

std::optional<uint64_t> GoOn(uint32_t next) {
  return next == 0 ? std::nullopt : std::optional<uint64_t>(next);
}

void FillDetails(const relay::AllocationInfo& info, const RelayView& relay, MonotonicMs now,
                 api::Allocation& out) {
  for (const relay::AllocationInfo::Permission& permission : info.permission_list) {
    if (permission.expires_at <= now) continue;
    api::Allocation::Permission& added = *out.add_permission();
    const auto bytes = permission.peer.bytes();
    added.set_ip(bytes.data(), bytes.size());
    added.set_expires_in_s(SecondsLeft(permission.expires_at, now));
  }
  for (const relay::AllocationInfo::Channel& channel : info.channel_list) {
    if (channel.expires_at <= now) continue;
    api::Allocation::Channel& added = *out.add_channel();
    added.set_number(channel.number);
    Fill(channel.peer, *added.mutable_peer());
    added.set_expires_in_s(SecondsLeft(channel.expires_at, now));
    added.set_fused(relay.IsFused(info.id, channel.number));
  }
}

void FillSummary(const relay::AllocationInfo& info, MonotonicMs now, api::Allocation& out) {
  out.set_id(OperatorId(info));
  // Clients write what they like before they are known; in a string of protobuf stands UTF-8.
  out.set_user(EscapeText(info.user));
  Fill(info.path.client, *out.mutable_client());
  Fill(info.path.server, *out.mutable_server());
  for (const auto& relayed : {info.relayed_v4, info.relayed_v6}) {
    if (relayed) Fill(*relayed, *out.add_relayed());
  }
  out.set_age_s((now - info.created_at) / 1000);
  out.set_expires_in_s(SecondsLeft(info.expires_at, now));
  out.set_permissions(info.permissions);
  out.set_channels(info.channels);
}

}  // namespace

grpc::ServerWriteReactor<api::Allocation>* AdminService::ListAllocations(
    Context*, const api::AllocationFilter* request) {
  using Stream = ListStream<api::Allocation>;
  const absl::StatusOr<AllocationQuery> query = AllocationQuery::Parse(*request);
  if (!query.ok()) return Stream::Refuse(requests_, lists_, query.status());
  return Stream::Start(requests_, lists_, options_.max_lists, query->first(), query->limit(),
                       [this, query = *query](relay::Server& server, const Now& now, uint64_t first,
                                              uint32_t places, std::vector<api::Allocation>& out) {
                         const relay::LegId next = server.ForEachAllocation(
                             static_cast<relay::LegId>(first), query.single() ? 1 : places,
                             query.bindings(), [&](const relay::AllocationInfo& info) {
                               if (!query.Matches(info, now.monotonic_ms)) return;
                               api::Allocation& added = out.emplace_back();
                               FillSummary(info, now.monotonic_ms, added);
                               if (query.details())
                                 FillDetails(info, relay_, now.monotonic_ms, added);
                             });
                         return query.single() ? std::nullopt : GoOn(next);
                       });
}

grpc::ServerWriteReactor<api::Call>* AdminService::ListCalls(Context*,
                                                             const api::CallFilter* request) {
  using Stream = ListStream<api::Call>;
  if (!request->call().empty() && !relay::IsCallId(request->call())) {
    return Stream::Refuse(
        requests_, lists_,
        absl::InvalidArgumentError(fmt::format(
            "call: \"{}\" is not a call id; write 1 to {} characters of A-Z a-z 0-9 . _ ~ and -",
            request->call().substr(0, relay::kMaxCallIdSize), relay::kMaxCallIdSize)));
  }
  return Stream::Start(
      requests_, lists_, options_.max_lists, 0, request->limit(),
      [name = request->call(), armed_only = request->armed_only()](
          relay::Server& server, const Now& now, uint64_t first, uint32_t places,
          std::vector<api::Call>& out) -> std::optional<uint64_t> {
        const auto add = [&](const relay::CallInfo& info) {
          if (info.armed || !armed_only) Fill(info, out.emplace_back());
        };
        if (name.empty()) {
          return GoOn(server.ForEachCall(static_cast<uint32_t>(first), places, now, add));
        }
        const auto info = server.FindCall(name, now);
        if (info.ok()) add(*info);
        return std::nullopt;
      });
}

}  // namespace sotto::dataplane
