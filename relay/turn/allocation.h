// What the server keeps of one allocation (RFC 8656, section 6).
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <string>

#include "absl/container/inlined_vector.h"
#include "relay/auth/credential.h"
#include "relay/forwarding.h"
#include "relay/stun/message.h"
#include "relay/wire/ip_address.h"

namespace sotto::relay {

struct Permission {
  IpAddress peer;
  MonotonicMs expires_at = 0;
};

struct Channel {
  TransportAddress peer;
  uint16_t number = 0;
  MonotonicMs expires_at = 0;
};

// Index into per-family arrays.
constexpr size_t FamilyIndex(IpFamily family) { return family == IpFamily::kV4 ? 0 : 1; }
constexpr std::array<IpFamily, 2> kFamilies = {IpFamily::kV4, IpFamily::kV6};

struct Allocation {
  // A relayed transport address. Each family of a dual allocation has a lifetime of its own.
  struct Relayed {
    MonotonicMs expires_at = 0;
    uint16_t port = 0;    // 0: none of this family
    uint8_t address = 0;  // index into ServerOptions::relay_addresses
  };

  ClientPath path;
  std::string username;
  CredentialKey key;
  TransactionId transaction_id{};  // of the Allocate request
  std::array<Relayed, 2> relayed;  // by FamilyIndex
  MonotonicMs created_at = 0;
  uint64_t reservation_token = 0;  // that its Allocate response gave out; 0: none
  uint32_t call = 0;               // CallTable number; 0: none
  uint8_t side = 0;
  // A call needs one of each: those cost no memory of their own.
  absl::InlinedVector<Permission, 1> permissions;
  absl::InlinedVector<Channel, 1> channels;

  Relayed& Of(IpFamily family) { return relayed[FamilyIndex(family)]; }
  const Relayed& Of(IpFamily family) const { return relayed[FamilyIndex(family)]; }
  bool Has(IpFamily family) const { return Of(family).port != 0; }
  MonotonicMs expires_at() const {
    return std::max(relayed[0].port != 0 ? relayed[0].expires_at : 0,
                    relayed[1].port != 0 ? relayed[1].expires_at : 0);
  }

  Permission* FindPermission(const IpAddress& peer) {
    const auto found = std::ranges::find(permissions, peer, &Permission::peer);
    return found == permissions.end() ? nullptr : &*found;
  }
  Channel* FindChannel(uint16_t number) {
    const auto found = std::ranges::find(channels, number, &Channel::number);
    return found == channels.end() ? nullptr : &*found;
  }
  Channel* FindChannel(const TransportAddress& peer) {
    const auto found = std::ranges::find(channels, peer, &Channel::peer);
    return found == channels.end() ? nullptr : &*found;
  }
};

}  // namespace sotto::relay
