// SPDX-License-Identifier: Apache-2.0
#include "dataplane/relayd/operator/call_control.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "dataplane/relayd/operator/admin_messages.h"

namespace sotto::dataplane {
namespace {

namespace api = relay::v1;

// Calls that one task of a watch looks at, so that control's other work isn't kept waiting.
constexpr uint32_t kCallsAtOnce = 512;

absl::Status UnlessNotFound(absl::Status status) {
  return status.code() == absl::StatusCode::kNotFound ? absl::OkStatus() : status;
}

}  // namespace

CallControlService::CallControlService(CallControlOptions options, ControlRequests& requests)
    : options_(std::move(options)), requests_(requests) {}
CallControlService::~CallControlService() = default;

void CallControlService::Attach(relay::Server& server, const Now& now) {
  attached_at_ = now.monotonic_ms;
  server.ObserveLegs([this](const relay::LegChange& change) { OnLegChange(change); });
}

void CallControlService::Detach(relay::Server& server) {
  server.ObserveLegs(nullptr);
  for (const Watch& watch : watches_) watch.watcher->End(requests_.Unavailable());
  watches_.clear();
}

grpc::ServerUnaryReactor* CallControlService::ArmCall(Context* context,
                                                      const api::ArmCallRequest* request,
                                                      api::ArmCallResponse* response) {
  return requests_.Do(context, [=](relay::Server& server, const Now& now) {
    absl::Status status = server.ArmCall(request->call(), now);
    if (!status.ok()) return status;
    const absl::StatusOr<relay::CallInfo> info = server.FindCall(request->call(), now);
    if (info.ok()) Fill(*info, *response->mutable_call());
    return info.status();
  });
}

grpc::ServerUnaryReactor* CallControlService::DisarmCall(Context* context,
                                                         const api::DisarmCallRequest* request,
                                                         api::DisarmCallResponse*) {
  return requests_.Do(context, [=](relay::Server& server, const Now& now) {
    return UnlessNotFound(server.DisarmCall(request->call(), now));
  });
}

grpc::ServerUnaryReactor* CallControlService::EndCall(Context* context,
                                                      const api::EndCallRequest* request,
                                                      api::EndCallResponse*) {
  return requests_.Do(context, [=](relay::Server& server, const Now& now) {
    return UnlessNotFound(server.EndCall(request->call(), now));
  });
}

grpc::ServerUnaryReactor* CallControlService::GetCall(Context* context,
                                                      const api::GetCallRequest* request,
                                                      api::Call* response) {
  return requests_.Do(context, [=](relay::Server& server, const Now& now) -> absl::Status {
    const absl::StatusOr<relay::CallInfo> info = server.FindCall(request->call(), now);
    if (!info.ok()) return info.status();
    Fill(*info, *response);
    return absl::OkStatus();
  });
}

grpc::ServerUnaryReactor* CallControlService::GetRelay(Context* context,
                                                       const api::GetRelayRequest*,
                                                       api::Relay* response) {
  return requests_.Do(context, [=, this](relay::Server& server, const Now& now) {
    const relay::ServerOptions& options = server.options();
    response->set_version(options_.version);
    response->set_uptime_s((now.monotonic_ms - attached_at_) / 1000);
    response->set_realm(options.realm);
    response->set_draining(server.drain().draining);
    response->set_call_policy(options.peers.kind == relay::PeerPolicyKind::kCall);
    response->set_allocations(server.allocation_count());
    response->set_max_allocations(options.limits.max_allocations);
    for (const TransportAddress& address : options.listen) {
      Fill(address, *response->add_listen());
    }
    return absl::OkStatus();
  });
}

grpc::ServerWriteReactor<api::LegEvent>* CallControlService::WatchLegs(
    Context*, const api::WatchLegsRequest*) {
  const std::shared_ptr<LegWatcher> watcher =
      LegWatcher::Create(options_.max_watcher_events, requests_.run_in_grpc());
  LegWatcher* const reactor = watcher.get();
  if (!requests_.tasks().Post([this, watcher](relay::Server& server, const Now& now) {
        StartWatch(watcher, server, now);
      })) {
    watcher->EndInGrpc(requests_.Unavailable());
  }
  return reactor;
}

void CallControlService::StartWatch(std::shared_ptr<LegWatcher> watcher, relay::Server& server,
                                    const Now& now) {
  std::erase_if(watches_, [](const Watch& watch) { return watch.watcher->ended(); });
  if (watches_.size() >= options_.max_watchers) {
    return watcher->End(
        {grpc::StatusCode::RESOURCE_EXHAUSTED,
         fmt::format("{} clients watch the legs of this relay already, and it serves no more; end "
                     "one of these watches",
                     watches_.size())});
  }
  const uint64_t id = next_watch_++;
  watches_.push_back({.id = id, .watcher = std::move(watcher)});
  TellStanding(id, server, now);
}

void CallControlService::TellStanding(uint64_t id, relay::Server& server, const Now& now) {
  const auto watch = std::ranges::find(watches_, id, &Watch::id);
  if (watch == watches_.end() || watch->watcher->ended()) return;
  // A call has two events at most.
  const uint32_t calls =
      static_cast<uint32_t>(std::min<size_t>(kCallsAtOnce, watch->watcher->Room() / 2));
  if (calls > 0) {
    watch->next = server.ForEachCall(watch->next, calls, now, [&](const relay::CallInfo& info) {
      for (uint8_t side = 0; side < 2; ++side) {
        if (info.relayed[side].empty()) continue;
        api::LegEvent event;
        event.set_kind(api::LegEvent::KIND_STANDING);
        Fill(info.name, side, info.relayed[side], *event.mutable_leg());
        watch->watcher->Push(std::move(event));
      }
    });
    if (watch->next == 0) {
      api::LegEvent event;
      event.set_kind(api::LegEvent::KIND_ALL_STANDING);
      watch->watcher->Push(std::move(event));
      return;
    }
  }
  const auto go_on = [this, id](relay::Server& s, const Now& n) { TellStanding(id, s, n); };
  watch->watcher->AwaitRoom([this, go_on] { requests_.tasks().PostMore(go_on); });
}

void CallControlService::OnLegChange(const relay::LegChange& change) {
  if (watches_.empty()) return;
  api::LegEvent event;
  event.set_kind(change.lost ? api::LegEvent::KIND_ENDED : api::LegEvent::KIND_ALLOCATED);
  Fill(change.call, change.side, change.relayed, *event.mutable_leg());
  std::erase_if(watches_, [&](const Watch& watch) { return !watch.watcher->Push(event); });
}

}  // namespace sotto::dataplane
