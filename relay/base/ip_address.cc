// SPDX-License-Identifier: Apache-2.0
#include "relay/base/ip_address.h"

#include <arpa/inet.h>
#include <fmt/format.h>

#include <algorithm>
#include <cstring>

#include "absl/strings/numbers.h"
#include "relay/base/big_endian.h"

namespace sotto {
namespace {

// The mask of a prefix of `length` bits in an address of `bits` bits.
unsigned __int128 PrefixMask(int length, int bits) {
  if (length == 0) return 0;
  unsigned __int128 all = bits == 128 ? ~static_cast<unsigned __int128>(0)
                                      : (static_cast<unsigned __int128>(1) << bits) - 1;
  return all & ~((static_cast<unsigned __int128>(1) << (bits - length)) - 1);
}

int Bits(IpFamily family) { return family == IpFamily::kV4 ? 32 : 128; }

IpAddress FromInteger(unsigned __int128 value, IpFamily family) {
  std::array<uint8_t, 16> bytes;
  for (int i = 15; i >= 0; --i) {
    bytes[i] = static_cast<uint8_t>(value);
    value >>= 8;
  }
  if (family == IpFamily::kV6) return IpAddress::V6(bytes);
  return IpAddress::V4(bytes[12], bytes[13], bytes[14], bytes[15]);
}

// A decimal number of at most five digits, without sign or space.
bool ParseU16(std::string_view text, uint16_t& out) {
  uint32_t value = 0;
  if (text.empty() || text.size() > 5 ||
      !std::all_of(text.begin(), text.end(), [](char c) { return c >= '0' && c <= '9'; }) ||
      !absl::SimpleAtoi(absl::string_view(text.data(), text.size()), &value) || value > 65535) {
    return false;
  }
  out = static_cast<uint16_t>(value);
  return true;
}

}  // namespace

IpAddress IpAddress::V4(std::span<const uint8_t, 4> bytes) {
  return V4(bytes[0], bytes[1], bytes[2], bytes[3]);
}

IpAddress IpAddress::V6(std::span<const uint8_t, 16> bytes) {
  IpAddress ip;
  std::copy(bytes.begin(), bytes.end(), ip.bytes_.begin());
  ip.family_ = IpFamily::kV6;
  return ip;
}

absl::StatusOr<IpAddress> IpAddress::Parse(std::string_view text) {
  const std::string copy(text);
  std::array<uint8_t, 16> bytes;
  // inet_pton() would stop at a NUL and take what stands before it.
  if (text.find('\0') == std::string_view::npos) {
    if (inet_pton(AF_INET, copy.c_str(), bytes.data()) == 1) {
      return V4(bytes[0], bytes[1], bytes[2], bytes[3]);
    }
    if (inet_pton(AF_INET6, copy.c_str(), bytes.data()) == 1) return V6(bytes);
  }
  return absl::InvalidArgumentError(
      fmt::format("\"{}\" is not an IP address; must be such as 192.0.2.1 or 2001:db8::1", text));
}

unsigned __int128 IpAddress::ToInteger() const {
  unsigned __int128 value = 0;
  for (uint8_t byte : bytes()) value = (value << 8) | byte;
  return value;
}

std::string IpAddress::ToString() const {
  char text[INET6_ADDRSTRLEN];
  inet_ntop(is_v4() ? AF_INET : AF_INET6, bytes_.data(), text, sizeof(text));
  return text;
}

IpPrefix::IpPrefix(const IpAddress& address, int length)
    : address_(FromInteger(address.ToInteger() & PrefixMask(length, Bits(address.family())),
                           address.family())),
      length_(length) {}

absl::StatusOr<IpPrefix> IpPrefix::Parse(std::string_view text) {
  const size_t slash = text.find('/');
  absl::StatusOr<IpAddress> address = IpAddress::Parse(text.substr(0, slash));
  if (!address.ok()) return address.status();
  const int bits = Bits(address->family());
  if (slash == std::string_view::npos) return IpPrefix(*address, bits);
  uint16_t length = 0;
  if (!ParseU16(text.substr(slash + 1), length) || length > bits) {
    return absl::InvalidArgumentError(
        fmt::format("\"{}\" has no valid prefix length; must be from 0 to {}", text, bits));
  }
  IpPrefix prefix(*address, length);
  if (prefix.address() != *address) {
    return absl::InvalidArgumentError(fmt::format(
        "\"{}\" has host bits set after its prefix; did you mean {}?", text, prefix.ToString()));
  }
  return prefix;
}

bool IpPrefix::Contains(const IpAddress& ip) const {
  if (ip.family() != address_.family()) return false;
  return (ip.ToInteger() & PrefixMask(length_, Bits(ip.family()))) == address_.ToInteger();
}

std::string IpPrefix::ToString() const {
  return fmt::format("{}/{}", address_.ToString(), length_);
}

absl::StatusOr<TransportAddress> TransportAddress::Parse(std::string_view text) {
  const size_t colon = text.rfind(':');
  TransportAddress result;
  if (colon != std::string_view::npos && ParseU16(text.substr(colon + 1), result.port)) {
    std::string_view host = text.substr(0, colon);
    const bool bracketed = host.size() >= 2 && host.front() == '[' && host.back() == ']';
    if (bracketed) host = host.substr(1, host.size() - 2);
    absl::StatusOr<IpAddress> ip = IpAddress::Parse(host);
    if (ip.ok() && ip->is_v6() == bracketed) {
      result.ip = *ip;
      return result;
    }
  }
  return absl::InvalidArgumentError(
      fmt::format("\"{}\" is not an address with a port; must be such as 192.0.2.1:3478 or "
                  "[2001:db8::1]:3478",
                  text));
}

std::string TransportAddress::ToString() const {
  return ip.is_v4() ? fmt::format("{}:{}", ip.ToString(), port)
                    : fmt::format("[{}]:{}", ip.ToString(), port);
}

}  // namespace sotto
