// SPDX-License-Identifier: Apache-2.0
#include "tools/loadgen/wire/engine.h"

#include <fmt/format.h>
#include <rte_cycles.h>
#include <rte_ethdev.h>
#include <rte_mbuf.h>
#include <rte_prefetch.h>
#include <sys/mman.h>

#include <algorithm>
#include <chrono>
#include <cstring>
#include <ctime>
#include <thread>
#include <utility>

#include "relay/base/big_endian.h"
#include "tools/loadgen/wire/pcap.h"

namespace sotto::tools {
namespace {

// What is received before the next burst is sent: more than is sent, or a queue would grow.
constexpr int kReceiveBursts = 4;
constexpr uint64_t kHousekeepingPerS = 1000;
constexpr uint32_t kClientsPerRound = 16;
// Behind by more than this, packets are left out, so that a pause of the generator doesn't become a
// burst that the server has to suffer for.
constexpr uint64_t kMaxCatchUpPerS = 200;  // 5 ms
constexpr double kQuietSeconds = 0.1;      // after which nothing more is on its way
constexpr double kMaxDrainSeconds = 2;
constexpr uint64_t kArpRetryMs = 100;
constexpr uint64_t kArpGiveUpMs = 5000;
constexpr uint64_t kReleaseGiveUpMs = 3000;
constexpr int kTransmitTries = 1000;
// How long the last 1 % of the allocations are waited for, if allocating is all that there is to
// do.
constexpr double kStragglerSeconds = 2;
constexpr int64_t kCredentialSeconds = 24 * 3600;
constexpr size_t kHugePage = size_t{2} << 20;

// A million legs' lines in ordinary pages would cost a TLB miss a packet.
template <typename T>
void ResizeInHugePages(std::vector<T>& items, size_t count) {
  items.reserve(count);
  const auto begin = (reinterpret_cast<uintptr_t>(items.data()) + kHugePage - 1) & -kHugePage;
  const auto end = reinterpret_cast<uintptr_t>(items.data() + count) & -kHugePage;
  if (end > begin) madvise(reinterpret_cast<void*>(begin), end - begin, MADV_HUGEPAGE);
  items.resize(count);
}

}  // namespace

WireEngine::WireEngine(const WireOptions& options, WirePort& port, const std::atomic<bool>& stop)
    : options_(options),
      port_(port),
      stop_(stop),
      plan_(options.MakePlan()),
      pending_(port.queues()),
      chosen_(port.queues()),
      random_(rte_rdtsc() | 1),
      round_(port.queues()),
      ticks_per_s_(rte_get_tsc_hz()) {
  plan_.own_mac = port.mac();
}

WireEngine::~WireEngine() {
  for (Pending& pending : pending_) {
    rte_pktmbuf_free_bulk(&pending.packets[pending.first], pending.count);
  }
  rte_pktmbuf_free_bulk(frames_.data(), static_cast<unsigned>(frames_.size()));
}

uint64_t WireEngine::NowMs() const { return rte_rdtsc() / (ticks_per_s_ / 1000); }

void WireEngine::SendFrame(std::span<const uint8_t> frame) {
  constexpr size_t kLeastFrame = 60;
  rte_mbuf* packet = rte_pktmbuf_alloc(port_.pool());
  if (packet == nullptr) return;  // as if it were lost on the way
  const size_t size = std::max(frame.size(), kLeastFrame);
  auto* out = reinterpret_cast<uint8_t*>(rte_pktmbuf_append(packet, static_cast<uint16_t>(size)));
  if (out == nullptr) {
    rte_pktmbuf_free(packet);
    return;
  }
  std::memset(out, 0, size);
  std::copy(frame.begin(), frame.end(), out);
  frames_.push_back(packet);
  if (frames_.size() == kBurst) FlushFrames();
}

// In bursts: over a kernel's interface each one costs a system call.
void WireEngine::FlushFrames() {
  if (frames_.empty()) return;
  const auto count = static_cast<uint16_t>(frames_.size());
  uint16_t sent = 0;
  for (int tries = 0; sent < count && tries < kTransmitTries; ++tries) {
    sent = static_cast<uint16_t>(sent + rte_eth_tx_burst(port_.id(), 0, &frames_[sent],
                                                         static_cast<uint16_t>(count - sent)));
  }
  rte_pktmbuf_free_bulk(&frames_[sent], count - sent);
  frames_.clear();
}

void WireEngine::SendFromLeg(uint32_t leg, std::span<const uint8_t> datagram) {
  std::array<uint8_t, kWireMaxFrame> frame;
  const size_t size = WriteWireDatagram(plan_, leg, datagram, frame);
  if (size > 0) SendFrame({frame.data(), size});
}

absl::Status WireEngine::ResolveServer() {
  if (options_.server_mac) return absl::OkStatus();
  const uint64_t began = NowMs();
  uint64_t asked = 0;
  std::array<uint8_t, kArpFrameSize> frame;
  while (NowMs() - began < kArpGiveUpMs) {
    if (stop_) return absl::CancelledError("interrupted");
    if (NowMs() - asked >= kArpRetryMs) {
      asked = NowMs();
      WriteArpRequest(plan_, frame);
      SendFrame(frame);
      FlushFrames();
    }
    for (uint16_t queue = 0; queue < port_.queues(); ++queue) {
      rte_mbuf* burst[kBurst];
      const uint16_t count = rte_eth_rx_burst(port_.id(), queue, burst, kBurst);
      bool found = false;
      for (uint16_t i = 0; i < count; ++i) {
        const std::span<const uint8_t> bytes(rte_pktmbuf_mtod(burst[i], const uint8_t*),
                                             burst[i]->data_len);
        found |= LearnServerMac(bytes, plan_);
        // A server may ask who we are before it answers.
        if (AnswerArp(plan_, bytes, frame)) SendFrame(frame);
      }
      FlushFrames();
      rte_pktmbuf_free_bulk(burst, count);
      if (found) return absl::OkStatus();
    }
  }
  return absl::UnavailableError(fmt::format(
      "no answer to ARP for {} on {}; check that the server is up and on this link. If it is "
      "behind a router, give the router's MAC address with --mac",
      options_.server.ip.ToString(), options_.port));
}

absl::Status WireEngine::SetUp(WireReport& report) {
  report.ticks_per_us = static_cast<double>(ticks_per_s_) / 1e6;
  if (absl::Status status = ResolveServer(); !status.ok()) return status;
  report.server_mac = plan_.server_mac;
  packets_ = std::make_unique<WirePackets>(plan_, options_.mix);
  ResizeInHugePages(flows_, plan_.legs);
  if (!options_.mirror) {
    WireLegsOptions legs;
    legs.server = options_.server;
    legs.legs = options_.legs;
    legs.credentials = {options_.user, options_.password};
    legs.secret = options_.secret;
    legs.expiry = time(nullptr) + kCredentialSeconds;
    legs.call_policy = options_.call_policy;
    legs.allocate_only = options_.allocate_only;
    legs.window = options_.window;
    legs_ = std::make_unique<WireLegs>(
        std::move(legs),
        [this](uint32_t leg, std::span<const uint8_t> datagram) { SendFromLeg(leg, datagram); });
    const uint64_t began = rte_rdtsc();
    absl::Status status;
    const auto seconds_since_began = [&] {
      return static_cast<double>(rte_rdtsc() - began) / static_cast<double>(ticks_per_s_);
    };
    const uint32_t most = options_.legs - options_.legs / 100;
    while (status.ok() && !legs_->ready()) {
      status = Housekeep(UINT32_MAX);
      Receive();
      if (report.most_allocated == 0 && legs_->allocated_count() >= most) {
        report.most_allocated = legs_->allocated_count();
        report.most_allocated_seconds = seconds_since_began();
      }
      if (options_.allocate_only && report.most_allocated > 0 &&
          seconds_since_began() - report.most_allocated_seconds > kStragglerSeconds) {
        break;
      }
    }
    report.setup_seconds = seconds_since_began();
    report.legs_allocated = legs_->allocated_count();
    report.legs_ready = legs_->ready_count();
    report.setup_datagrams = legs_->datagrams_sent();
    report.algorithm = legs_->algorithm();
    if (!status.ok()) return status;
  }
  ResizeInHugePages(templates_, plan_.legs);
  for (uint32_t leg = 0; leg < plan_.legs; ++leg) templates_[leg] = packets_->TemplateFor(leg);
  for (uint16_t queue = 0; queue < port_.queues(); ++queue) ChooseLegs(queue);
  return absl::OkStatus();
}

absl::Status WireEngine::Housekeep(uint32_t most_clients) {
  if (stop_.load(std::memory_order_relaxed)) return absl::CancelledError("interrupted");
  if (!legs_) return absl::OkStatus();
  legs_->Step(NowMs(), most_clients);
  FlushFrames();
  return legs_->status();
}

uint32_t WireEngine::NextLeg(uint16_t queue) {
  // Both legs of a call use one queue, so that a leg's packets stay in order.
  const uint32_t share = plan_.legs / port_.queues();
  uint32_t k;
  if (options_.random_order) {
    random_ ^= random_ << 13;
    random_ ^= random_ >> 7;
    random_ ^= random_ << 17;
    k = static_cast<uint32_t>(((random_ >> 32) * share) >> 32);
  } else {
    k = round_[queue];
    round_[queue] = k + 1 == share ? 0 : k + 1;
  }
  return (k / 2 * port_.queues() + queue) * 2 + k % 2;
}

void WireEngine::ChooseLegs(uint16_t queue) {
  for (uint32_t& leg : chosen_[queue]) {
    leg = NextLeg(queue);
    __builtin_prefetch(&templates_[leg], 1);
  }
}

bool WireEngine::Build(uint16_t queue, uint16_t count) {
  Pending& pending = pending_[queue];
  if (rte_pktmbuf_alloc_bulk(port_.pool(), pending.packets, count) != 0) return false;
  const uint64_t now = rte_rdtsc();
  for (uint16_t i = 0; i < count; ++i) {
    rte_mbuf* packet = pending.packets[i];
    const size_t size =
        packets_->Write(templates_[chosen_[queue][i]], now, rte_pktmbuf_mtod(packet, uint8_t*));
    packet->data_len = static_cast<uint16_t>(size);
    packet->pkt_len = static_cast<uint32_t>(size);
  }
  pending.first = 0;
  pending.count = count;
  if (count == kBurst) {
    ChooseLegs(queue);
  } else {
    // The rest of the chosen legs keep their turn.
    std::array<uint32_t, kBurst>& chosen = chosen_[queue];
    std::rotate(chosen.begin(), chosen.begin() + count, chosen.end());
    for (size_t i = kBurst - count; i < kBurst; ++i) {
      chosen[i] = NextLeg(queue);
      __builtin_prefetch(&templates_[chosen[i]], 1);
    }
  }
  return true;
}

uint16_t WireEngine::Transmit(uint16_t queue) {
  Pending& pending = pending_[queue];
  const uint16_t sent =
      rte_eth_tx_burst(port_.id(), queue, &pending.packets[pending.first], pending.count);
  pending.first = static_cast<uint16_t>(pending.first + sent);
  pending.count = static_cast<uint16_t>(pending.count - sent);
  counts_.sent += sent;
  return sent;
}

uint32_t WireEngine::Receive() {
  uint32_t received = 0;
  for (uint16_t queue = 0; queue < port_.queues(); ++queue) {
    for (int round = 0; round < kReceiveBursts; ++round) {
      rte_mbuf* burst[kBurst];
      const uint16_t count = rte_eth_rx_burst(port_.id(), queue, burst, kBurst);
      if (count == 0) break;
      received += count;
      const uint64_t now = rte_rdtsc();
      for (uint16_t i = 0; i < count; ++i) rte_prefetch0(rte_pktmbuf_mtod(burst[i], void*));
      for (uint16_t i = 0; i < count; ++i) {
        // Where its leg's window is, if it is a packet for a leg at all.
        constexpr size_t kDestinationIp = 30;
        constexpr size_t kDestinationPort = 36;
        if (burst[i]->data_len < kWireHeaderSize) continue;
        const auto* bytes = rte_pktmbuf_mtod(burst[i], const uint8_t*);
        const uint32_t leg =
            plan_.LegAt(LoadBe32(bytes + kDestinationIp), LoadBe16(bytes + kDestinationPort));
        if (leg < plan_.legs) __builtin_prefetch(&flows_[leg], 1);
      }
      for (uint16_t i = 0; i < count; ++i) Handle(*burst[i], now);
      rte_pktmbuf_free_bulk(burst, count);
      if (count < kBurst) break;
    }
  }
  FlushFrames();
  return received;
}

void WireEngine::Handle(const rte_mbuf& packet, uint64_t now) {
  const std::span<const uint8_t> frame(rte_pktmbuf_mtod(&packet, const uint8_t*), packet.data_len);
  const WireArrival arrival = packets_->Read(frame);
  switch (arrival.verdict) {
    case WireVerdict::kIntact:
      break;
    case WireVerdict::kStun:
      if (legs_) legs_->HandleDatagram(arrival.leg, arrival.datagram, NowMs());
      return;
    case WireVerdict::kArp: {
      std::array<uint8_t, kArpFrameSize> answer;
      if (AnswerArp(plan_, frame, answer)) SendFrame(answer);
      return;
    }
    case WireVerdict::kForeign:
      ++counts_.foreign;
      return;
    case WireVerdict::kCorrupt:
      ++counts_.corrupted;
      return;
    case WireVerdict::kBadChecksum:
      ++counts_.bad_checksum;
      return;
    case WireVerdict::kMisdelivered:
      ++counts_.misdelivered;
      return;
  }
  switch (flows_[arrival.leg].window.Note(arrival.sequence)) {
    case SequenceWindow::Arrival::kStale:
      ++counts_.stale;
      return;
    case SequenceWindow::Arrival::kDuplicate:
      ++counts_.duplicated;
      return;
    case SequenceWindow::Arrival::kReordered:
      ++counts_.reordered;
      break;
    case SequenceWindow::Arrival::kInOrder:
      break;
  }
  ++counts_.received;
  counts_.no_checksum += arrival.no_udp_checksum;
  if (options_.latency) latency_.Record(WireAge(now, arrival.time));
}

absl::Status WireEngine::RunTrial(double pps, double seconds, WireTrial& trial) {
  for (uint32_t leg = 0; leg < plan_.legs; ++leg) {
    flows_[leg].window.Start(templates_[plan_.SenderFor(leg)].sequence);
  }
  counts_ = {};
  latency_ = {};
  const uint64_t missed_before = port_.missed();

  const auto hz = static_cast<double>(ticks_per_s_);
  const double per_tick = pps / hz;
  const uint64_t catch_up =
      static_cast<uint64_t>(pps / static_cast<double>(kMaxCatchUpPerS)) + kBurst;  // packets
  const uint64_t start = rte_rdtsc();
  const uint64_t end = start + static_cast<uint64_t>(seconds * hz);
  const uint64_t housekeeping = ticks_per_s_ / kHousekeepingPerS;
  uint64_t next_housekeeping = start;
  uint64_t built = 0;  // and left out: where the schedule is
  uint16_t queue = 0;
  absl::Status status;
  uint64_t now = start;
  for (; now < end; now = rte_rdtsc()) {
    if (now >= next_housekeeping) {
      status = Housekeep(kClientsPerRound);
      if (!status.ok()) break;
      next_housekeeping = now + housekeeping;
    }
    uint16_t count = kBurst;
    if (pps > 0) {
      const auto due = static_cast<uint64_t>(static_cast<double>(now - start) * per_tick) + 1;
      uint64_t behind = due > built ? due - built : 0;
      if (behind > catch_up) {
        counts_.slipped += behind - kBurst;
        built += behind - kBurst;
        behind = kBurst;
      }
      count = static_cast<uint16_t>(std::min<uint64_t>(behind, kBurst));
    }
    if (pending_[queue].count > 0) {
      Transmit(queue);
    } else if (count > 0 && Build(queue, count)) {
      built += count;
      Transmit(queue);
    }
    if (++queue == port_.queues()) queue = 0;
    Receive();
  }
  trial.seconds = static_cast<double>(now - start) / hz;

  // What the port hasn't taken was never sent.
  for (Pending& pending : pending_) {
    rte_pktmbuf_free_bulk(&pending.packets[pending.first], pending.count);
    pending.count = 0;
  }
  const uint64_t stopped = rte_rdtsc();
  uint64_t last = stopped;
  while (counts_.received < counts_.sent) {
    now = rte_rdtsc();
    if (Receive() > 0) last = now;
    if (static_cast<double>(now - last) > kQuietSeconds * hz ||
        static_cast<double>(now - stopped) > kMaxDrainSeconds * hz) {
      break;
    }
  }
  counts_.missed = port_.missed() - missed_before;
  trial.asked_pps = pps;
  trial.counts = counts_;
  trial.latency = std::move(latency_);
  latency_ = {};
  return status;
}

absl::Status WireEngine::Idle() {
  std::this_thread::sleep_for(std::chrono::milliseconds(1));
  Receive();
  return Housekeep(kClientsPerRound);
}

absl::Status WireEngine::WritePcap(WireReport& report) {
  auto writer = PcapWriter::Create(options_.pcap);
  if (!writer.ok()) return writer.status();
  // At the rate of the run, or a packet a microsecond.
  const double interval_ns = options_.rate > 0 ? 1e9 / options_.rate : 1000;
  std::array<uint8_t, kWireMaxFrame> frame;
  for (uint32_t round = 0; round < options_.pcap_per_leg; ++round) {
    for (WireTemplate& from : templates_) {
      const size_t size = packets_->Write(from, rte_rdtsc(), frame.data());
      writer->Write(static_cast<uint64_t>(static_cast<double>(report.pcap_packets) * interval_ns),
                    {frame.data(), size});
      ++report.pcap_packets;
    }
    if (stop_) return absl::CancelledError("interrupted");
  }
  return writer->Close();
}

void WireEngine::Release(WireReport& report) {
  if (!legs_) return;
  legs_->BeginRelease();
  uint64_t progress = NowMs();
  uint32_t released = 0;
  while (!legs_->released() && NowMs() - progress < kReleaseGiveUpMs) {
    legs_->Step(NowMs());
    FlushFrames();
    Receive();
    if (legs_->released_count() != released) {
      released = legs_->released_count();
      progress = NowMs();
    }
  }
  report.legs_released = legs_->released_count();
}

}  // namespace sotto::tools
