// SPDX-License-Identifier: Apache-2.0
#include "dataplane/relayd/operator/metrics.h"

#include <fmt/format.h>

#include <future>
#include <memory>
#include <optional>
#include <tuple>
#include <vector>

namespace sotto::dataplane {
namespace {

constexpr relay::StunError kErrors[] = {
    relay::StunError::kTryAlternate,
    relay::StunError::kBadRequest,
    relay::StunError::kUnauthenticated,
    relay::StunError::kForbidden,
    relay::StunError::kUnknownAttribute,
    relay::StunError::kAllocationMismatch,
    relay::StunError::kStaleNonce,
    relay::StunError::kAddressFamilyNotSupported,
    relay::StunError::kWrongCredentials,
    relay::StunError::kUnsupportedTransportProtocol,
    relay::StunError::kPeerAddressFamilyMismatch,
    relay::StunError::kAllocationQuotaReached,
    relay::StunError::kServerError,
    relay::StunError::kInsufficientCapacity,
};

double Seconds(uint64_t ns) { return static_cast<double>(ns) / 1e9; }
double Number(uint64_t value) { return static_cast<double>(value); }

// What only control can tell.
struct ControlState {
  relay::ServerCounters turn;
  ControlView view;
  uint64_t uptime_ms = 0;
  uint32_t allocations = 0;
  uint32_t max_allocations = 0;
  uint32_t calls = 0;
  uint32_t armed_calls = 0;
  uint32_t ports_in_use = 0;
  uint32_t ports = 0;
  bool draining = false;
  bool reloaded = true;
};

// Relayed ports that there are; 0 where relayed addresses are virtual.
uint32_t PortsOf(const relay::ServerOptions& options) {
  const auto [first, last] = options.relay_ports;
  return static_cast<uint32_t>(options.relay_addresses.size()) * (last - first + 1u);
}

ControlState StateOf(const relay::Server& server, const RelayView& relay,
                     const RunningConfig& config, const Now& now) {
  return {.turn = server.counters(),
          .view = relay.OfControl(),
          .uptime_ms = now.monotonic_ms,
          .allocations = server.allocation_count(),
          .max_allocations = server.options().limits.max_allocations,
          .calls = server.call_count(),
          .armed_calls = server.armed_call_count(),
          .ports_in_use = server.ports_in_use(),
          .ports = PortsOf(server.options()),
          .draining = server.drain().draining,
          .reloaded = config.last_reload_succeeded()};
}

// Nothing if control doesn't answer in time. What it answers later is thrown away.
std::optional<ControlState> AskControl(const RelayView& relay, const RunningConfig& config,
                                       relay::ServerTasks& tasks,
                                       std::chrono::milliseconds patience) {
  const auto state = std::make_shared<std::promise<ControlState>>();
  std::future<ControlState> answer = state->get_future();
  if (!tasks.Post([state, &relay, &config](relay::Server& server, const Now& now) {
        state->set_value(StateOf(server, relay, config, now));
      })) {
    return std::nullopt;
  }
  if (answer.wait_for(patience) != std::future_status::ready) return std::nullopt;
  try {
    return answer.get();
  } catch (const std::future_error&) {  // control has ended, and the task with it
    return std::nullopt;
  }
}

void AddTurn(const ControlState& state, MetricFamilies& families) {
  const relay::ServerCounters& turn = state.turn;
  families.Counter("sotto_relay_requests_total",
                   "Well-formed STUN requests, except Binding requests that workers answered.",
                   Number(turn.requests));
  const std::string_view auth = "sotto_relay_authentications_total";
  const std::string_view auth_help =
      "TURN requests with credentials, by result; one stale nonce per hour and client is normal.";
  families.Counter(auth, auth_help, Number(turn.authenticated), {{"result", "accepted"}});
  families.Counter(auth, auth_help, Number(turn.auth_failures), {{"result", "refused"}});
  families.Counter(auth, auth_help, Number(turn.stale_nonces), {{"result", "stale_nonce"}});
  for (const relay::StunError error : kErrors) {
    families.Counter("sotto_relay_error_responses_total",
                     "Error responses, by STUN error code; 401 is the normal answer to a client's "
                     "first request.",
                     Number(turn.error_responses[static_cast<size_t>(error)]),
                     {{"code", fmt::format("{}", static_cast<int>(error))}});
  }
  for (size_t i = 0; i < kCountOf<relay::Refusal>; ++i) {
    families.Counter("sotto_relay_refusals_total",
                     "Well-formed, authenticated requests that were refused, by reason; `sottoctl "
                     "stats` says what to do about each.",
                     Number(turn.refusals[i]), {{"reason", Name(static_cast<relay::Refusal>(i))}});
  }
  for (size_t i = 1; i < turn.discards.size(); ++i) {
    families.Counter("sotto_relay_discarded_datagrams_total",
                     "Datagrams that the TURN server discarded, by reason.",
                     Number(turn.discards[i]), {{"reason", Name(static_cast<relay::Discard>(i))}});
  }
  families.Gauge("sotto_relay_allocations", "Current number of allocations.", state.allocations);
  families.Gauge("sotto_relay_allocations_limit",
                 "Maximum number of allocations ([dataplane] max_allocations).",
                 state.max_allocations);
  families.Counter("sotto_relay_allocations_created_total", "Allocations created.",
                   Number(turn.allocations_created));
  const std::string_view ended = "sotto_relay_allocations_ended_total";
  const std::string_view ended_help =
      "Allocations that ended: because they were not refreshed in time, or because their client, "
      "the end of their call or an operator ended them.";
  families.Counter(ended, ended_help, Number(turn.allocations_expired), {{"how", "expired"}});
  families.Counter(ended, ended_help, Number(turn.allocations_ended - turn.allocations_expired),
                   {{"how", "ended"}});
  families.Counter("sotto_relay_permissions_created_total",
                   "Permissions created, without refreshes.", Number(turn.permissions_created));
  families.Counter("sotto_relay_channels_created_total", "Channels bound, without refreshes.",
                   Number(turn.channels_created));
  families.Gauge("sotto_relay_relayed_ports_in_use",
                 "Relayed ports in use by allocations and reservations.", state.ports_in_use);
  families.Gauge("sotto_relay_relayed_ports_limit",
                 "Total number of relayed ports; 0 with [turn] virtual_prefix, where allocations "
                 "need none.",
                 state.ports);
  families.Gauge(
      "sotto_relay_calls",
      "Current number of calls under policy \"call\", including armed calls without a leg.",
      state.calls);
  families.Gauge("sotto_relay_armed_calls", "Current number of armed calls, whose media may flow.",
                 state.armed_calls);
  families.Gauge("sotto_relay_draining", "1 while the relay is draining, else 0.",
                 state.draining ? 1 : 0);
  families.Gauge("sotto_relay_config_last_reload_successful",
                 "1 if the last reload succeeded, 0 if it failed and the previous configuration is "
                 "still in force.",
                 state.reloaded ? 1 : 0);
  families.Gauge("sotto_relay_uptime_seconds", "Time since the relay started.",
                 static_cast<double>(state.uptime_ms) / 1e3);
}

void AddControlView(const ControlView& view, MetricFamilies& families) {
  families.Gauge("sotto_relay_fused_channels",
                 "Current number of fused channels, whose packets reach the other leg with one "
                 "look-up.",
                 view.fused_channels);
  families.Gauge("sotto_relay_retired_records",
                 "Removed table records that wait until no worker can be using them.",
                 Number(view.retired_records));
  families.Gauge("sotto_relay_neighbors", "Current number of next hops in use.", view.neighbors);
  families.Gauge("sotto_relay_neighbor_held_frames",
                 "Frames that wait for the MAC address of their next hop.", view.held_frames);
  families.Counter("sotto_relay_neighbor_failures_total",
                   "Next hops that stopped answering ARP or ND, or never answered.",
                   Number(view.neighbor.failed));
  families.Counter("sotto_relay_neighbor_changes_total", "Changes of a next hop's MAC address.",
                   Number(view.neighbor.changed));
  for (size_t i = 1; i < view.l3.size(); ++i) {
    const auto event = static_cast<L3Event>(i);
    families.Counter("sotto_relay_l3_packets_total",
                     "Packets that the relay's own IP layer handled (ARP, ND, ICMP), by outcome.",
                     Number(view.l3[i]), {{"event", Name(event)}});
  }
  families.Gauge("sotto_relay_reassemblies", "Current number of incomplete fragmented datagrams.",
                 view.pending_reassemblies);
}

// Bounds at powers of two of nanoseconds, so that they are the same on every machine.
std::vector<MetricFamilies::Bucket> LatencyBuckets(const PacketSums& sums) {
  std::vector<MetricFamilies::Bucket> buckets;
  for (size_t i = 0; i < LatencyHistogram::kBuckets; ++i) {
    if (i == 0 || i % 4 == 1) buckets.emplace_back();
    buckets.back().upper = Seconds(LatencyHistogram::UpperNs(i));
    buckets.back().count += sums.latency[i];
  }
  return buckets;
}

}  // namespace

void RelayMetrics::Collect(MetricFamilies& families) const {
  const std::optional<ControlState> state = AskControl(relay_, config_, tasks_, patience_);
  families.Gauge("sotto_relay_build_info", "1; the relay's version.", 1, {{"version", version_}});
  families.Gauge("sotto_relay_control_answered",
                 "1 if the control thread answered this scrape in time; if 0, the metrics that "
                 "only it knows are missing.",
                 state ? 1 : 0);
  CollectPackets(families);
  CollectWorkers(families);
  CollectPorts(families);
  if (state) {
    AddTurn(*state, families);
    AddControlView(state->view, families);
  }
  AddProcessMetrics(families);
}

void RelayMetrics::CollectPackets(MetricFamilies& families) const {
  const PacketSums sums = SumOf(relay_);
  for (size_t i = 0; i < kCountOf<PacketPath>; ++i) {
    families.Counter("sotto_relay_path_packets_total",
                     "Packets that were forwarded, answered or handed to control, by path through "
                     "the relay.",
                     Number(sums.paths[i]), {{"path", Name(static_cast<PacketPath>(i))}});
  }
  for (size_t i = 0; i < kCountOf<DropReason>; ++i) {
    families.Counter("sotto_relay_dropped_packets_total",
                     "Packets that were dropped, by reason; `sottoctl drops` says what to do about "
                     "each.",
                     Number(sums.drops[i]), {{"reason", Name(static_cast<DropReason>(i))}});
  }
  families.Histogram("sotto_relay_latency_seconds",
                     "Time that packets spent in the relay, from the poll that received them until "
                     "they were handed to a port or to control.",
                     LatencyBuckets(sums), Seconds(sums.latency_ns));
}

void RelayMetrics::CollectWorkers(MetricFamilies& families) const {
  const auto hz = static_cast<double>(relay_.tsc_hz());
  for (const WorkerView& worker : relay_.Workers()) {
    const WorkerCounters& counters = *worker.counters;
    const std::string index = fmt::format("{}", worker.index);
    const MetricFamilies::Labels label = {{"worker", index}};
    families.Counter("sotto_relay_received_packets_total", "Packets that workers received.",
                     Number(counters.rx_packets.Read()), label);
    families.Counter("sotto_relay_received_bytes_total",
                     "Bytes that workers received, including Ethernet headers.",
                     Number(counters.rx_bytes.Read()), label);
    families.Counter("sotto_relay_sent_packets_total", "Packets that workers handed to ports.",
                     Number(counters.tx_packets.Read()), label);
    families.Counter("sotto_relay_sent_bytes_total",
                     "Bytes that workers handed to ports, including Ethernet headers.",
                     Number(counters.tx_bytes.Read()), label);
    families.Counter("sotto_relay_polls_total", "Polls of all ports by workers.",
                     Number(counters.polls.Read()), label);
    families.Counter("sotto_relay_empty_polls_total", "Polls that found no packet.",
                     Number(counters.empty_polls.Read()), label);
    families.Counter("sotto_relay_worker_seconds_total",
                     "Time that workers spent in polls with packets (busy) and in polls without, "
                     "including sleep (idle).",
                     Number(counters.busy_cycles.Read()) / hz,
                     {{"worker", index}, {"state", "busy"}});
    families.Counter("sotto_relay_worker_seconds_total", "",
                     Number(counters.idle_cycles.Read()) / hz,
                     {{"worker", index}, {"state", "idle"}});
    std::vector<MetricFamilies::Bucket> fills;
    for (size_t i = 0; i < kBurstFills; ++i) {
      fills.push_back({static_cast<double>(BurstFillUpper(i)), counters.bursts[i].Read()});
    }
    fills.emplace_back();  // no burst is larger, but a histogram has no end
    families.Histogram("sotto_relay_burst_packets",
                       "Packets per receive burst; many full bursts (32) mean that the worker "
                       "can't keep up.",
                       fills, Number(counters.rx_packets.Read()), label);
    for (const auto& [ring, waiting, capacity] :
         {std::tuple{"requests", worker.requests_waiting, worker.requests_capacity},
          std::tuple{"others", worker.others_waiting, worker.others_capacity}}) {
      families.Gauge("sotto_relay_control_ring_packets",
                     "Packets that wait for control, by ring: STUN requests, and others (ARP, ND, "
                     "ICMP, fragments).",
                     waiting, {{"worker", index}, {"ring", ring}});
      families.Gauge("sotto_relay_control_ring_capacity", "Capacity of the ring, in packets.",
                     capacity, {{"worker", index}, {"ring", ring}});
    }
  }
}

void RelayMetrics::CollectPorts(MetricFamilies& families) const {
  const PoolView pool = relay_.Pool();
  families.Gauge("sotto_relay_packet_buffers", "Total number of packet buffers.", pool.size);
  families.Gauge("sotto_relay_packet_buffers_in_use",
                 "Packet buffers in use, including those in receive queues.", pool.in_use);
  for (const PortView& port : relay_.Ports(false)) {
    const PortStatistics& statistics = port.statistics;
    const MetricFamilies::Labels label = {{"port", port.name}};
    families.Gauge("sotto_relay_port_link_up", "1 if the port's link is up, else 0.",
                   statistics.link_up ? 1 : 0, label);
    families.Gauge("sotto_relay_port_speed_bytes",
                   "Speed of the link in bytes per second; 0 if the device does not report it.",
                   statistics.link_mbps * 1e6 / 8, label);
    families.Counter("sotto_relay_port_received_packets_total", "Packets that the device received.",
                     Number(statistics.rx_packets), label);
    families.Counter("sotto_relay_port_received_bytes_total", "Bytes that the device received.",
                     Number(statistics.rx_bytes), label);
    families.Counter("sotto_relay_port_sent_packets_total", "Packets that the device sent.",
                     Number(statistics.tx_packets), label);
    families.Counter("sotto_relay_port_sent_bytes_total", "Bytes that the device sent.",
                     Number(statistics.tx_bytes), label);
    families.Counter("sotto_relay_port_missed_packets_total",
                     "Packets that the device dropped for lack of receive descriptors: workers are "
                     "too slow.",
                     Number(statistics.rx_missed), label);
    families.Counter("sotto_relay_port_receive_errors_total",
                     "Frames that the device received with errors.", Number(statistics.rx_errors),
                     label);
    families.Counter("sotto_relay_port_send_errors_total", "Frames that the device failed to send.",
                     Number(statistics.tx_errors), label);
    families.Counter("sotto_relay_port_no_buffer_total",
                     "Packets that the device dropped for lack of packet buffers; raise "
                     "[dataplane] mbufs.",
                     Number(statistics.rx_no_mbuf), label);
  }
}

}  // namespace sotto::dataplane
