// What workers find in the tables. Control is the only writer: a record is filled in before it is
// published and afterwards changed only in its atomic fields; it is reused after every worker has
// passed a quiescent state.
#pragma once

#include <atomic>
#include <cstdint>
#include <cstring>

#include "dataplane/packet/header_template.h"
#include "dataplane/packet/local_addresses.h"
#include "dataplane/table/coarse_time.h"
#include "relay/forwarding.h"
#include "relay/wire/ip_address.h"

namespace sotto::dataplane {

// Key of a client, or of one of its channels. Compared and hashed as bytes.
struct ClientKey {
  uint8_t ip[16] = {};  // IPv4 in the first 4, the rest zero
  uint16_t port = 0;
  uint16_t channel = 0;  // 0: the client itself
  ListenerIndex listener = 0;
  uint8_t family = 0;
  uint16_t zero = 0;
};
static_assert(sizeof(ClientKey) == 24);

// Key of a peer as one leg sees it: with a port, a channel; with port 0, the permission.
struct PeerKey {
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

// A leg: how to reach its client, and what it relays for.
struct alignas(64) LegRecord {
  HeaderTemplate to_client;  // from the listening address to the client
  relay::LegId id = 0;
  std::atomic<CoarseTime> ends = 0;  // control writes, workers read
  AtomicCallSide call;
  uint16_t relayed_v4_port = 0;  // 0: no relayed address of the family
  uint16_t relayed_v6_port = 0;
  LocalIndex relayed_v4 = kNotLocal;
  LocalIndex relayed_v6 = kNotLocal;
};

// A peer's address that may exchange packets with a leg.
struct alignas(64) PermissionRecord {
  HeaderTemplate to_peer;            // from the leg's relayed address; destination port 0
  std::atomic<CoarseTime> ends = 0;  // control writes, workers read
};

// A channel as the peer's packets find it.
struct alignas(16) PeerRecord {
  std::atomic<CoarseTime> permission_ends = 0;  // control writes, workers read
  std::atomic<CoarseTime> channel_ends = 0;     // control writes, workers read
  uint16_t channel = 0;
};

// A channel as the client's packets find it: a complete way out.
struct alignas(64) ChannelRecord {
  // With a peer outside: from the leg's relayed address to the peer. With a peer that is a leg of
  // this relay: from the other leg's listening address to its client, if the two are fused.
  HeaderTemplate out;
  // While in the future: both legs have bound each other, may talk, and `out` and `out_channel`
  // rewrite the packet at once. Past: go the long way, which judges everything itself.
  std::atomic<CoarseTime> fused_until = 0;  // control writes, workers read
  std::atomic<CoarseTime> ends = 0;         // control writes, workers read
  const LegRecord* leg = nullptr;           // lives as long as this record
  uint16_t out_channel = 0;
  uint16_t peer_port = 0;
  LocalIndex peer_local = kNotLocal;  // the peer is a relayed address of this relay
};

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

}  // namespace sotto::dataplane
