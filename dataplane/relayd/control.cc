// SPDX-License-Identifier: Apache-2.0
#include "dataplane/relayd/control.h"

#include <fmt/format.h>
#include <poll.h>
#include <rte_ether.h>
#include <rte_launch.h>
#include <rte_lcore.h>
#include <rte_mempool.h>
#include <time.h>

#include <algorithm>
#include <array>

#include "dataplane/l3/reassembly_mbuf.h"
#include "dataplane/packet/reply.h"
#include "dataplane/port/wake_fd.h"
#include "relay/base/random.h"
#include "relay/daemon/log.h"

namespace sotto::dataplane {
namespace {

constexpr uint32_t kNextHops = 65536;
constexpr int kSocket = 0;
constexpr uint32_t kRingBurst = 64;
constexpr size_t kMaxTasks = 4096;
constexpr size_t kTaskBurst = 64;
// Slept at most: timers, expiry and reclaiming are looked after this often.
constexpr int kTickMs = 10;

// A key of a Keystream.
std::array<uint8_t, 16> RandomKey() {
  std::array<uint8_t, 16> key;
  Random().Fill(key);
  return key;
}

// Sources are spread over the workers in a way that nobody promises: each worker has the whole rate
// for requests, and its share of what may be amplified.
ForwarderBudgets BudgetsOf(const relay::LimitOptions& limits, size_t workers) {
  const auto share = static_cast<uint32_t>(workers);
  return {.request_rate = limits.requests_per_prefix,
          .request_burst = 2 * limits.requests_per_prefix,
          .answer_excess_rate = std::max(1u, limits.unauthenticated_excess_rate / share),
          .answer_excess_burst = std::max(64u, limits.unauthenticated_excess_burst / share)};
}

ForwarderOptions ForwarderOptionsFor(const relay::LimitOptions& limits, uint32_t workers) {
  ForwarderOptions options;
  options.budgets = BudgetsOf(limits, workers);
  options.budget_key = Random().U64();
  options.random_key = RandomKey();
  return options;
}

absl::StatusOr<std::vector<Interface>> BuildInterfaces(const RelaydConfig& config,
                                                       std::span<const Port> ports) {
  std::vector<Interface> interfaces;
  for (const InterfaceConfig& wanted : config.interfaces) {
    const auto port = std::find_if(ports.begin(), ports.end(),
                                   [&](const Port& p) { return p.name == wanted.port; });
    if (port == ports.end()) {
      return absl::InternalError(fmt::format("port {} is not open", wanted.port));
    }
    Interface interface;
    interface.name = wanted.port;
    interface.port = port->id;
    interface.vlan = wanted.vlan;
    interface.mac = wanted.mac.value_or(port->mac);
    interface.mtu = wanted.mtu != 0 ? wanted.mtu : port->mtu;
    for (const InterfaceConfig::Address& address : wanted.addresses) {
      interface.addresses.push_back({address.ip, address.subnet});
    }
    interface.gateways = wanted.gateways;
    interfaces.push_back(std::move(interface));
  }
  return interfaces;
}

}  // namespace

absl::StatusOr<std::unique_ptr<Control>> Control::Create(const RelaydConfig& config,
                                                         std::span<const Port> ports,
                                                         rte_mempool* pool) {
  absl::StatusOr<std::vector<Interface>> wanted = BuildInterfaces(config, ports);
  if (!wanted.ok()) return wanted.status();
  absl::StatusOr<InterfaceTable> interfaces = InterfaceTable::Create(*std::move(wanted));
  if (!interfaces.ok()) return interfaces.status();
  std::unique_ptr<Control> control(new Control(config, *std::move(interfaces), pool));
  if (absl::Status status = control->Build(config, ports); !status.ok()) return status;
  return control;
}

Control::Control(const RelaydConfig& config, InterfaceTable interfaces, rte_mempool* pool)
    : interfaces_(std::move(interfaces)),
      locals_(interfaces_, LocalAddressOptions::From(config.server)),
      pool_(pool),
      next_hops_(kNextHops),
      tasks_(kMaxTasks, [this] { doorbell_.Ring(); }),
      random_(RandomKey()),
      answer_(relay::Server::kMaxDatagram + relay::Server::kMaxWrapping) {}

absl::Status Control::Build(const RelaydConfig& config, std::span<const Port> ports) {
  Random random;
  L3Options l3_options;
  l3_options.icmp.secret = random.U64();
  l3_ = std::make_unique<L3>(interfaces_, next_hops_, static_cast<FrameSender&>(*this), l3_options,
                             [this](const IcmpReport& report) { OnIcmpReport(report); });
  const uint32_t workers = config.dataplane.workers;
  const uint32_t allocations = config.server.limits.max_allocations;
  absl::StatusOr<std::unique_ptr<Tables>> tables =
      Tables::Create(TableSizes::For(allocations), locals_, workers, kSocket);
  if (!tables.ok()) return tables.status();
  tables_ = *std::move(tables);
  compiler_ =
      std::make_unique<ForwardingCompiler>(locals_, l3_->neighbors(), *tables_, allocations);
  server_ = std::make_unique<relay::Server>(config.server, *compiler_);
  ReassemblyOptions reassembly;
  reassembly.max_packet = MaxReassembledPacket(rte_pktmbuf_data_room_size(pool_));
  reassembly.secret = random.U64();
  reassembler_ = std::make_unique<Reassembler>(reassembly);

  std::vector<uint16_t> port_ids;
  std::vector<bool> finish_checksums;
  for (const Port& port : ports) {
    port_ids.push_back(port.id);
    if (finish_checksums.size() <= port.id) finish_checksums.resize(port.id + 1u);
    finish_checksums[port.id] = port.kernel_checksums;
  }
  context_ = std::make_unique<ForwarderContext>(
      ForwarderContext{interfaces_, locals_, next_hops_, *tables_, std::move(finish_checksums)});
  for (uint32_t i = 0; i < workers; ++i) {
    absl::StatusOr<std::unique_ptr<WorkerRings>> rings = WorkerRings::Create(i, kSocket);
    if (!rings.ok()) return rings.status();
    rings_.push_back(*std::move(rings));
    WorkerOptions options = {.index = i,
                             .ports = port_ids,
                             .adaptive = config.dataplane.poll == PollMode::kAdaptive,
                             .wake_fds = {}};
    for (const Port& port : ports) {
      if (const auto fd = FindWakeFd(port, static_cast<uint16_t>(i)))
        options.wake_fds.push_back(*fd);
    }
    if (options.wake_fds.size() < ports.size()) options.wake_fds.clear();
    workers_.push_back(std::make_unique<Worker>(options, *context_,
                                                ForwarderOptionsFor(config.server.limits, workers),
                                                *tables_, *rings_.back(), doorbell_));
  }
  to_wake_.resize(workers);
  return absl::OkStatus();
}

Control::~Control() { Stop(); }

uint64_t Control::TableMemory(const RelaydConfig& config) {
  const uint32_t allocations = config.server.limits.max_allocations;
  const auto ports = static_cast<uint32_t>(config.server.relay_addresses.size()) << 16;
  return TableSizes::For(allocations)
      .MemoryBytes(config.server.virtual_prefix ? allocations : ports);
}

absl::Status Control::Start() {
  struct Launch {
    Worker* worker;
    const std::atomic<bool>* stop;
    const TscClock* clock;
  };
  uint32_t next = 0;
  unsigned lcore = 0;
  running_ = true;
  RTE_LCORE_FOREACH_WORKER(lcore) {
    if (next == workers_.size()) break;
    auto launch = std::make_unique<Launch>(Launch{workers_[next++].get(), &stop_, &clock_});
    const auto run = [](void* argument) {
      const std::unique_ptr<Launch> l(static_cast<Launch*>(argument));
      l->worker->Run(*l->stop, *l->clock);
      return 0;
    };
    if (rte_eal_remote_launch(run, launch.get(), lcore) != 0) {
      return absl::InternalError(fmt::format("lcore {} is busy", lcore));
    }
    launch.release();
  }
  if (next < workers_.size()) {
    return absl::FailedPreconditionError(
        fmt::format("[dataplane] workers is {}, but EAL has {} worker lcores; name more with "
                    "--lcores, or lower workers",
                    workers_.size(), next));
  }
  l3_->Tick(clock_.NowMs());
  l3_->neighbors().AnnounceAddresses();
  return absl::OkStatus();
}

void Control::Run(int stop_fd, const std::function<void()>& every_second) {
  uint64_t next_tick = 0;
  uint64_t next_second = 0;
  for (;;) {
    const uint64_t now_ms = clock_.NowMs();
    uint32_t packets = Serve(now_ms);
    pollfd fds[] = {{stop_fd, POLLIN, 0}, {doorbell_.fd(), POLLIN, 0}};
    // By time and not by turns: under load there are thousands of turns between two ticks.
    if (now_ms >= next_tick) {
      next_tick = now_ms + kTickMs;
      Housekeep(now_ms);
      if (now_ms >= next_second) {
        next_second = now_ms + 1000;
        every_second();
      }
      if (packets > 0 && poll(fds, 1, 0) > 0) return;
    }
    if (packets > 0) continue;
    doorbell_.StartWaiting();
    packets = Serve(clock_.NowMs());
    if (packets == 0) poll(fds, 2, kTickMs);
    doorbell_.StopWaiting();
    if (fds[0].revents != 0) return;
  }
}

void Control::SetLimits(const relay::LimitOptions& limits) {
  for (const auto& worker : workers_) worker->SetBudgets(BudgetsOf(limits, workers_.size()));
}

void Control::Housekeep(uint64_t now_ms) {
  server_->Tick(At(now_ms), std::max(64u, server_->options().limits.max_allocations / 128));
  l3_->Tick(now_ms);
  reassembler_->Expire(now_ms);
  tables_->Reclaim();
  WakeWorkers();
}

void Control::Stop() {
  if (!running_) return;
  stop_.store(true);
  rte_eal_mp_wait_lcore();
  running_ = false;
}

uint32_t Control::Serve(uint64_t now_ms) {
  uint32_t packets = 0;
  for (uint32_t worker = 0; worker < rings_.size(); ++worker) {
    for (rte_ring* ring : {rings_[worker]->others(), rings_[worker]->requests()}) {
      void* mbufs[kRingBurst];
      const uint32_t count = rte_ring_sc_dequeue_burst(ring, mbufs, kRingBurst, nullptr);
      for (uint32_t i = 0; i < count; ++i) {
        Handle(worker, static_cast<rte_mbuf*>(mbufs[i]), now_ms);
      }
      packets += count;
    }
  }
  packets += static_cast<uint32_t>(tasks_.Run(*server_, At(now_ms), kTaskBurst));
  WakeWorkers();
  return packets;
}

// After a burst and not after each packet: a worker on this core would take over at the first.
void Control::WakeWorkers() {
  for (size_t worker = 0; worker < rings_.size(); ++worker) {
    if (!to_wake_[worker]) continue;
    to_wake_[worker] = false;
    rings_[worker]->doorbell().Ring();
  }
}

void Control::Handle(uint32_t worker, rte_mbuf* mbuf, uint64_t now_ms) {
  const PuntNote& note = NoteOf(mbuf);
  const std::span<const uint8_t> frame(rte_pktmbuf_mtod(mbuf, const uint8_t*), mbuf->data_len);
  switch (note.kind) {
    case PuntKind::kStunRequest:
      return HandleStunRequest(worker, mbuf, now_ms);
    case PuntKind::kFragment:
      return HandleFragment(worker, mbuf, now_ms);
    case PuntKind::kUnresolved:
      return HandleUnresolved(mbuf);
    case PuntKind::kNeighborhood:
      l3_->Handle(note.interface, frame, now_ms);
      break;
    case PuntKind::kTooBig:
      l3_->PacketTooBig(note.interface, frame, note.mtu, now_ms);
      break;
    case PuntKind::kTransmit:
    case PuntKind::kReceive:
      break;  // go the other way
  }
  rte_pktmbuf_free(mbuf);
}

void Control::HandleStunRequest(uint32_t worker, rte_mbuf* mbuf, uint64_t now_ms) {
  const ParsedFrame& parsed = NoteOf(mbuf).parsed;
  uint8_t* frame = rte_pktmbuf_mtod(mbuf, uint8_t*);
  const relay::ClientPath path = {
      .client = {SourceOf(frame, parsed), parsed.source_port},
      .server = {DestinationOf(frame, parsed), parsed.destination_port}};
  const relay::Outcome outcome = server_->HandleClientDatagram(
      path, {frame + parsed.payload_offset(), parsed.payload_size}, At(now_ms), answer_);
  if (outcome.kind != relay::Outcome::Kind::kToClient) {
    rte_pktmbuf_free(mbuf);  // the server has counted why
    return;
  }
  const size_t size = ReplySize(parsed, outcome.bytes.size());
  if (size > size_t{mbuf->buf_len} - mbuf->data_off) return Drop(mbuf, DropReason::kNoBuffer);
  WriteReply(frame, parsed, interfaces_.at(parsed.interface).mac, outcome.bytes, random_.Next16());
  mbuf->data_len = static_cast<uint16_t>(size);
  mbuf->pkt_len = static_cast<uint32_t>(size);
  if (!RestoreVlanTag(mbuf)) return Drop(mbuf, DropReason::kNoBuffer);
  ToWorker(worker, mbuf, PuntKind::kTransmit);
}

void Control::HandleFragment(uint32_t worker, rte_mbuf* mbuf, uint64_t now_ms) {
  const InterfaceId interface = NoteOf(mbuf).interface;
  const uint16_t ip_offset = NoteOf(mbuf).parsed.ip_offset;
  ReassemblyOutcome outcome = ReassemblyOutcome::kPending;
  rte_mbuf* whole = ReassembleMbuf(*reassembler_, interface, mbuf, ip_offset, now_ms, outcome);
  if (whole != nullptr) return ToWorker(worker, whole, PuntKind::kReceive);
  if (outcome != ReassemblyOutcome::kPending && outcome != ReassemblyOutcome::kDuplicate) {
    counters_.drops[static_cast<size_t>(DropReason::kFragmentRefused)].Add(1);
  }
}

// A frame that waits for the MAC address of its next hop. The leg that it was made for may have
// ended in the meantime and its next hop been given to another address: asked for anew.
void Control::HandleUnresolved(rte_mbuf* mbuf) {
  const std::span<const uint8_t> frame(rte_pktmbuf_mtod(mbuf, const uint8_t*), mbuf->data_len);
  const std::optional<EthernetFrame> ethernet = ParseEthernet(frame);
  IpPacket packet;
  bool held = false;
  if (ethernet && ParseIp(ethernet->payload, packet) == L3Event::kNone) {
    absl::StatusOr<NextHopId> hop = l3_->neighbors().Acquire(packet.destination);
    if (hop.ok()) {
      held = l3_->neighbors().Hold(*hop, frame);
      tables_->RetireHop(*hop);
    }
  }
  if (!held) return Drop(mbuf, DropReason::kNextHopMissing);
  rte_pktmbuf_free(mbuf);
}

void Control::OnIcmpReport(const IcmpReport& report) {
  const relay::Outcome outcome = server_->HandlePeerError(report.relayed, report.peer, report.error,
                                                          At(clock_.NowMs()), answer_);
  if (outcome.kind == relay::Outcome::Kind::kToClient) {
    SendDatagram(outcome.path.server, outcome.path.client, outcome.bytes);
  }
}

void Control::SendDatagram(const TransportAddress& from, const TransportAddress& to,
                           std::span<const uint8_t> payload) {
  absl::StatusOr<NextHopId> hop = l3_->neighbors().Acquire(to.ip);
  if (!hop.ok()) return;
  const NextHopTable::Hop target = next_hops_.Read(*hop);
  const Interface& interface = interfaces_.at(target.interface);
  const HeaderTemplate header(from, to, *hop);
  const size_t l2_size = EthernetSize(interface);
  std::vector<uint8_t> frame(l2_size + header.size() + payload.size());
  ByteWriter ethernet(frame);
  WriteEthernet(ethernet, interface, target.mac(), header.v4() ? kEtherTypeIpv4 : kEtherTypeIpv6);
  std::copy(payload.begin(), payload.end(), frame.begin() + l2_size + header.size());
  header.Write(frame.data() + l2_size, static_cast<uint16_t>(payload.size()),
               FullChecksum(header.sum, payload), random_.Next16(), false);
  if (target.resolved()) {
    SendFrame(target.interface, frame);
  } else {
    l3_->neighbors().Hold(*hop, frame);
  }
  tables_->RetireHop(*hop);
}

void Control::SendFrame(InterfaceId interface, std::span<const uint8_t> frame) {
  rte_mbuf* mbuf = rte_pktmbuf_alloc(pool_);
  uint8_t* data = mbuf == nullptr || frame.size() > rte_pktmbuf_tailroom(mbuf)
                      ? nullptr
                      : reinterpret_cast<uint8_t*>(
                            rte_pktmbuf_append(mbuf, static_cast<uint16_t>(frame.size())));
  if (data == nullptr) {
    Drop(mbuf, DropReason::kNoBuffer);
    return;
  }
  std::copy(frame.begin(), frame.end(), data);
  mbuf->port = interfaces_.at(interface).port;
  ToWorker(0, mbuf, PuntKind::kTransmit);
}

void Control::ToWorker(uint32_t worker, rte_mbuf* mbuf, PuntKind kind) {
  NoteOf(mbuf).kind = kind;
  if (rte_ring_sp_enqueue(rings_[worker]->from_control(), mbuf) != 0) {
    Drop(mbuf, DropReason::kTxFull);
  }
  to_wake_[worker] = true;
}

void Control::Drop(rte_mbuf* mbuf, DropReason reason) {
  counters_.drops[static_cast<size_t>(reason)].Add(1);
  rte_pktmbuf_free(mbuf);
}

Now Control::At(uint64_t now_ms) const { return {now_ms, time(nullptr)}; }

}  // namespace sotto::dataplane
