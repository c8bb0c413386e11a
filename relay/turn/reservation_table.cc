// SPDX-License-Identifier: Apache-2.0
#include "relay/turn/reservation_table.h"

#include <utility>

namespace sotto::relay {

void ReservationTable::Add(Reservation reservation) {
  by_age_.push_back(std::move(reservation));
  by_token_.emplace(by_age_.back().token, std::prev(by_age_.end()));
}

Reservation ReservationTable::Remove(std::list<Reservation>::iterator entry) {
  Reservation reservation = std::move(*entry);
  by_token_.erase(reservation.token);
  by_age_.erase(entry);
  return reservation;
}

const Reservation* ReservationTable::Find(uint64_t token, MonotonicMs now) const {
  const auto found = by_token_.find(token);
  if (found == by_token_.end() || found->second->expires_at <= now) return nullptr;
  return &*found->second;
}

Reservation ReservationTable::Take(uint64_t token) { return Remove(by_token_.at(token)); }

std::optional<Reservation> ReservationTable::TakeExpired(MonotonicMs now) {
  if (by_age_.empty() || by_age_.front().expires_at > now) return std::nullopt;
  return Remove(by_age_.begin());
}

}  // namespace sotto::relay
