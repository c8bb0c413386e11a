// SPDX-License-Identifier: Apache-2.0
#include "relay/turn/call_table.h"

#include <algorithm>

namespace sotto::relay {
uint32_t Call::LegsOf(uint8_t side) const {
  return static_cast<uint32_t>(std::ranges::count(legs, side, &Leg::side));
}

uint32_t CallTable::Find(std::string_view name, MonotonicMs now) const {
  const auto found = by_name_.find(name);
  if (found == by_name_.end()) return 0;
  const Call* call = Get(*found);
  return call->legs.empty() && call->forgotten_at <= now ? 0 : *found;
}

uint32_t CallTable::Create(std::string_view name) {
  const uint32_t number = slab_.Emplace() + 1;
  Get(number)->name = CompactString(name);
  by_name_.insert(number);
  return number;
}

uint32_t CallTable::AddLeg(std::string_view name, LegId leg, uint8_t side, bool arm,
                           MonotonicMs now) {
  const auto known = by_name_.find(name);
  uint32_t number = known == by_name_.end() ? 0 : *known;
  if (number != 0 && Find(name, now) == 0) {
    Forget(number);  // its time was over: what it was armed for has passed
    number = 0;
  }
  if (number == 0) {
    number = Create(name);
  } else if (Get(number)->legs.empty()) {
    --idle_;
  }
  Call& call = *Get(number);
  call.legs.push_back({leg, side});
  if (arm) SetArmed(call, true);
  return number;
}

void CallTable::RemoveLeg(uint32_t number, LegId leg, MonotonicMs now) {
  Call* call = Get(number);
  if (call == nullptr) return;
  const auto found = std::ranges::find(call->legs, leg, &Call::Leg::id);
  if (found == call->legs.end()) return;
  call->legs.erase(found);
  if (!call->legs.empty()) return;
  ++idle_;
  call->forgotten_at = now + kIdleCallMs;
  if (!call->armed || idle_ > max_idle_) Forget(number);
}

uint32_t CallTable::AddIdle(std::string_view name, MonotonicMs now) {
  if (const auto known = by_name_.find(name); known != by_name_.end()) {
    Forget(*known);
  }
  if (idle_ >= max_idle_) return 0;
  const uint32_t number = Create(name);
  ++idle_;
  Call& call = *Get(number);
  SetArmed(call, true);
  call.forgotten_at = now + kIdleCallMs;
  return number;
}

void CallTable::Forget(uint32_t number) {
  Call* call = Get(number);
  if (call == nullptr) return;
  if (call->legs.empty()) --idle_;
  SetArmed(*call, false);
  by_name_.erase(number);
  slab_.Erase(number - 1);
}

void CallTable::SetArmed(Call& call, bool armed) {
  if (call.armed != armed) armed ? ++armed_ : --armed_;
  call.armed = armed;
}

void CallTable::Tick(MonotonicMs now, uint32_t budget) {
  for (uint32_t left = std::min(budget, slab_.slots()); left > 0; --left) {
    const uint32_t number = ++scan_;
    if (scan_ >= slab_.slots()) scan_ = 0;
    const Call* call = Get(number);
    if (call != nullptr && call->legs.empty() && call->forgotten_at <= now) Forget(number);
  }
}

}  // namespace sotto::relay
