// SPDX-License-Identifier: Apache-2.0
// Which allocations an operator asks for: an AllocationFilter, parsed once.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "relay/api/admin.pb.h"
#include "relay/turn/server.h"

namespace sotto::dataplane {

// Addresses within a prefix and, if one is given, with one port.
struct AddressQuery {
  IpPrefix prefix;
  uint16_t port = 0;  // 0: any

  bool Matches(const IpAddress& ip) const { return prefix.Contains(ip); }
  bool Matches(const TransportAddress& address) const {
    return Matches(address.ip) && (port == 0 || address.port == port);
  }
};

class AllocationQuery {
 public:
  // INVALID_ARGUMENT with what would be right.
  static absl::StatusOr<AllocationQuery> Parse(const relay::v1::AllocationFilter& filter);

  // The LegIds among which to look: all, or the one that was asked for.
  relay::LegId first() const { return first_; }
  // Whether every allocation matches.
  bool all() const;
  bool single() const { return id_ != 0; }
  // Whether Matches() must be told of permissions and channels.
  bool bindings() const { return peer_.has_value() || details_; }
  bool details() const { return details_; }
  uint32_t limit() const { return limit_; }  // 0: none

  // Expired ones never match, nor do expired permissions and channels. A permission has no port,
  // so a peer that was given with one is looked for among channels alone.
  bool Matches(const relay::AllocationInfo& info, MonotonicMs now) const;

 private:
  AllocationQuery() = default;

  uint64_t id_ = 0;
  relay::LegId first_ = 0;
  std::string user_;
  std::optional<AddressQuery> client_;
  std::optional<AddressQuery> relayed_;
  std::optional<AddressQuery> peer_;
  MonotonicMs min_age_ms_ = 0;
  MonotonicMs max_age_ms_ = UINT64_MAX;
  uint32_t limit_ = 0;
  bool details_ = false;
};

}  // namespace sotto::dataplane
