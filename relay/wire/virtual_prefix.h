// SPDX-License-Identifier: Apache-2.0
// A prefix of addresses that exist inside a relay alone: address number `index` of it is its leg's.
// No packet on the wire names one, so they need no ports to be told apart: a prefix of 22 host bits
// has four million legs where a real address ends at 65,535 ports.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <optional>
#include <span>

#include "relay/base/big_endian.h"
#include "relay/base/ip_address.h"

namespace sotto::relay {

class VirtualPrefix {
 public:
  explicit VirtualPrefix(const IpPrefix& prefix)
      : prefix_(prefix),
        host_mask_(HostMask(prefix)),
        // Neither the first nor the last address is a leg's: in IPv4 they are a network's own.
        capacity_(host_mask_ < 3 ? 0 : std::min(host_mask_, UINT32_MAX - 2) - 1),
        v4_(prefix.address().is_v4()) {
    const auto& raw = prefix.address().raw();
    std::memcpy(head_, raw.data(), 12);
    base_ = LoadBe32(&raw[v4_ ? 0 : 12]);
  }

  const IpPrefix& prefix() const { return prefix_; }
  // Indices are below.
  uint32_t capacity() const { return capacity_; }
  IpFamily family() const { return prefix_.address().family(); }

  // `index` < capacity().
  IpAddress At(uint32_t index) const {
    uint8_t bytes[16];
    std::memcpy(bytes, head_, 12);
    StoreBe32(bytes + (v4_ ? 0 : 12), base_ + 1 + index);
    return v4_ ? IpAddress::V4(std::span<const uint8_t, 4>(bytes, 4)) : IpAddress::V6(bytes);
  }
  // Nothing if the address lies outside; within, it may be nobody's (capacity() or more).
  std::optional<uint32_t> IndexOf(const IpAddress& ip) const {
    if (ip.is_v4() != v4_) return std::nullopt;
    const uint8_t* raw = ip.raw().data();
    const uint32_t offset = LoadBe32(raw + (v4_ ? 0 : 12)) - base_;
    if (offset <= host_mask_ && (v4_ || std::memcmp(raw, head_, 12) == 0)) return offset - 1;
    // A prefix with more than 32 host bits has addresses that At() doesn't give.
    return !v4_ && prefix_.Contains(ip) ? std::optional(UINT32_MAX) : std::nullopt;
  }

  bool operator==(const VirtualPrefix& other) const { return prefix_ == other.prefix_; }

 private:
  static uint32_t HostMask(const IpPrefix& prefix) {
    const int host_bits = (prefix.address().is_v4() ? 32 : 128) - prefix.length();
    return host_bits >= 32 ? UINT32_MAX : (1u << host_bits) - 1;
  }

  IpPrefix prefix_;
  uint32_t host_mask_;
  uint32_t capacity_;
  bool v4_;
  uint32_t base_ = 0;  // the last 32 bits of the prefix's address
  uint8_t head_[12] = {};
};

}  // namespace sotto::relay
