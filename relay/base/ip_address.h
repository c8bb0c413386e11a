// SPDX-License-Identifier: Apache-2.0
// IP addresses, prefixes and transport addresses: plain values, 20 to 24 bytes, no sockets.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <tuple>
#include <utility>

#include "absl/status/statusor.h"

namespace sotto {

// Values are those of STUN's address family field (RFC 8489, section 14.1).
enum class IpFamily : uint8_t { kV4 = 0x01, kV6 = 0x02 };

// An IPv4 or IPv6 address. The default value is 0.0.0.0. An IPv4 address and its IPv4-mapped IPv6
// form are different values: see relay/turn/peer_policy.h for what reaches the same host.
class IpAddress {
 public:
  constexpr IpAddress() = default;

  static constexpr IpAddress V4(uint8_t a, uint8_t b, uint8_t c, uint8_t d) {
    IpAddress ip;
    ip.bytes_ = {a, b, c, d};
    return ip;
  }
  // `bytes` are in network order: 4 of them, or 16.
  static IpAddress V4(std::span<const uint8_t, 4> bytes);
  static IpAddress V6(std::span<const uint8_t, 16> bytes);

  // Textual forms of RFC 4291 and dotted decimal, without brackets, scope or prefix length.
  static absl::StatusOr<IpAddress> Parse(std::string_view text);

  constexpr IpFamily family() const { return family_; }
  constexpr bool is_v4() const { return family_ == IpFamily::kV4; }
  constexpr bool is_v6() const { return family_ == IpFamily::kV6; }

  // 4 or 16 bytes in network order; the view lives as long as the object.
  std::span<const uint8_t> bytes() const { return {bytes_.data(), is_v4() ? 4u : 16u}; }
  // 16 bytes; for IPv4 the last 12 are zero.
  const std::array<uint8_t, 16>& raw() const { return bytes_; }

  // The address as one integer: 32 significant bits for IPv4, 128 for IPv6.
  unsigned __int128 ToInteger() const;

  std::string ToString() const;

  auto operator<=>(const IpAddress&) const = default;
  template <typename H>
  friend H AbslHashValue(H h, const IpAddress& ip) {
    return H::combine(std::move(h), ip.family_, ip.bytes_);
  }

 private:
  std::array<uint8_t, 16> bytes_ = {};
  IpFamily family_ = IpFamily::kV4;
};

// A CIDR prefix. Compared as one integer, never byte by byte. The default value is 0.0.0.0/0.
class IpPrefix {
 public:
  constexpr IpPrefix() = default;
  // `length` is 0-32 or 0-128; host bits of `address` are cleared.
  IpPrefix(const IpAddress& address, int length);

  // "192.0.2.0/24", "2001:db8::/32", or a single address. Host bits that are set are an error.
  static absl::StatusOr<IpPrefix> Parse(std::string_view text);

  bool Contains(const IpAddress& ip) const;
  const IpAddress& address() const { return address_; }
  int length() const { return length_; }
  std::string ToString() const;
  bool operator==(const IpPrefix&) const = default;

 private:
  IpAddress address_;
  int length_ = 0;
};

// An IP address and a port (host order).
struct TransportAddress {
  IpAddress ip;
  uint16_t port = 0;

  // "192.0.2.1:3478" or "[2001:db8::1]:3478".
  static absl::StatusOr<TransportAddress> Parse(std::string_view text);
  std::string ToString() const;

  auto operator<=>(const TransportAddress&) const = default;
  template <typename H>
  friend H AbslHashValue(H h, const TransportAddress& a) {
    return H::combine(std::move(h), a.ip, a.port);
  }
};

}  // namespace sotto
