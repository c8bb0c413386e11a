// SPDX-License-Identifier: Apache-2.0
// The worker's half of a capture: bounded, and never in the worker's way.
//
//   CaptureTap      in each worker. Off, it costs a load and a branch per burst.
//   CaptureRing     while a capture runs: a worker's own, of fixed slots that it copies into
//
// A worker looks and copies within a budget (kCaptureNsPerMs), into slots that were allocated
// before. What the budget has no time for or the ring no room is counted as missed, though some of
// it might not have matched; a slow reader costs missed packets and nothing else. No lock, no
// allocation, no system call in a worker. The reader's half is dataplane/observe/capture.h.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>

#include "dataplane/packet/drop_reason.h"
#include "relay/base/ip_address.h"

namespace sotto::dataplane {

// A worker's budget: the nanoseconds of a millisecond that a capture may take, of which up to
// kCaptureSavedMs milliseconds' worth is saved, and what is put down for looking at a packet and
// for copying one (and a nanosecond for each byte). So that is a tenth of a worker's time: 6
// million packets a second that are looked at, or 320,000 whose headers are copied. Estimates, on
// the safe side: reading a clock for each packet would cost more than looking at it.
constexpr uint32_t kCaptureNsPerMs = 100'000;
constexpr uint32_t kCaptureLookNs = 16;
constexpr uint32_t kCaptureCopyNs = 250;
constexpr uint32_t kCaptureSavedMs = 16;

// Kept of each packet unless all is asked for: Ethernet, VLAN tag, the IP header with options, UDP,
// and the 4 bytes that tell ChannelData from STUN; never more than this.
constexpr uint16_t kCaptureHeadersSize = 96;
// Slots of all rings together.
constexpr size_t kCaptureMemory = 64u << 20;

enum class CaptureDirection : uint8_t { kReceived, kSent };

// What a capture asks about a frame.
struct FrameOutline {
  const uint8_t* source = nullptr;  // 4 or 16 bytes; null: it isn't IP
  const uint8_t* destination = nullptr;
  bool v4 = false;
  uint16_t source_port = 0;  // of UDP; 0 where there is none, as in later fragments
  uint16_t destination_port = 0;
  uint16_t header_size = 0;  // what a capture of headers keeps; at most kCaptureHeadersSize
};
FrameOutline OutlineOf(std::span<const uint8_t> frame);

// Which packets; everything must hold. Plain data, built once and then tested by workers.
struct CaptureFilter {
  struct Host {
    uint8_t family = 0;  // IpFamily; 0: any
    uint64_t address[2] = {};
    uint64_t mask[2] = {};  // both in network order

    void Set(const IpPrefix& prefix);
    bool Contains(const uint8_t* ip, bool v4) const;
  };

  Host host;    // source or destination
  Host client;  // with client_port: a transport address, source or destination
  uint16_t client_port = 0;
  uint16_t udp_port = 0;  // source or destination; 0: any
  bool received = true;
  bool sent = true;
  // Only what was dropped; for this reason, unless it is kCount.
  std::optional<DropReason> dropped = {};

  bool Wants(CaptureDirection direction) const {
    return direction == CaptureDirection::kSent ? sent : received;
  }
  bool Matches(const FrameOutline& frame) const;
};

// What a worker has in its hands. `id` tells packets of one burst apart.
struct CapturedPacket {
  const void* id = nullptr;
  std::span<const uint8_t> frame;
  uint32_t size = 0;  // of all of it, where `frame` is only its first segment
  uint16_t port = 0;
  uint16_t vlan_tci = 0;  // of a tag that the driver took off, to be put back; 0: none
};

class CaptureRing {
 public:
  struct Slot {
    static constexpr uint8_t kNotDropped = 0xff;
    const void* id;
    uint64_t tick;
    uint32_t original_size;
    uint16_t size;
    uint16_t port;
    CaptureDirection direction;
    uint8_t drop;  // DropReason, or kNotDropped

    std::span<const uint8_t> bytes() const {
      return {reinterpret_cast<const uint8_t*>(this + 1), size};
    }
  };

  // Keeps up to `snap_size` bytes of a packet, or its headers alone.
  CaptureRing(const CaptureFilter& filter, bool headers_only, uint16_t snap_size, uint32_t slots);

  // --- The worker ------------------------------------------------------------------------------

  // A burst begins: `tick` is its time in the capture's clock, `now_ms` the worker's own.
  void Begin(uint64_t tick, uint64_t now_ms);
  // Whether packets are to be added; else their drops alone matter.
  bool Wants(CaptureDirection direction) const {
    return !filter_.dropped && filter_.Wants(direction);
  }
  // Whether the budget has no time for another packet: those of a burst may be missed as one.
  bool Spent() const { return budget_ns_ < kCaptureLookNs; }
  void Miss(uint64_t packets) {
    missed_.store(missed_.load(std::memory_order_relaxed) + packets, std::memory_order_relaxed);
  }
  void Add(const CapturedPacket& packet, CaptureDirection direction);
  void Dropped(const CapturedPacket& packet, CaptureDirection direction, DropReason reason);
  // Gives the burst to the reader.
  void End() { head_.store(staged_, std::memory_order_release); }

  // --- The reader ------------------------------------------------------------------------------

  // The oldest packet, or null; valid until Pop().
  const Slot* Front() const;
  void Pop() { tail_.store(tail_.load(std::memory_order_relaxed) + 1, std::memory_order_release); }
  uint64_t missed() const { return missed_.load(std::memory_order_relaxed); }

 private:
  Slot& At(uint64_t position) const {
    return *reinterpret_cast<Slot*>(memory_.get() + (position & mask_) * stride_);
  }
  void Look(const CapturedPacket& packet, CaptureDirection direction, uint8_t drop);
  void Copy(const CapturedPacket& packet, const FrameOutline& outline, CaptureDirection direction,
            uint8_t drop);

  const CaptureFilter filter_;
  const bool headers_only_;
  const uint16_t snap_size_;
  const uint64_t mask_;
  const size_t stride_;
  const std::unique_ptr<uint8_t[]> memory_;
  // The worker's own.
  uint64_t staged_ = 0;  // behind the last slot that is filled in
  uint64_t tick_ = 0;
  uint64_t refilled_ms_ = 0;
  uint64_t budget_ns_ = 0;
  // Positions in the order of time.
  alignas(64) std::atomic<uint64_t> head_ = 0;  // the worker writes, the reader reads
  std::atomic<uint64_t> missed_ = 0;            // the worker writes, the reader reads
  alignas(64) std::atomic<uint64_t> tail_ = 0;  // the reader writes, the worker reads
};

// Where a worker finds its ring, and says that it uses it.
class CaptureTap {
 public:
  // The worker: whether there may be one. Hold() it then for a burst, and Release() it.
  bool armed() const { return offered_.load(std::memory_order_relaxed) != nullptr; }
  CaptureRing* Hold();
  void Release() { held_.store(nullptr, std::memory_order_release); }

  // Another thread. The ring may go once Withdraw() returns, which waits for the burst in which the
  // worker uses it.
  void Offer(CaptureRing* ring) { offered_.store(ring, std::memory_order_seq_cst); }
  void Withdraw();

 private:
  std::atomic<CaptureRing*> offered_ = nullptr;  // a session writes, the worker reads
  std::atomic<CaptureRing*> held_ = nullptr;     // the worker writes, a session reads
};

}  // namespace sotto::dataplane
