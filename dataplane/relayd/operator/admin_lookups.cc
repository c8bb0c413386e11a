// SPDX-License-Identifier: Apache-2.0
// Look-ups that answer once.
#include <fmt/format.h>

#include "dataplane/relayd/operator/admin_messages.h"
#include "dataplane/relayd/operator/admin_service.h"

namespace sotto::dataplane {
namespace {

namespace api = relay::v1;

std::string_view PolicyName(relay::PeerPolicyKind kind) {
  switch (kind) {
    case relay::PeerPolicyKind::kPublic:
      return "public";
    case relay::PeerPolicyKind::kRelay:
      return "relay";
    case relay::PeerPolicyKind::kCall:
      return "call";
  }
  return "";
}

void AddCount(std::string_view name, uint64_t count, std::string_view sentence,
              google::protobuf::RepeatedPtrField<api::NamedCount>& out) {
  api::NamedCount& added = *out.Add();
  added.set_name(name.data(), name.size());
  added.set_count(count);
  added.set_sentence(sentence.data(), sentence.size());
}

void FillPackets(const PacketSums& sums, api::Counters& out) {
  out.set_rx_packets(sums.rx_packets);
  out.set_rx_bytes(sums.rx_bytes);
  out.set_tx_packets(sums.tx_packets);
  out.set_tx_bytes(sums.tx_bytes);
  for (size_t i = 0; i < kCountOf<PacketPath>; ++i) {
    AddCount(Name(static_cast<PacketPath>(i)), sums.paths[i], "", *out.mutable_paths());
  }
  for (size_t i = 0; i < kCountOf<DropReason>; ++i) {
    const auto reason = static_cast<DropReason>(i);
    AddCount(Name(reason), sums.drops[i], Sentence(reason), *out.mutable_drops());
  }
  for (size_t i = 0; i < LatencyHistogram::kBuckets; ++i) {
    api::LatencyBucket& bucket = *out.add_latency();
    bucket.set_upper_ns(LatencyHistogram::UpperNs(i));
    bucket.set_packets(sums.latency[i]);
  }
}

void FillTurn(const relay::ServerCounters& counters, api::Counters& out) {
  for (size_t i = 1; i < counters.discards.size(); ++i) {
    const auto discard = static_cast<relay::Discard>(i);
    AddCount(Name(discard), counters.discards[i], Sentence(discard), *out.mutable_discards());
  }
  for (size_t i = 0; i < kCountOf<relay::Refusal>; ++i) {
    const auto refusal = static_cast<relay::Refusal>(i);
    AddCount(Name(refusal), counters.refusals[i], Sentence(refusal), *out.mutable_refusals());
  }
  const std::pair<std::string_view, uint64_t> named[] = {
      {"requests", counters.requests},
      {"allocations_created", counters.allocations_created},
      {"allocations_ended", counters.allocations_ended},
      {"allocations_expired", counters.allocations_expired},
      {"permissions_created", counters.permissions_created},
      {"channels_created", counters.channels_created},
      {"authenticated", counters.authenticated},
      {"auth_failures", counters.auth_failures},
      {"stale_nonces", counters.stale_nonces},
  };
  for (const auto& [name, count] : named) AddCount(name, count, "", *out.mutable_turn());
  for (size_t code = 0; code < counters.error_responses.size(); ++code) {
    if (counters.error_responses[code] == 0) continue;
    AddCount(fmt::format("{}", code), counters.error_responses[code],
             relay::ReasonPhrase(static_cast<relay::StunError>(code)),
             *out.mutable_error_responses());
  }
}

void Fill(const Interface& interface, api::ListPortsResponse::Interface& out) {
  out.set_vlan(interface.vlan);
  out.set_mtu(interface.mtu);
  for (const Interface::Address& address : interface.addresses) {
    out.add_addresses(fmt::format("{}/{}", address.ip.ToString(), address.subnet.length()));
  }
  for (const IpAddress& gateway : interface.gateways) out.add_gateways(gateway.ToString());
}

void Fill(const PortView& port, api::ListPortsResponse::Port& out) {
  const PortStatistics& statistics = port.statistics;
  out.set_name(port.name);
  out.set_driver(port.driver);
  out.set_mac(port.mac.ToString());
  out.set_queues(port.queues);
  out.set_rss(port.rss);
  out.set_rx_checksum_offload(port.rx_checksum_offload);
  out.set_link_up(statistics.link_up);
  out.set_link_mbps(statistics.link_mbps);
  out.set_rx_packets(statistics.rx_packets);
  out.set_rx_bytes(statistics.rx_bytes);
  out.set_tx_packets(statistics.tx_packets);
  out.set_tx_bytes(statistics.tx_bytes);
  out.set_rx_missed(statistics.rx_missed);
  out.set_rx_errors(statistics.rx_errors);
  out.set_tx_errors(statistics.tx_errors);
  out.set_rx_no_mbuf(statistics.rx_no_mbuf);
  for (const Interface& interface : port.interfaces) Fill(interface, *out.add_interfaces());
  for (const auto& [name, value] : statistics.extended) {
    AddCount(name, value, "", *out.mutable_extended());
  }
}

grpc::ServerUnaryReactor* Answer(grpc::CallbackServerContext* context) {
  grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
  reactor->Finish(grpc::Status::OK);
  return reactor;
}

}  // namespace

void AdminService::FillStatus(const relay::Server& server, const Now& now, api::Status& out) const {
  const relay::ServerOptions& options = server.options();
  const relay::DrainState& drain = server.drain();
  out.set_state(!drain.draining                 ? api::Status::STATE_SERVING
                : server.allocation_count() > 0 ? api::Status::STATE_DRAINING
                                                : api::Status::STATE_DRAINED);
  if (drain.deadline && *drain.deadline > now.monotonic_ms) {
    // Rounded up, so that it isn't told as none before it is over.
    out.set_drain_deadline_s((*drain.deadline - now.monotonic_ms + 999) / 1000);
  }
  out.set_version(options_.version);
  out.set_uptime_s((now.monotonic_ms - attached_at_) / 1000);
  out.set_realm(options.realm);
  const std::string_view policy = PolicyName(options.peers.kind);
  out.set_policy(policy.data(), policy.size());
  for (const TransportAddress& address : options.listen) {
    Fill(address, *out.add_listen());
  }
  for (const IpAddress& ip : options.relay_addresses) {
    out.add_relay_addresses(ip.bytes().data(), ip.bytes().size());
  }
  if (options.virtual_prefix) out.set_virtual_prefix(options.virtual_prefix->prefix().ToString());
  out.set_allocations(server.allocation_count());
  out.set_max_allocations(options.limits.max_allocations);
  out.set_calls(server.call_count());
  out.set_armed_calls(server.armed_call_count());
  out.set_relayed_ports_in_use(server.ports_in_use());
  out.set_workers(static_cast<uint32_t>(relay_.Workers().size()));
  out.set_ports(relay_.port_count());
  out.set_users(static_cast<uint32_t>(options.auth.users.size()));
  out.set_secrets(static_cast<uint32_t>(options.auth.shared_secrets.size()));
}

AdminService::AdminService(AdminOptions options, const RelayView& relay, FrameExplainer& explainer,
                           PacketCapture& capture, RunningConfig& config, ControlRequests& requests)
    : options_(std::move(options)),
      relay_(relay),
      explainer_(explainer),
      capture_(capture),
      config_(config),
      requests_(requests) {}
AdminService::~AdminService() = default;

grpc::ServerUnaryReactor* AdminService::GetStatus(Context* context, const api::GetStatusRequest*,
                                                  api::Status* response) {
  return requests_.Do(context, [=, this](relay::Server& server, const Now& now) {
    FillStatus(server, now, *response);
    return absl::OkStatus();
  });
}

grpc::ServerUnaryReactor* AdminService::GetCounters(Context* context,
                                                    const api::GetCountersRequest*,
                                                    api::Counters* response) {
  return requests_.Do(context, [=, this](relay::Server& server, const Now& now) {
    response->set_monotonic_ns(now.monotonic_ms * 1'000'000);
    FillPackets(SumOf(relay_), *response);
    FillTurn(server.counters(), *response);
    response->set_allocations(server.allocation_count());
    response->set_calls(server.call_count());
    return absl::OkStatus();
  });
}

grpc::ServerUnaryReactor* AdminService::ListWorkers(Context* context,
                                                    const api::ListWorkersRequest*,
                                                    api::ListWorkersResponse* response) {
  for (const WorkerView& worker : relay_.Workers()) {
    const WorkerCounters& counters = *worker.counters;
    api::ListWorkersResponse::Worker& out = *response->add_workers();
    out.set_index(worker.index);
    out.set_lcore(worker.lcore);
    out.set_numa_node(worker.numa_node);
    out.set_rx_packets(counters.rx_packets.Read());
    out.set_tx_packets(counters.tx_packets.Read());
    out.set_polls(counters.polls.Read());
    out.set_empty_polls(counters.empty_polls.Read());
    out.set_busy_cycles(counters.busy_cycles.Read());
    out.set_idle_cycles(counters.idle_cycles.Read());
    out.set_tsc_hz(relay_.tsc_hz());
    out.set_requests_waiting(worker.requests_waiting);
    out.set_requests_capacity(worker.requests_capacity);
  }
  return Answer(context);
}

// Not on control's thread: a device may take its time.
grpc::ServerUnaryReactor* AdminService::ListPorts(Context* context, const api::ListPortsRequest*,
                                                  api::ListPortsResponse* response) {
  for (const PortView& port : relay_.Ports(true)) Fill(port, *response->add_ports());
  const PoolView pool = relay_.Pool();
  response->set_mbufs_in_use(pool.in_use);
  response->set_mbufs(pool.size);
  return Answer(context);
}

grpc::ServerUnaryReactor* AdminService::ListNeighbors(Context* context,
                                                      const api::ListNeighborsRequest*,
                                                      api::ListNeighborsResponse* response) {
  return requests_.Do(context, [=, this](relay::Server&, const Now&) {
    relay_.ForEachNeighbor([&](const NeighborInfo& info) {
      api::ListNeighborsResponse::Neighbor& out = *response->add_neighbors();
      const Interface& interface = relay_.InterfaceOf(info.interface);
      const std::string_view state = NeighborStateName(info.state);
      out.set_ip(info.ip.ToString());
      if (info.mac != MacAddress{}) out.set_mac(info.mac.ToString());
      out.set_state(state.data(), state.size());
      out.set_port(interface.name);
      out.set_vlan(interface.vlan);
      out.set_gateway(info.gateway);
      out.set_age_s(info.age_ms / 1000);
      out.set_references(info.references);
    });
    return absl::OkStatus();
  });
}

}  // namespace sotto::dataplane
