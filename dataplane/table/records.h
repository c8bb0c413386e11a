// SPDX-License-Identifier: Apache-2.0
// What workers find in the tables. Control is the only writer: a record is filled in before it is
// published and afterwards changed only in its atomic fields; it is reused after every worker has
// passed a quiescent state.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "dataplane/packet/header_template.h"
#include "dataplane/packet/local_addresses.h"
#include "dataplane/packet/parse.h"
#include "dataplane/table/coarse_time.h"
#include "dataplane/table/record_table.h"
#include "relay/base/ip_address.h"
#include "relay/forwarding.h"

namespace sotto::dataplane {

// Key of a client, or of one of its channels. Compared and hashed as bytes.
struct ClientKey {
  static constexpr uint64_t kTailMask = 0x0000ffffffffffff;  // all but `rider`

  uint8_t ip[16] = {};  // IPv4 in the first 4, the rest zero
  uint16_t port = 0;
  uint16_t channel = 0;  // 0: the client itself
  ListenerIndex listener = 0;
  uint8_t family = 0;
  uint16_t rider = 0;  // no part of the key: the record's own, in the line that a look-up reads
};
static_assert(sizeof(ClientKey) == 24);

// Key of a peer as one leg sees it: with a port, a channel; with port 0, the permission.
struct PeerKey {
  static constexpr uint64_t kTailMask = ~uint64_t{0};

  uint8_t ip[16] = {};
  relay::LegId leg = 0;
  uint16_t port = 0;
  uint8_t family = 0;
  uint8_t zero = 0;
};
static_assert(sizeof(PeerKey) == 24);

// One side of a call in one word, so that control can change it under the workers' eyes.
class AtomicCallSide {
 public:
  void Store(const relay::CallSide& side) {
    word_.store((uint64_t{side.number} << 32) | (uint64_t{side.side} << 1) | (side.armed ? 1 : 0),
                std::memory_order_release);
  }
  relay::CallSide Load() const {
    const uint64_t word = word_.load(std::memory_order_acquire);
    return {static_cast<uint32_t>(word >> 32), static_cast<uint8_t>((word >> 1) & 1),
            (word & 1) != 0};
  }

 private:
  std::atomic<uint64_t> word_ = 0;  // control writes, workers read
};

// Each record is one cache line and begins with its key. Records are chained to each other for
// control by number (RecordTable::NumberOf; 0: none), so that it needs no memory of its own for
// them.
using RecordNumber = uint32_t;

// A leg: how to reach its client, and what it relays for. Headers for its client are derived from
// the key: from the listening address, to the key's.
struct alignas(64) LegRecord {
  using Key = ClientKey;

  ClientKey key;                     // its rider: the relayed IPv4 address's port; 0: none
  std::atomic<CoarseTime> ends = 0;  // control writes, workers read
  relay::LegId id = 0;
  AtomicCallSide call;
  NextHopId next_hop = kNoNextHop;  // to the client
  uint16_t relayed_v6_port = 0;     // 0: none
  // Where the relayed address of the family stands; kNotLocal if it is virtual.
  LocalIndex relayed_v4 = kNotLocal;
  LocalIndex relayed_v6 = kNotLocal;
  RecordNumber first_permission = 0;  // control's alone
  RecordNumber first_channel = 0;     // control's alone

  uint16_t relayed_port(IpFamily family) const {
    return family == IpFamily::kV4 ? key.rider : relayed_v6_port;
  }
  LocalIndex relayed_local(IpFamily family) const {
    return family == IpFamily::kV4 ? relayed_v4 : relayed_v6;
  }
};
static_assert(sizeof(LegRecord) == 64);

// A channel as the peer's packets find it.
struct BoundChannel {
  uint16_t port = 0;  // the peer's; 0: no channel
  uint16_t number = 0;
  CoarseTime ends = 0;
};

// One in a word, so that control can change it under the workers' eyes.
class AtomicBoundChannel {
 public:
  void Store(const BoundChannel& channel) {
    word_.store(uint64_t{channel.port} << 48 | uint64_t{channel.number} << 32 | channel.ends,
                std::memory_order_release);
  }
  BoundChannel Load() const {
    const uint64_t word = word_.load(std::memory_order_acquire);
    return {static_cast<uint16_t>(word >> 48), static_cast<uint16_t>(word >> 32),
            static_cast<CoarseTime>(word)};
  }

 private:
  std::atomic<uint64_t> word_ = 0;  // control writes, workers read
};

// A peer's address that may exchange packets with a leg, and the channels that are bound to its
// ports: a few here, those beyond (`more_channels` of them) in PeerRecords.
struct alignas(64) PermissionRecord {
  using Key = PeerKey;
  static constexpr size_t kChannels = 3;

