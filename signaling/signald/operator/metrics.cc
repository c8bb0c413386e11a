// SPDX-License-Identifier: Apache-2.0
#include "signaling/signald/operator/metrics.h"

#include <future>
#include <memory>
#include <optional>
#include <string_view>
#include <utility>

namespace sotto::signaling {
namespace {

template <typename Number>
double Value(Number number) {
  return static_cast<double>(number);
}

// What only the service's thread can tell.
struct ServiceState {
  Service::Counters sessions;
  Switchboard::Counters calls;
  Listener::Counters connections;
  uint32_t max_sessions = 0;
  uint64_t uptime_ms = 0;
};

// Nothing if it doesn't answer in time. What it answers later is thrown away.
std::optional<ServiceState> AskService(const LiveServer& server, OwnerRequests<>& requests,
                                       std::chrono::milliseconds patience) {
  const auto state = std::make_shared<std::promise<ServiceState>>();
  std::future<ServiceState> answer = state->get_future();
  const bool posted = requests.tasks().Post([state, &server] {
    state->set_value({.sessions = server.service.counters(),
                      .calls = server.service.call_counters(),
                      .connections = server.listener.counters(),
                      .max_sessions = server.service.session_options().max_sessions,
                      .uptime_ms = server.clock().monotonic_ms - server.started_ms});
  });
  if (!posted || answer.wait_for(patience) != std::future_status::ready) return std::nullopt;
  return answer.get();
}

void AddSessions(const ServiceState& state, MetricFamilies& families) {
  const Service::Counters& sessions = state.sessions;
  families.Gauge("sotto_signaling_uptime_seconds", "Time since the server started.",
                 Value(state.uptime_ms) / 1e3);
  families.Gauge("sotto_signaling_connections", "Current number of WebSocket connections.",
                 sessions.connections);
  families.Counter("sotto_signaling_connections_accepted_total", "Connections accepted.",
                   Value(state.connections.accepted));
  families.Counter("sotto_signaling_connections_refused_total",
                   "Connections refused because of [limits] max_connections or "
                   "max_connections_per_prefix.",
                   Value(state.connections.refused));
  const std::string_view live = "sotto_signaling_sessions";
  const std::string_view live_help =
      "Current number of sessions, by state: connected, or without a connection and resumable.";
  families.Gauge(live, live_help, sessions.sessions_connected, {{"state", "connected"}});
  families.Gauge(live, live_help, sessions.sessions - sessions.sessions_connected,
                 {{"state", "resumable"}});
  families.Gauge("sotto_signaling_sessions_limit",
                 "Maximum number of sessions ([limits] max_sessions).", state.max_sessions);
  families.Gauge("sotto_signaling_accounts", "Current number of accounts with a session.",
                 sessions.accounts);
  families.Counter("sotto_signaling_sessions_opened_total",
                   "Sessions opened, without resumed ones.", Value(sessions.sessions_opened));
  families.Counter("sotto_signaling_sessions_resumed_total", "Sessions resumed.",
                   Value(sessions.sessions_resumed));
  for (size_t i = 0; i < kCountOf<SessionEnd>; ++i) {
    families.Counter("sotto_signaling_sessions_ended_total", "Sessions that ended, by reason.",
                     Value(sessions.sessions_ended[i]),
                     {{"reason", Name(static_cast<SessionEnd>(i))}});
  }
  const std::string_view refused = "sotto_signaling_sign_ins_refused_total";
  const std::string_view refused_help =
      "Sign-ins and identity renewals that were refused, by reason: what is wrong with the "
      "identity (a JWT), or that the operator blocks the account, or that the account has too many "
      "devices or sessions.";
  for (size_t i = 0; i < kCountOf<IdentityFault>; ++i) {
    families.Counter(refused, refused_help, Value(sessions.identity_faults[i]),
                     {{"reason", Name(static_cast<IdentityFault>(i))}});
  }
  families.Counter(refused, refused_help, Value(sessions.blocked_refused), {{"reason", "blocked"}});
  families.Counter(refused, refused_help, Value(sessions.full_refused), {{"reason", "too_many"}});
  families.Counter("sotto_signaling_frames_total", "Protocol frames, by direction.",
                   Value(sessions.frames_in), {{"direction", "received"}});
  families.Counter("sotto_signaling_frames_total", "", Value(sessions.frames_out),
                   {{"direction", "sent"}});
  families.Counter("sotto_signaling_protocol_errors_total",
                   "Connections and sessions that the server ended because the client violated the "
                   "protocol.",
                   Value(sessions.protocol_errors));
  families.Counter("sotto_signaling_notices_sent_total",
                   "Notices sent to devices, including repeated ones.",
                   Value(sessions.notices_sent));
  families.Counter("sotto_signaling_store_refused_requests_total",
                   "Requests of clients and decisions that were refused because the store's queue "
                   "was full.",
                   Value(sessions.store_refusals));
  families.Counter("sotto_signaling_store_failed_requests_total",
                   "Requests of clients and decisions that failed in the store.",
                   Value(sessions.store_failures));
  families.Gauge("sotto_signaling_store_backlog",
                 "Records that must not be lost and wait for room in the store's queue.",
                 Value(sessions.unsubmitted));
}

void AddCalls(const ServiceState& state, MetricFamilies& families) {
  const Switchboard::Counters& calls = state.calls;
  families.Gauge("sotto_signaling_calls", "Current number of calls, from place to end.",
                 calls.calls);
  families.Gauge("sotto_signaling_connected_calls", "Current number of connected calls.",
                 calls.connected_calls);
  families.Counter("sotto_signaling_calls_placed_total", "Calls placed, without repeated requests.",
                   Value(calls.placed));
  const std::string_view ended = "sotto_signaling_calls_ended_total";
  const std::string_view ended_help =
      "Calls that ended, by outcome. Missed calls rang, or waited for a device to connect; "
      "silenced calls never rang, for any reason (silenced, blocked, no such account).";
  families.Counter(ended, ended_help, Value(calls.ended_answered), {{"outcome", "answered"}});
  families.Counter(ended, ended_help, Value(calls.ended_declined), {{"outcome", "declined"}});
  families.Counter(ended, ended_help, Value(calls.ended_missed), {{"outcome", "missed"}});
  families.Counter(ended, ended_help, Value(calls.ended_silenced), {{"outcome", "silenced"}});
  families.Counter("sotto_signaling_call_requests_refused_total",
                   "Requests about calls that were refused, because of a limit or because they did "
                   "not fit the state of the call.",
                   Value(calls.refused));
  for (size_t i = 0; i < kCountOf<TokenResult>; ++i) {
    families.Counter("sotto_signaling_tokens_total",
                     "Decided calls, by result of their privacy token: none presented; invalid; "
                     "valid but unused, because the call did not ring; spent or revoked; "
                     "accepted.",
                     Value(state.sessions.tokens[i]),
                     {{"result", Name(static_cast<TokenResult>(i))}});
  }
}

}  // namespace

void ServerMetrics::Collect(MetricFamilies& families) const {
  const std::optional<ServiceState> state = AskService(server_, requests_, patience_);
  families.Gauge("sotto_signaling_build_info", "1; the server's version.", 1,
                 {{"version", server_.version}});
  families.Gauge(
      "sotto_signaling_service_answered",
      "1 if the service thread answered this scrape in time; if 0, the metrics that only it knows "
      "are missing.",
      state ? 1 : 0);
  if (state) {
    AddSessions(*state, families);
    AddCalls(*state, families);
  }
  CollectStore(families);
  CollectRelays(families);
  AddProcessMetrics(families);
}

void ServerMetrics::CollectStore(MetricFamilies& families) const {
  const StoreThread::Counters store = server_.store.counters();
  server_.store.decision_times().Collect(
      families, "sotto_signaling_decision_seconds",
      "Time from PlaceCall to the decision, as the service thread sees it: the wait for the store, "
      "and then a whole multiple of 5 ms.");
  server_.store.batch_times().Collect(families, "sotto_signaling_store_seconds",
                                      "Duration of a store transaction of up to 256 requests and "
                                      "decisions, including its sync to disk.");
  families.Counter("sotto_signaling_store_requests_total",
                   "Requests and decisions that the store completed.", Value(store.jobs),
                   {{"kind", "request"}});
  families.Counter("sotto_signaling_store_requests_total", "", Value(store.decisions),
                   {{"kind", "decision"}});
  families.Counter("sotto_signaling_store_failures_total",
                   "Store transactions that failed and had no effect; the log says why.",
                   Value(store.failures));
  families.Gauge("sotto_signaling_store_queue",
                 "Requests and decisions waiting in the store's queue.", Value(store.queued));
  families.Gauge("sotto_signaling_store_queue_capacity", "Capacity of the store's queue.",
                 Value(store.max_queue));
  families.Counter("sotto_signaling_store_queue_overflows_total",
                   "Requests and decisions that were refused because the store's queue was full.",
                   Value(store.overflows));
  families.Gauge("sotto_signaling_notices_waiting",
                 "Notices in the store that no device has acknowledged.",
                 Value(store.notices_waiting));
}

void ServerMetrics::CollectRelays(MetricFamilies& families) const {
  for (const RelayReport& relay : server_.relays.Reports()) {
    const MetricFamilies::Labels label = {{"relay", relay.name}};
    families.Gauge("sotto_signaling_relay_up",
                   "1 if the relay accepts calls: it answers, has room, and is not draining.",
                   relay.health.well ? 1 : 0, label);
    families.Gauge("sotto_signaling_relay_allocations",
                   "Allocations on the relay, as it last reported.", relay.health.allocations,
                   label);
    families.Gauge("sotto_signaling_relay_allocations_limit",
                   "Maximum number of allocations on the relay.", relay.health.max_allocations,
                   label);
    for (const auto& [request, results] :
         {std::pair<std::string_view, const RelayRequests&>{"arm", relay.armed},
          std::pair<std::string_view, const RelayRequests&>{"end", relay.ended}}) {
      for (const auto& [result, count] :
           {std::pair<std::string_view, uint64_t>{"done", results.done},
            std::pair<std::string_view, uint64_t>{"refused", results.refused},
            std::pair<std::string_view, uint64_t>{"unanswered", results.unanswered}}) {
        families.Counter("sotto_signaling_relay_requests_total",
                         "Requests to the relay to arm or end a call, by result; all except "
                         "successful ones are retried.",
                         Value(count),
                         {{"relay", relay.name}, {"request", request}, {"result", result}});
      }
    }
    families.Counter("sotto_signaling_relay_given_up_total",
                     "Calls that the server gave up ending on the relay, after an hour of failed "
                     "requests.",
                     Value(relay.given_up), label);
  }
}

}  // namespace sotto::signaling
