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
#include "relay/forwarding.h"
#include "relay/wire/ip_address.h"

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

// Each record begins with its key. `kHotLines` cache lines of it are read for a packet.

// A leg: how to reach its client, and what it relays for.
struct alignas(64) LegRecord {
  using Key = ClientKey;
  static constexpr int kHotLines = 2;

  ClientKey key;
  std::atomic<CoarseTime> ends = 0;  // control writes, workers read
  relay::LegId id = 0;
  AtomicCallSide call;
  uint16_t relayed_v4_port = 0;  // 0: no relayed address of the family
  uint16_t relayed_v6_port = 0;
  LocalIndex relayed_v4 = kNotLocal;
  LocalIndex relayed_v6 = kNotLocal;
  HeaderTemplate to_client;  // from the listening address to the client
};
static_assert(sizeof(LegRecord) == 128);

// A peer's address that may exchange packets with a leg.
struct alignas(64) PermissionRecord {
  using Key = PeerKey;
  static constexpr int kHotLines = 1;

  PeerKey key;
  std::atomic<CoarseTime> ends = 0;  // control writes, workers read
  HeaderTemplate to_peer;            // from the leg's relayed address; destination port 0
};
static_assert(sizeof(PermissionRecord) == 128);

// A channel as the peer's packets find it.
struct alignas(64) PeerRecord {
  using Key = PeerKey;
  static constexpr int kHotLines = 1;

  PeerKey key;
  std::atomic<CoarseTime> permission_ends = 0;  // control writes, workers read
  std::atomic<CoarseTime> channel_ends = 0;     // control writes, workers read
  uint16_t channel = 0;
};
static_assert(sizeof(PeerRecord) == 64);

// A channel as the client's packets find it: a complete way out. All that an IPv4 packet needs on
// it stands in the first cache line.
struct alignas(64) ChannelRecord {
  using Key = ClientKey;
  static constexpr int kHotLines = 1;

  // Its rider: the channel's number on the other leg, if the two are fused; else 0, which is no
  // channel's number.
  ClientKey key;
  // While in the future, `out` and the rider rewrite the packet at once. With a peer outside: the
  // channel is bound. With a leg of this relay: both legs have bound each other and may talk. Past:
  // go the long way, which judges everything itself.
  std::atomic<CoarseTime> direct_until = 0;  // control writes, workers read
  // With a peer outside: from the leg's relayed address to the peer. With a leg of this relay: from
  // the other leg's listening address to its client, if the two are fused.
  HeaderTemplate out;
  std::atomic<CoarseTime> ends = 0;  // control writes, workers read
  const LegRecord* leg = nullptr;    // lives as long as this record
  uint16_t peer_port = 0;
  LocalIndex peer_local = kNotLocal;  // the peer is a relayed address of this relay

  uint16_t out_channel() const { return key.rider; }
};
static_assert(sizeof(ChannelRecord) == 128);
static_assert(offsetof(ChannelRecord, out) + offsetof(HeaderTemplate, bytes) + kIpv4HeaderSize +
                  kUdpHeaderSize <=
              64);

inline ClientKey MakeClientKey(const relay::IpAddress& ip, uint16_t port, uint16_t channel,
                               ListenerIndex listener) {
  ClientKey key;
  std::memcpy(key.ip, ip.raw().data(), 16);
  key.port = port;
  key.channel = channel;
  key.listener = listener;
  key.family = static_cast<uint8_t>(ip.family());
  return key;
}

inline PeerKey MakePeerKey(relay::LegId leg, const relay::IpAddress& ip, uint16_t port) {
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
    return {address, 0, tail | uint64_t{static_cast<uint8_t>(relay::IpFamily::kV4)} << 40};
  }
  uint64_t address[2];
  std::memcpy(address, ip + 8, 16);
  return {address[0], address[1],
          tail | uint64_t{static_cast<uint8_t>(relay::IpFamily::kV6)} << 40};
}

inline KeyWords<PeerKey> PeerWords(relay::LegId leg, const uint8_t* frame,
                                   const ParsedFrame& parsed, uint16_t port) {
  const uint8_t* ip = frame + parsed.ip_offset;
  const uint64_t tail = uint64_t{leg} | uint64_t{port} << 32;
  if (parsed.v4) [[likely]] {
    uint32_t address;
    std::memcpy(&address, ip + 12, 4);
    return {address, 0, tail | uint64_t{static_cast<uint8_t>(relay::IpFamily::kV4)} << 48};
  }
  uint64_t address[2];
  std::memcpy(address, ip + 8, 16);
  return {address[0], address[1],
          tail | uint64_t{static_cast<uint8_t>(relay::IpFamily::kV6)} << 48};
}

}  // namespace sotto::dataplane