  PeerKey key;
  // Control writes, workers read. 0: there is no permission (any more), only channels.
  std::atomic<CoarseTime> ends = 0;
  NextHopId next_hop = kNoNextHop;  // to the peer, where it is outside
  AtomicBoundChannel channels[kChannels];
  std::atomic<uint16_t> more_channels = 0;  // control writes, workers read
  RecordNumber next = 0;                    // of its leg; control's alone
};
static_assert(sizeof(PermissionRecord) == 64);

// A channel beyond those that its PermissionRecord has room for.
struct alignas(64) PeerRecord {
  using Key = PeerKey;

  PeerKey key;
  AtomicBoundChannel channel;
};
static_assert(sizeof(PeerRecord) == 64);

// A channel as the client's packets find it: a complete way out, in one cache line.
struct alignas(64) ChannelRecord {
  using Key = ClientKey;

  // Its rider: the channel's number on the other leg, if the two are fused; else 0, which is no
  // channel's number.
  ClientKey key;
  // While in the future, `out` and the rider rewrite the packet at once. With a peer outside: the
  // channel is bound. With a leg of this relay: both legs have bound each other and may talk. Past:
  // go the long way, which judges everything itself.
  std::atomic<CoarseTime> direct_until = 0;  // control writes, workers read
  std::atomic<CoarseTime> ends = 0;          // control writes, workers read
  // With a peer outside: from the leg's relayed address to the peer. With a leg of this relay: from
  // the other leg's listening address to its client, if the two are fused.
  Flow out;

  uint16_t out_channel() const { return key.rider; }
};
static_assert(sizeof(ChannelRecord) == 64);

// What isn't needed for a packet that takes the direct way stands beside the record, under the same
// number (Tables::DetailsOf). Filled in before the record is published.
struct ChannelDetails {
  RecordNumber leg = 0;              // lives as long as this channel
  RelayedSlot peer_slot = kOutside;  // the peer, if it is behind this relay
  uint16_t peer_port = 0;
  IpFamily peer_family = IpFamily::kV4;
  bool fused = false;             // control's alone, as all that follows
  RecordNumber permission = 0;    // of the peer; lives as long as this channel
  RecordNumber next = 0;          // of its leg
  RecordNumber next_towards = 0;  // of those that lead to the same slot, both ways
  RecordNumber previous_towards = 0;
};
static_assert(sizeof(ChannelDetails) == 28);

inline ClientKey MakeClientKey(const IpAddress& ip, uint16_t port, uint16_t channel,
                               ListenerIndex listener) {
  ClientKey key;
  std::memcpy(key.ip, ip.raw().data(), 16);
  key.port = port;
  key.channel = channel;
  key.listener = listener;
  key.family = static_cast<uint8_t>(ip.family());
  return key;
}

inline PeerKey MakePeerKey(relay::LegId leg, const IpAddress& ip, uint16_t port) {
  PeerKey key;
  std::memcpy(key.ip, ip.raw().data(), 16);
  key.leg = leg;
  key.port = port;
  key.family = static_cast<uint8_t>(ip.family());
  return key;
}

// The same keys, of the sender of a parsed packet. (All on little-endian machines, as DPDK's.)
inline KeyWords<ClientKey> ClientWords(const uint8_t* frame, const ParsedFrame& parsed,
                                       uint16_t channel, ListenerIndex listener) {
  const uint8_t* ip = frame + parsed.ip_offset;
  const uint64_t tail =
      uint64_t{parsed.source_port} | uint64_t{channel} << 16 | uint64_t{listener} << 32;
  if (parsed.v4) [[likely]] {
    uint32_t address;
    std::memcpy(&address, ip + 12, 4);
    return {address, 0, tail | uint64_t{static_cast<uint8_t>(IpFamily::kV4)} << 40};
  }
  uint64_t address[2];
  std::memcpy(address, ip + 8, 16);
  return {address[0], address[1], tail | uint64_t{static_cast<uint8_t>(IpFamily::kV6)} << 40};
}

inline KeyWords<PeerKey> PeerWords(relay::LegId leg, const uint8_t* frame,
                                   const ParsedFrame& parsed, uint16_t port) {
  const uint8_t* ip = frame + parsed.ip_offset;
  const uint64_t tail = uint64_t{leg} | uint64_t{port} << 32;
  if (parsed.v4) [[likely]] {
    uint32_t address;
    std::memcpy(&address, ip + 12, 4);
    return {address, 0, tail | uint64_t{static_cast<uint8_t>(IpFamily::kV4)} << 48};
  }
  uint64_t address[2];
  std::memcpy(address, ip + 8, 16);
  return {address[0], address[1], tail | uint64_t{static_cast<uint8_t>(IpFamily::kV6)} << 48};
}

}  // namespace sotto::dataplane
