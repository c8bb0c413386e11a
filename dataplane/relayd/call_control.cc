#include "dataplane/relayd/call_control.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace sotto::dataplane {
namespace {

namespace api = relay::v1;

// Calls that one task of a watch looks at, so that control's other work isn't kept waiting.
constexpr uint32_t kCallsAtOnce = 512;

grpc::Status ToGrpc(const absl::Status& status) {
  if (status.ok()) return grpc::Status::OK;
  return {static_cast<grpc::StatusCode>(status.code()),
          std::string(status.message().data(), status.message().size())};
}

grpc::Status Unavailable() {
  return {grpc::StatusCode::UNAVAILABLE,
          "the relay is stopping, or has more requests than it takes; try again"};
}

void Fill(const relay::TransportAddress& address, api::TransportAddress& out) {
  const auto bytes = address.ip.bytes();
  out.set_ip(bytes.data(), bytes.size());
  out.set_port(address.port);
}

void Fill(std::string_view call, uint8_t side, const std::vector<relay::TransportAddress>& relayed,
          api::Leg& out) {
  out.set_call(call.data(), call.size());
  out.set_side(side == 0 ? api::Leg::SIDE_A : api::Leg::SIDE_B);
  for (const relay::TransportAddress& address : relayed) Fill(address, *out.add_relayed());
}

void Fill(const relay::CallInfo& info, api::Call& out) {
  out.set_call(info.name);
  out.set_armed(info.armed);
  for (uint8_t side = 0; side < 2; ++side) {
    if (!info.relayed[side].empty()) Fill(info.name, side, info.relayed[side], *out.add_legs());
  }
}

absl::Status UnlessNotFound(absl::Status status) {
  return status.code() == absl::StatusCode::kNotFound ? absl::OkStatus() : status;
}

}  // namespace

CallControlService::CallControlService(CallControlOptions options, ControlTasks& tasks,
                                       LegWatcher::RunInGrpc run_in_grpc)
    : options_(std::move(options)), tasks_(tasks), run_in_grpc_(std::move(run_in_grpc)) {}

void CallControlService::Attach(relay::Server& server, const relay::Now& now) {
  attached_at_ = now.monotonic_ms;
  server.ObserveLegs([this](const relay::LegChange& change) { OnLegChange(change); });
}

void CallControlService::Detach(relay::Server& server) {
  server.ObserveLegs(nullptr);
  for (const Watch& watch : watches_) watch.watcher->End(Unavailable());
  watches_.clear();
}

grpc::ServerUnaryReactor* CallControlService::Do(Context* context, Work work) {
  grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
  if (requests_.fetch_add(1) < options_.max_requests &&
      tasks_.Post(
          [this, reactor, work = std::move(work)](relay::Server& server, const relay::Now& now) {
            run_in_grpc_([this, reactor, status = work(server, now)] {
              requests_.fetch_sub(1);
              reactor->Finish(ToGrpc(status));
            });
          })) {
    return reactor;
  }
  requests_.fetch_sub(1);
  reactor->Finish(Unavailable());
  return reactor;
}

// Requests and responses live until Finish.

grpc::ServerUnaryReactor* CallControlService::ArmCall(Context* context,
                                                      const api::ArmCallRequest* request,
                                                      api::ArmCallResponse* response) {
  return Do(context, [=](relay::Server& server, const relay::Now& now) {
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
  return Do(context, [=](relay::Server& server, const relay::Now& now) {
    return UnlessNotFound(server.DisarmCall(request->call(), now));
  });
}

grpc::ServerUnaryReactor* CallControlService::EndCall(Context* context,
                                                      const api::EndCallRequest* request,
                                                      api::EndCallResponse*) {
  return Do(context, [=](relay::Server& server, const relay::Now& now) {
    return UnlessNotFound(server.EndCall(request->call(), now));
  });
}

grpc::ServerUnaryReactor* CallControlService::GetCall(Context* context,
                                                      const api::GetCallRequest* request,
                                                      api::Call* response) {
  return Do(context, [=](relay::Server& server, const relay::Now& now) -> absl::Status {
    const absl::StatusOr<relay::CallInfo> info = server.FindCall(request->call(), now);
    if (!info.ok()) return info.status();
    Fill(*info, *response);
    return absl::OkStatus();
  });
}

grpc::ServerUnaryReactor* CallControlService::GetRelay(Context* context,
                                                       const api::GetRelayRequest*,
                                                       api::Relay* response) {
  return Do(context, [=, this](relay::Server& server, const relay::Now& now) {
    const relay::ServerOptions& options = server.options();
    response->set_version(options_.version);
    response->set_uptime_s((now.monotonic_ms - attached_at_) / 1000);
    response->set_realm(options.realm);
    response->set_call_policy(options.peers.kind == relay::PeerPolicyKind::kCall);
    response->set_allocations(server.allocation_count());
    response->set_max_allocations(options.limits.max_allocations);
    for (const relay::TransportAddress& address : options.listen) {
      Fill(address, *response->add_listen());
    }
    return absl::OkStatus();
  });
}

grpc::ServerWriteReactor<api::LegEvent>* CallControlService::WatchLegs(
    Context*, const api::WatchLegsRequest*) {
  const std::shared_ptr<LegWatcher> watcher =
      LegWatcher::Create(options_.max_watcher_events, run_in_grpc_);
  LegWatcher* const reactor = watcher.get();
  if (!tasks_.Post([this, watcher](relay::Server& server, const relay::Now& now) {
        StartWatch(watcher, server, now);
      })) {
    watcher->EndInGrpc(Unavailable());
  }
  return reactor;
}

void CallControlService::StartWatch(std::shared_ptr<LegWatcher> watcher, relay::Server& server,
                                    const relay::Now& now) {
  std::erase_if(watches_, [](const Watch& watch) { return watch.watcher->ended(); });
  if (watches_.size() >= options_.max_watchers) {
    return watcher->End(
        {grpc::StatusCode::RESOURCE_EXHAUSTED,
         fmt::format("{} watch the legs of this relay already, which is all that it "
                     "takes; end one of these watches",
                     watches_.size())});
  }
  const uint64_t id = next_watch_++;
  watches_.push_back({.id = id, .watcher = std::move(watcher)});
  TellStanding(id, server, now);
}

void CallControlService::TellStanding(uint64_t id, relay::Server& server, const relay::Now& now) {
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
  const auto go_on = [this, id](relay::Server& s, const relay::Now& n) { TellStanding(id, s, n); };
  watch->watcher->AwaitRoom([this, go_on] { tasks_.PostMore(go_on); });
}

void CallControlService::OnLegChange(const relay::LegChange& change) {
  if (watches_.empty()) return;
  api::LegEvent event;
  event.set_kind(change.lost ? api::LegEvent::KIND_ENDED : api::LegEvent::KIND_ALLOCATED);
  Fill(change.call, change.side, change.relayed, *event.mutable_leg());
  std::erase_if(watches_, [&](const Watch& watch) { return !watch.watcher->Push(event); });
}

}  // namespace sotto::dataplane
