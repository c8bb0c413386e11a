// SPDX-License-Identifier: Apache-2.0
#include "dataplane/worker/worker.h"

#include <fmt/format.h>
#include <rte_ethdev.h>
#include <rte_pause.h>
#include <sched.h>

#include <algorithm>

#include "dataplane/worker/captured_burst.h"

namespace sotto::dataplane {
namespace {

constexpr uint32_t kRingSize = 1024;
// How often a full transmit queue is tried again before its packets are dropped.
constexpr int kTransmitTries = 16;

void FreeRing(rte_ring* ring) {
  if (ring == nullptr) return;
  void* mbuf = nullptr;
  while (rte_ring_sc_dequeue(ring, &mbuf) == 0) rte_pktmbuf_free(static_cast<rte_mbuf*>(mbuf));
  rte_ring_free(ring);
}

}  // namespace

absl::StatusOr<std::unique_ptr<WorkerRings>> WorkerRings::Create(uint32_t worker, int socket) {
  std::unique_ptr<WorkerRings> rings(new WorkerRings());
  const auto create = [&](const char* name) {
    return rte_ring_create(fmt::format("sotto_{}_{}", name, worker).c_str(), kRingSize, socket,
                           RING_F_SP_ENQ | RING_F_SC_DEQ);
  };
  rings->requests_ = create("requests");
  rings->others_ = create("others");
  rings->from_control_ = create("control");
  if (rings->requests_ == nullptr || rings->others_ == nullptr || rings->from_control_ == nullptr) {
    return absl::ResourceExhaustedError(fmt::format(
        "out of memory for the rings of worker {}; give EAL more memory (-m, or hugepages)",
        worker));
  }
  return rings;
}

WorkerRings::~WorkerRings() {
  FreeRing(requests_);
  FreeRing(others_);
  FreeRing(from_control_);
}

Worker::Worker(const WorkerOptions& options, const ForwarderContext& context,
               const ForwarderOptions& forwarder, Tables& tables, WorkerRings& rings,
               Doorbell& doorbell)
    : options_(options),
      tables_(tables),
      rings_(rings),
      doorbell_(doorbell),
      forwarder_(context, forwarder, counters_) {}

void Worker::Run(const std::atomic<bool>& stop, const TscClock& clock) {
  std::vector<int> wake_fds = options_.wake_fds;
  if (!wake_fds.empty()) wake_fds.push_back(rings_.doorbell().fd());
  IdleWait idle(wake_fds, rte_get_tsc_hz());
  tables_.RegisterReader(options_.index);
  uint64_t round_start = rte_rdtsc();
  while (!stop.load(std::memory_order_relaxed)) {
    const uint32_t packets = Poll(clock.MsAt(round_start), round_start);
    tables_.Quiescent(options_.index);
    counters_.polls.Add(1);
    if (packets > 0) {
      idle.Reset();
    } else {
      counters_.empty_polls.Add(1);
      if (options_.adaptive) {
        Idle(idle);
      } else {
        rte_pause();
      }
    }
    const uint64_t now = rte_rdtsc();
    (packets > 0 ? counters_.busy_cycles : counters_.idle_cycles).Add(now - round_start);
    round_start = now;
  }
  tables_.UnregisterReader(options_.index);
}

uint32_t Worker::Poll(uint64_t now_ms, uint64_t now_tsc) {
  uint32_t packets = FromControl(now_ms);
  for (uint16_t port : options_.ports) {
    rte_mbuf* burst[Forwarder::kMaxBurst];
    const uint16_t count =
        rte_eth_rx_burst(port, static_cast<uint16_t>(options_.index), burst, Forwarder::kMaxBurst);
    if (count == 0) continue;
    packets += count;
    for (uint16_t i = 0; i < count; ++i) burst[i]->port = port;  // net_ring doesn't say
    Handle(burst, count, now_ms, true);
    counters_.bursts[BurstFillOf(count)].Add(1);
    const uint64_t done_tsc = rte_rdtsc();
    counters_.latency.Record(tsc_span_.Ns(done_tsc - now_tsc), count);
    now_tsc = done_tsc;
  }
  return packets;
}

// What control has answered, announced or reassembled.
uint32_t Worker::FromControl(uint64_t now_ms) {
  void* objects[Forwarder::kMaxBurst];
  const uint32_t count =
      rte_ring_sc_dequeue_burst(rings_.from_control(), objects, Forwarder::kMaxBurst, nullptr);
  if (count == 0) return 0;
  rte_mbuf* received[Forwarder::kMaxBurst];
  uint32_t received_count = 0;
  for (uint32_t i = 0; i < count; ++i) {
    rte_mbuf* mbuf = static_cast<rte_mbuf*>(objects[i]);
    if (NoteOf(mbuf).kind == PuntKind::kReceive) {
      received[received_count++] = mbuf;
    } else {
      forwarder_.transmit()[mbuf->port].push_back(mbuf);
    }
  }
  Handle(received, received_count, now_ms, false);
  return count;
}

void Worker::Handle(rte_mbuf* const mbufs[], uint32_t count, uint64_t now_ms, bool from_port) {
  if (capture_tap_.armed()) [[unlikely]] {
    return HandleCaptured(mbufs, count, now_ms, from_port);
  }
  forwarder_.Process(mbufs, count, now_ms);
  Flush();
}

void Worker::HandleCaptured(rte_mbuf* const mbufs[], uint32_t count, uint64_t now_ms,
                            bool from_port) {
  CapturedBurst capture(capture_tap_, forwarder_, rte_rdtsc(), now_ms);
  // What control has put together was received before, in pieces.
  if (from_port) capture.Add(mbufs, count, CaptureDirection::kReceived);
  forwarder_.Process(mbufs, count, now_ms);
  for (uint16_t port : options_.ports) {
    const std::vector<rte_mbuf*>& queue = forwarder_.transmit()[port];
    capture.Add(queue.data(), queue.size(), CaptureDirection::kSent);
  }
  Flush();
}

void Worker::Flush() {
  for (uint16_t port : options_.ports) {
    std::vector<rte_mbuf*>& queue = forwarder_.transmit()[port];
    if (queue.empty()) continue;
    const uint32_t total = static_cast<uint32_t>(queue.size());
    uint64_t bytes = 0;
    for (const rte_mbuf* mbuf : queue) bytes += mbuf->pkt_len;
    uint32_t sent = 0;
    for (int tries = 0; sent < total && tries < kTransmitTries; ++tries) {
      sent += rte_eth_tx_burst(port, static_cast<uint16_t>(options_.index), &queue[sent],
                               static_cast<uint16_t>(total - sent));
    }
    for (uint32_t i = sent; i < total; ++i) {
      bytes -= queue[i]->pkt_len;
      forwarder_.Drop(queue[i], DropReason::kTxFull);
    }
    counters_.tx_packets.Add(sent);
    counters_.tx_bytes.Add(bytes);
    queue.clear();
  }
  FlushPunts();
}

void Worker::FlushPunts() {
  std::vector<rte_mbuf*>& punts = forwarder_.punts();
  if (punts.empty()) return;
  for (rte_mbuf* mbuf : punts) {
    rte_ring* ring =
        NoteOf(mbuf).kind == PuntKind::kStunRequest ? rings_.requests() : rings_.others();
    if (rte_ring_sp_enqueue(ring, mbuf) != 0) {
      forwarder_.Drop(mbuf, DropReason::kControlRingFull);
    }
  }
  punts.clear();
  control_has_work_ = true;
  doorbell_.Ring();
}

void Worker::Idle(IdleWait& idle) {
  // Control may share this core, and what it was handed is waited for: it goes first.
  if (control_has_work_) {
    control_has_work_ = false;
    sched_yield();
  }
  rte_pause();
  if (!idle.Exhausted(rte_rdtsc())) return;
  rings_.doorbell().StartWaiting();
  if (rte_ring_empty(rings_.from_control()) != 0) {
    tables_.GoOffline(options_.index);
    idle.Sleep();
    tables_.GoOnline(options_.index);
  }
  rings_.doorbell().StopWaiting();
}

}  // namespace sotto::dataplane
