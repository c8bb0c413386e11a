// SPDX-License-Identifier: Apache-2.0
#include "dataplane/worker/capture_ring.h"

#include <algorithm>
#include <bit>
#include <chrono>
#include <cstring>
#include <thread>

#include "dataplane/l3/headers.h"
#include "relay/base/big_endian.h"

namespace sotto::dataplane {
namespace {

constexpr size_t kArpSize = 28;            // of Ethernet and IPv4
constexpr size_t kFragmentHeaderSize = 8;  // RFC 8200, section 4.5
constexpr size_t kFirstPayloadBytes = 4;
constexpr std::chrono::microseconds kWithdrawPause(20);

// What stands behind an IP header. `offset` is where.
void OutlineTransport(std::span<const uint8_t> frame, size_t offset, uint8_t protocol,
                      FrameOutline& out) {
  size_t end = offset + kIcmpHeaderSize;  // of another protocol no more than an ICMP header
  if (protocol == kProtocolUdp) {
    end = offset + kUdpHeaderSize + kFirstPayloadBytes;
    if (offset + kUdpHeaderSize <= frame.size()) {
      out.source_port = LoadBe16(&frame[offset]);
      out.destination_port = LoadBe16(&frame[offset + 2]);
    }
  }
  out.header_size = static_cast<uint16_t>(end);
}

void OutlineIpv4(std::span<const uint8_t> frame, size_t offset, FrameOutline& out) {
  const uint8_t* ip = &frame[offset];
  const size_t header_size = (ip[0] & 0x0f) * 4u;
  if ((ip[0] >> 4) != 4 || header_size < kIpv4HeaderSize) return;
  out.v4 = true;
  out.source = ip + 12;
  out.destination = ip + 16;
  out.header_size = static_cast<uint16_t>(offset + header_size);
  const bool later_fragment = (LoadBe16(ip + 6) & 0x1fff) != 0;
  if (!later_fragment) OutlineTransport(frame, offset + header_size, ip[9], out);
}

void OutlineIpv6(std::span<const uint8_t> frame, size_t offset, FrameOutline& out) {
  const uint8_t* ip = &frame[offset];
  if ((ip[0] >> 4) != 6) return;
  out.source = ip + 8;
  out.destination = ip + 24;
  const size_t behind = offset + kIpv6HeaderSize;
  if (ip[6] != kProtocolFragment) return OutlineTransport(frame, behind, ip[6], out);
  out.header_size = static_cast<uint16_t>(behind + kFragmentHeaderSize);
  if (behind + kFragmentHeaderSize > frame.size()) return;
  const bool first_fragment = (LoadBe16(&frame[behind + 2]) & 0xfff8) == 0;
  if (first_fragment) {
    OutlineTransport(frame, behind + kFragmentHeaderSize, frame[behind], out);
  }
}

}  // namespace

FrameOutline OutlineOf(std::span<const uint8_t> frame) {
  FrameOutline out;
  size_t offset = kEthernetHeaderSize;
  if (frame.size() >= offset) {
    uint16_t ether_type = LoadBe16(&frame[12]);
    if (ether_type == kEtherTypeVlan && frame.size() >= offset + kVlanTagSize) {
      ether_type = LoadBe16(&frame[16]);
      offset += kVlanTagSize;
    }
    out.header_size = static_cast<uint16_t>(
        offset + (ether_type == kEtherTypeArp ? kArpSize : kFirstPayloadBytes));
    if (ether_type == kEtherTypeIpv4 && frame.size() >= offset + kIpv4HeaderSize) {
      OutlineIpv4(frame, offset, out);
    } else if (ether_type == kEtherTypeIpv6 && frame.size() >= offset + kIpv6HeaderSize) {
      OutlineIpv6(frame, offset, out);
    }
  } else {
    out.header_size = static_cast<uint16_t>(frame.size());
  }
  out.header_size =
      static_cast<uint16_t>(std::min<size_t>({out.header_size, frame.size(), kCaptureHeadersSize}));
  return out;
}

// --- The filter ----------------------------------------------------------------------------------

void CaptureFilter::Host::Set(const IpPrefix& prefix) {
  family = static_cast<uint8_t>(prefix.address().family());
  std::memcpy(address, prefix.address().raw().data(), sizeof(address));
  uint8_t bytes[16] = {};
  for (int bit = 0; bit < prefix.length(); ++bit) {
    bytes[bit / 8] = static_cast<uint8_t>(bytes[bit / 8] | 0x80 >> bit % 8);
  }
  std::memcpy(mask, bytes, sizeof(mask));
}

bool CaptureFilter::Host::Contains(const uint8_t* ip, bool v4) const {
  const IpFamily other = v4 ? IpFamily::kV4 : IpFamily::kV6;
  if (family != static_cast<uint8_t>(other)) return false;
  uint64_t words[2] = {};
  std::memcpy(words, ip, v4 ? 4 : 16);
  return (words[0] & mask[0]) == address[0] && (words[1] & mask[1]) == address[1];
}

bool CaptureFilter::Matches(const FrameOutline& frame) const {
  if (udp_port != 0 && frame.source_port != udp_port && frame.destination_port != udp_port) {
    return false;
  }
  if (host.family == 0 && client.family == 0) return true;
  if (frame.source == nullptr) return false;
  if (host.family != 0 && !host.Contains(frame.source, frame.v4) &&
      !host.Contains(frame.destination, frame.v4)) {
    return false;
  }
  return client.family == 0 ||
         (frame.source_port == client_port && client.Contains(frame.source, frame.v4)) ||
         (frame.destination_port == client_port && client.Contains(frame.destination, frame.v4));
}

// --- A worker's ring -----------------------------------------------------------------------------

CaptureRing::CaptureRing(const CaptureFilter& filter, bool headers_only, uint16_t snap_size,
                         uint32_t slots)
    : filter_(filter),
      headers_only_(headers_only),
      snap_size_(snap_size),
      mask_(std::bit_floor(slots) - 1),
      stride_((sizeof(Slot) + snap_size + 63) / 64 * 64),
      // Zeroed, so that the worker meets no page that isn't there yet.
      memory_(std::make_unique<uint8_t[]>((mask_ + 1) * stride_)) {}

void CaptureRing::Begin(uint64_t tick, uint64_t now_ms) {
  tick_ = tick;
  if (now_ms > refilled_ms_) {
    const uint64_t passed = std::min<uint64_t>(now_ms - refilled_ms_, kCaptureSavedMs);
    constexpr uint64_t kMost = uint64_t{kCaptureNsPerMs} * kCaptureSavedMs;
    budget_ns_ = std::min(kMost, budget_ns_ + passed * kCaptureNsPerMs);
    refilled_ms_ = now_ms;
  }
}

void CaptureRing::Add(const CapturedPacket& packet, CaptureDirection direction) {
  if (Wants(direction)) Look(packet, direction, Slot::kNotDropped);
}

void CaptureRing::Dropped(const CapturedPacket& packet, CaptureDirection direction,
                          DropReason reason) {
  if (!filter_.dropped) {
    // It was added in this burst, unless it didn't match or was missed.
    const uint64_t published = head_.load(std::memory_order_relaxed);
    for (uint64_t position = staged_; position > published; --position) {
      Slot& slot = At(position - 1);
      if (slot.id != packet.id) continue;
      slot.drop = static_cast<uint8_t>(reason);
      return;
    }
    return;
  }
  const bool right_reason = *filter_.dropped == DropReason::kCount || *filter_.dropped == reason;
  if (right_reason && filter_.Wants(direction)) {
    Look(packet, direction, static_cast<uint8_t>(reason));
  }
}

void CaptureRing::Look(const CapturedPacket& packet, CaptureDirection direction, uint8_t drop) {
  if (Spent()) return Miss(1);
  budget_ns_ -= kCaptureLookNs;
  const FrameOutline outline = OutlineOf(packet.frame);
  if (filter_.Matches(outline)) Copy(packet, outline, direction, drop);
}

void CaptureRing::Copy(const CapturedPacket& packet, const FrameOutline& outline,
                       CaptureDirection direction, uint8_t drop) {
  std::span<const uint8_t> frame = packet.frame;
  const size_t tag = packet.vlan_tci != 0 && frame.size() >= kEthernetHeaderSize ? kVlanTagSize : 0;
  size_t size = headers_only_ ? outline.header_size : frame.size();
  size = std::min<size_t>(size, snap_size_ - tag);
  const uint64_t cost = kCaptureCopyNs + size;
  const bool full = staged_ - tail_.load(std::memory_order_acquire) > mask_;
  if (full || budget_ns_ < cost) return Miss(1);
  budget_ns_ -= cost;
  Slot& slot = At(staged_++);
  slot = {.id = packet.id,
          .tick = tick_,
          .original_size = static_cast<uint32_t>(packet.size + tag),
          .size = static_cast<uint16_t>(size + tag),
          .port = packet.port,
          .direction = direction,
          .drop = drop};
  uint8_t* out = reinterpret_cast<uint8_t*>(&slot + 1);
  if (tag != 0) {
    std::memcpy(out, frame.data(), 12);  // both MAC addresses
    StoreBe16(out + 12, kEtherTypeVlan);
    StoreBe16(out + 14, packet.vlan_tci);
    std::memcpy(out + 16, frame.data() + 12, size - 12);
  } else {
    std::memcpy(out, frame.data(), size);
  }
}

const CaptureRing::Slot* CaptureRing::Front() const {
  const uint64_t tail = tail_.load(std::memory_order_relaxed);
  return tail == head_.load(std::memory_order_acquire) ? nullptr : &At(tail);
}

// --- The worker's tap ----------------------------------------------------------------------------

// Sequentially consistent on both sides: either the worker sees that the ring was withdrawn, or
// Withdraw() sees that it is held.
CaptureRing* CaptureTap::Hold() {
  CaptureRing* ring = offered_.load(std::memory_order_relaxed);
  held_.store(ring, std::memory_order_seq_cst);
  if (offered_.load(std::memory_order_seq_cst) == ring) return ring;
  Release();
  return nullptr;
}

void CaptureTap::Withdraw() {
  offered_.store(nullptr, std::memory_order_seq_cst);
  while (held_.load(std::memory_order_seq_cst) != nullptr) {
    std::this_thread::sleep_for(kWithdrawPause);
  }
}

}  // namespace sotto::dataplane
