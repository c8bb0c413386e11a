// SPDX-License-Identifier: Apache-2.0
// Ports that EVEN-PORT has set aside (RFC 8656, section 7.2): each is held until its token is used
// or its time is over. One thread only.
#pragma once

#include <cstdint>
#include <list>
#include <optional>
#include <string>

#include "absl/container/flat_hash_map.h"
#include "relay/forwarding.h"

namespace sotto::relay {

struct Reservation {
  uint64_t token = 0;
  uint16_t port = 0;
  uint8_t address = 0;     // index into ServerOptions::relay_addresses
  std::string quota_name;  // whose quota it counts against
  MonotonicMs expires_at = 0;
};

class ReservationTable {
 public:
  // All reservations last equally long, so they are kept in the order of their ends.
  void Add(Reservation reservation);
  // The reservation of a token, if it has not expired; until the table next changes.
  const Reservation* Find(uint64_t token, MonotonicMs now) const;
  // Takes out the reservation of a token, which must be there.
  Reservation Take(uint64_t token);
  // Takes out a reservation that has expired.
  std::optional<Reservation> TakeExpired(MonotonicMs now);
  // In the order of their ends.
  const std::list<Reservation>& all() const { return by_age_; }
  uint32_t size() const { return static_cast<uint32_t>(by_age_.size()); }

 private:
  Reservation Remove(std::list<Reservation>::iterator entry);

  std::list<Reservation> by_age_;
  absl::flat_hash_map<uint64_t, std::list<Reservation>::iterator> by_token_;
};

}  // namespace sotto::relay
