// SPDX-License-Identifier: Apache-2.0
// What the server keeps of one allocation (RFC 8656, section 6).
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstring>
#include <memory>

#include "absl/container/inlined_vector.h"
#include "relay/auth/credential.h"
#include "relay/base/ip_address.h"
#include "relay/forwarding.h"
#include "relay/stun/message.h"
#include "relay/turn/compact_string.h"

namespace sotto::relay {

// A moment in six bytes (8,900 years of milliseconds), for what there are millions of.
class ShortMs {
 public:
  ShortMs() = default;
  ShortMs(MonotonicMs ms) { std::memcpy(words_, &ms, sizeof(words_)); }
  operator MonotonicMs() const {
    MonotonicMs ms = 0;
    std::memcpy(&ms, words_, sizeof(words_));
    return ms;
  }

 private:
  uint16_t words_[3] = {};
};

// A key, in what an MD5 key needs, which most are.
class HeldKey {
 public:
  HeldKey() = default;
  explicit HeldKey(const CredentialKey& key) {
    const std::span<const uint8_t> bytes = key.bytes();
    std::memcpy(first_, bytes.data(), kHalf);
    if (bytes.size() == kHalf) return;
    rest_.reset(new uint8_t[kHalf]);
    std::memcpy(rest_.get(), bytes.data() + kHalf, kHalf);
  }
  CredentialKey Get() const {
    uint8_t bytes[2 * kHalf];
    std::memcpy(bytes, first_, kHalf);
    if (rest_ != nullptr) std::memcpy(bytes + kHalf, rest_.get(), kHalf);
    return CredentialKey(std::span(bytes, rest_ == nullptr ? kHalf : 2 * kHalf));
  }

 private:
  static constexpr size_t kHalf = 16;  // bytes, of a SHA-256 key
  std::unique_ptr<uint8_t[]> rest_;
  uint8_t first_[kHalf] = {};
};

struct Permission {
  IpAddress peer;
  ShortMs expires_at;
};

struct Channel {
  TransportAddress peer;
  uint16_t number = 0;
  ShortMs expires_at;
};

// Index into per-family arrays.
constexpr size_t FamilyIndex(IpFamily family) { return family == IpFamily::kV4 ? 0 : 1; }
constexpr std::array<IpFamily, 2> kFamilies = {IpFamily::kV4, IpFamily::kV6};

struct Allocation {
  // A relayed transport address. Each family of a dual allocation has a lifetime of its own. In one
  // word: there may be a million.
  struct Relayed {
    MonotonicMs expires_at : 40 = 0;  // that are 34 years
    uint64_t port : 16 = 0;           // 0: none of this family
    uint64_t address : 8 = 0;         // index into ServerOptions::relay_addresses
  };

  HeldKey key;
  // The 5-tuple (AllocationTable::PathOf).
  TransportAddress client;
  uint16_t server = 0;
  ClientTransport transport = ClientTransport::kUdp;
  uint8_t side : 1 = 0;            // of a call
  bool counted : 1 = false;        // in the quota of its user
  TransactionId transaction_id{};  // of the Allocate request
  uint32_t call = 0;               // CallTable number; 0: none
  uint32_t created_s = 0;          // seconds on the monotonic clock
  // The user name. That of a leg of a call follows from the call where it is empty:
  // "<call>/<side>", with the expiry of a time-limited credential and a colon before.
  uint32_t expiry_unix_s = 0;  // 0: none
  CompactString username;
  std::array<Relayed, 2> relayed;  // by FamilyIndex
  // A call needs one of each: those cost no memory of their own.
  absl::InlinedVector<Permission, 1> permissions;
  absl::InlinedVector<Channel, 1> channels;

  Relayed& Of(IpFamily family) { return relayed[FamilyIndex(family)]; }
  const Relayed& Of(IpFamily family) const { return relayed[FamilyIndex(family)]; }
  bool Has(IpFamily family) const { return Of(family).port != 0; }
  MonotonicMs expires_at() const {
    return std::max<MonotonicMs>(relayed[0].port != 0 ? relayed[0].expires_at : 0,
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
