// SPDX-License-Identifier: Apache-2.0
#include "relay/turn/peer_policy.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <iterator>

namespace sotto::relay {
namespace {

// The IANA special-purpose registries (RFC 6890 and its updates), by what a relay must do.

const IpPrefix kForbiddenV4[] = {
    {IpAddress::V4(0, 0, 0, 0), 8},           // this network
    {IpAddress::V4(100, 100, 100, 200), 32},  // Alibaba Cloud's metadata service
    {IpAddress::V4(127, 0, 0, 0), 8},         // loopback
    {IpAddress::V4(168, 63, 129, 16), 32},    // Azure's host agent
    {IpAddress::V4(169, 254, 0, 0), 16},      // link-local, and most metadata services
    {IpAddress::V4(192, 0, 0, 0), 24},        // IETF protocol assignments, Oracle's metadata
    {IpAddress::V4(192, 88, 99, 0), 24},      // 6to4 anycast
    {IpAddress::V4(224, 0, 0, 0), 4},         // multicast
    {IpAddress::V4(240, 0, 0, 0), 4},         // reserved, and limited broadcast
};

const IpPrefix kRestrictedV4[] = {
    {IpAddress::V4(10, 0, 0, 0), 8},      {IpAddress::V4(100, 64, 0, 0), 10},
    {IpAddress::V4(172, 16, 0, 0), 12},   {IpAddress::V4(192, 0, 2, 0), 24},
    {IpAddress::V4(192, 168, 0, 0), 16},  {IpAddress::V4(198, 18, 0, 0), 15},
    {IpAddress::V4(198, 51, 100, 0), 24}, {IpAddress::V4(203, 0, 113, 0), 24},
};

IpPrefix V6(std::array<uint16_t, 8> groups, int length) {
  std::array<uint8_t, 16> bytes;
  for (size_t i = 0; i < groups.size(); ++i) {
    bytes[2 * i] = static_cast<uint8_t>(groups[i] >> 8);
    bytes[2 * i + 1] = static_cast<uint8_t>(groups[i]);
  }
  return {IpAddress::V6(bytes), length};
}

const IpPrefix kMetadataV6[] = {
    V6({0xfd00, 0x0ec2, 0, 0, 0, 0, 0, 0x0254}, 128),  // Amazon EC2
    V6({0xfd20, 0x00ce, 0, 0, 0, 0, 0, 0x0254}, 128),  // Google Cloud
};

const IpPrefix kTeredo = V6({0x2001, 0}, 32);
const IpPrefix k6to4 = V6({0x2002}, 16);
const IpPrefix kNat64 = V6({0x0064, 0xff9b}, 96);          // RFC 6052
const IpPrefix kLocalNat64 = V6({0x0064, 0xff9b, 1}, 48);  // RFC 8215

const IpPrefix kRestrictedV6[] = {
    V6({0xfc00}, 7),           // unique local
    V6({0x2001, 2, 0}, 48),    // benchmarking
    V6({0x2001, 0x0db8}, 32),  // documentation
    V6({0x3fff}, 20),          // documentation
    kLocalNat64,
};

// Within the global unicast space.
const IpPrefix kForbiddenV6[] = {
    V6({0x2001}, 23),  // IETF protocol assignments; Teredo and benchmarking are seen to before
};
const IpPrefix kGlobalUnicastV6 = V6({0x2000}, 3);

template <typename Prefixes>
bool AnyContains(const Prefixes& prefixes, const IpAddress& ip) {
  return std::any_of(std::begin(prefixes), std::end(prefixes),
                     [&](const IpPrefix& prefix) { return prefix.Contains(ip); });
}

bool IsIsatap(const IpAddress& ip) {
  // RFC 5214: the interface identifier begins with 0000:5efe or 0200:5efe.
  const std::array<uint8_t, 16>& raw = ip.raw();
  return (raw[8] & ~0x02) == 0 && raw[9] == 0 && raw[10] == 0x5e && raw[11] == 0xfe;
}

}  // namespace

PeerClass ClassifyPeer(const IpAddress& ip) {
  if (ip.is_v4()) {
    if (AnyContains(kForbiddenV4, ip)) return PeerClass::kForbidden;
    return AnyContains(kRestrictedV4, ip) ? PeerClass::kRestricted : PeerClass::kOrdinary;
  }
  if (AnyContains(kMetadataV6, ip)) return PeerClass::kForbidden;
  if (AnyContains(kRestrictedV6, ip)) return PeerClass::kRestricted;
  if (kTeredo.Contains(ip) || kNat64.Contains(ip)) return PeerClass::kOrdinary;
  // All that isn't global unicast: ::, ::1, mapped, compatible, link-local, multicast, reserved.
  if (!kGlobalUnicastV6.Contains(ip) || AnyContains(kForbiddenV6, ip)) return PeerClass::kForbidden;
  return PeerClass::kOrdinary;
}

EmbeddedAddresses EmbeddedV4(const IpAddress& ip) {
  EmbeddedAddresses found;
  if (ip.is_v4()) return found;
  const std::array<uint8_t, 16>& raw = ip.raw();
  const auto add = [&](uint8_t a, uint8_t b, uint8_t c, uint8_t d) {
    found.ips[found.count++] = IpAddress::V4(a, b, c, d);
  };
  const auto add_at = [&](int i) { add(raw[i], raw[i + 1], raw[i + 2], raw[i + 3]); };
  if (k6to4.Contains(ip)) {
    add_at(2);
  } else if (kTeredo.Contains(ip)) {
    add_at(4);  // the Teredo server
    add(raw[12] ^ 0xff, raw[13] ^ 0xff, raw[14] ^ 0xff, raw[15] ^ 0xff);
  } else if (kNat64.Contains(ip)) {
    add_at(12);
  } else if (kLocalNat64.Contains(ip)) {
    // The prefix length in use is the translator's secret (RFC 6052, section 2.2): each reading
    // whose first byte isn't zero counts, and where none does that is refused. Byte 8 is skipped.
    const std::array<std::array<int, 4>, 4> readings = {
        {{12, 13, 14, 15}, {9, 10, 11, 12}, {7, 9, 10, 11}, {6, 7, 9, 10}}};
    for (const auto& [a, b, c, d] : readings) {
      if (raw[a] != 0) add(raw[a], raw[b], raw[c], raw[d]);
    }
    if (found.count == 0) add(0, 0, 0, 0);
  }
  if (found.count == 0 && IsIsatap(ip)) add_at(12);
  return found;
}

bool IsForbiddenPrefix(const IpPrefix& prefix) {
  const auto covers = [&](const IpPrefix& wider) {
    return wider.length() <= prefix.length() && wider.Contains(prefix.address());
  };
  if (prefix.address().is_v4()) return std::ranges::any_of(kForbiddenV4, covers);
  if (std::ranges::any_of(kMetadataV6, covers)) return true;
  const IpPrefix forbidden[] = {
      V6({}, 96),      V6({0, 0, 0, 0, 0, 0xffff}, 96), V6({0xfe80}, 10), V6({0xfec0}, 10),
      V6({0xff00}, 8),
  };
  return std::ranges::any_of(forbidden, covers);
}

PeerPolicy::PeerPolicy(const ServerOptions& options)
    : options_(options.peers),
      listeners_(options.listen),
      relay_addresses_(options.relay_addresses),
      virtual_prefix_(options.virtual_prefix),
      relay_ports_(options.relay_ports) {}

bool PeerPolicy::IsRelayAddress(const IpAddress& ip) const {
  if (virtual_prefix_ && virtual_prefix_->IndexOf(ip)) return true;
  return std::ranges::find(relay_addresses_, ip) != relay_addresses_.end();
}

bool PeerPolicy::AllowsForeign(const IpAddress& peer) const {
  const PeerClass peer_class = ClassifyPeer(peer);
  if (peer_class == PeerClass::kForbidden || AnyContains(options_.deny, peer)) return false;
  const bool listed = AnyContains(options_.allow, peer);
  const bool must_be_listed =
      options_.kind != PeerPolicyKind::kPublic || peer_class == PeerClass::kRestricted;
  return listed || !must_be_listed;
}

bool PeerPolicy::Allows(const IpAddress& peer) const {
  if (IsRelayAddress(peer)) return true;
  if (options_.kind == PeerPolicyKind::kCall || !AllowsForeign(peer)) return false;
  // A packet to the relay itself in other clothes would reach more than its relayed ports.
  const EmbeddedAddresses embedded = EmbeddedV4(peer);
  return std::ranges::all_of(embedded.all(), [&](const IpAddress& v4) {
    // Under `relay` the fleet's IPv6 addresses are listed as they are: what they embed need not
    // be listed again, but must not be a way round either.
    if (IsRelayAddress(v4) || ClassifyPeer(v4) == PeerClass::kForbidden ||
        AnyContains(options_.deny, v4)) {
      return false;
    }
    return ClassifyPeer(v4) == PeerClass::kOrdinary || AnyContains(options_.allow, v4);
  });
}

bool PeerPolicy::Allows(const TransportAddress& peer) const {
  if (peer.port == 0 || !Allows(peer.ip)) return false;
  if (std::ranges::find(listeners_, peer) != listeners_.end()) return false;
  return !IsRelayAddress(peer.ip) ||
         (peer.port >= relay_ports_.first && peer.port <= relay_ports_.second);
}

}  // namespace sotto::relay
