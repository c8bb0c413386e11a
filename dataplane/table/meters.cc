// SPDX-License-Identifier: Apache-2.0
#include "dataplane/table/meters.h"

#include <algorithm>

namespace sotto::dataplane {
namespace {

constexpr uint64_t kNsPerSecond = 1'000'000'000;
constexpr uint64_t kNsPerMs = 1'000'000;
// At 100 Gb/s a byte takes a twelfth of a nanosecond; at the lowest rate, 64 KiB of them must fit.
constexpr int kByteFractionBits = 24;

// Lets pass while no more than a second is spent in advance.
bool SpendFrom(std::atomic<uint64_t>& spent_until, uint64_t cost_ns, uint64_t now_ns, bool spend) {
  uint64_t until = spent_until.load(std::memory_order_relaxed);
  for (;;) {
    const uint64_t from = std::max(until, now_ns);
    if (from - now_ns > kNsPerSecond) return false;
    if (!spend ||
        spent_until.compare_exchange_weak(until, from + cost_ns, std::memory_order_relaxed)) {
      return true;
    }
  }
}

}  // namespace

Meters::Meters(uint32_t legs)
    : size_(legs),
      memory_(TableMemory::OnUse(legs * (sizeof(Leg) + sizeof(User)))),
      legs_(static_cast<Leg*>(memory_.data())),
      users_(reinterpret_cast<User*>(legs_ + legs)) {}

void Meters::SetRates(const relay::ForwardingRates& rates) {
  const auto per = [](uint64_t unit, uint64_t rate) { return rate == 0 ? 0 : unit / rate; };
  packet_ns_.store(per(kNsPerSecond, rates.packets_per_leg), std::memory_order_relaxed);
  byte_units_.store(per(kNsPerSecond << kByteFractionBits, rates.bytes_per_user),
                    std::memory_order_relaxed);
  used_ |= rates != relay::ForwardingRates();
  on_.store(rates != relay::ForwardingRates(), std::memory_order_relaxed);
}

void Meters::Start(RecordNumber leg, relay::UserNumber user) {
  if (!used_) return;
  for (SpentUntil& packets : legs_[leg - 1].packets) packets.store(0, std::memory_order_relaxed);
  SetUser(leg, user);
}

void Meters::SetUser(RecordNumber leg, relay::UserNumber user) {
  if (!used_) return;
  legs_[leg - 1].user.store(user <= size_ ? user : 0, std::memory_order_relaxed);
}

std::optional<DropReason> Meters::Pass(RecordNumber leg, Side side, uint32_t bytes, uint64_t now_ms,
                                       bool spend) const {
  const uint64_t now_ns = now_ms * kNsPerMs;
  Leg& meter = legs_[leg - 1];
  const uint64_t packet_ns = packet_ns_.load(std::memory_order_relaxed);
  if (packet_ns != 0 &&
      !SpendFrom(meter.packets[static_cast<size_t>(side)], packet_ns, now_ns, spend)) {
    return DropReason::kAllocationRate;
  }
  const uint64_t byte_units = byte_units_.load(std::memory_order_relaxed);
  const relay::UserNumber user = meter.user.load(std::memory_order_relaxed);
  if (byte_units == 0 || user == 0) return std::nullopt;
  const uint64_t cost_ns = (bytes * byte_units) >> kByteFractionBits;
  if (!SpendFrom(users_[user - 1].bytes[static_cast<size_t>(side)], cost_ns, now_ns, spend)) {
    return DropReason::kUserRate;
  }
  return std::nullopt;
}

}  // namespace sotto::dataplane
