// SPDX-License-Identifier: Apache-2.0
// The relay's neighbors: which MAC address each next hop has, resolved and kept fresh by ARP
// (RFC 826, RFC 5227) and neighbor discovery (RFC 4861).
//
// A next hop exists while somebody holds a reference to it, and gateways are held always. A packet
// from outside never creates one, so a flood of ARP or neighbor messages takes no memory. Workers
// forward through a next hop without telling, so each one counts as in use and is probed once its
// reachable time is over: a neighbor that changed its MAC address without a word is noticed within
// reachable_ms plus max_unicast retransmissions.
//
// Control thread only; what workers see of it is the NextHopTable. The clock is that of the last
// Tick().
#pragma once

#include <array>
#include <cstdint>
#include <deque>
#include <functional>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/container/btree_set.h"
#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"
#include "dataplane/l3/event.h"
#include "dataplane/l3/frame_sender.h"
#include "dataplane/l3/interface.h"
#include "dataplane/l3/next_hop.h"
#include "relay/base/ip_address.h"

namespace sotto::dataplane {

struct EthernetFrame;  // dataplane/l3/headers.h
struct IpPacket;

// RFC 4861, section 7.3.2, and UNREACHABLE of RFC 7048. Workers have a MAC address to send to in
// all states but kIncomplete and kFailed.
enum class NeighborState : uint8_t {
  kIncomplete,   // asked by broadcast or multicast, not answered yet
  kReachable,    // answered within the reachable time
  kStale,        // told its MAC address unasked; a probe follows
  kProbe,        // asked by unicast
  kUnreachable,  // unicast went unanswered; asked by broadcast or multicast, the old MAC in use
  kFailed,       // nobody answers; asked again at growing intervals
};
std::string_view NeighborStateName(NeighborState state);

struct NeighborOptions {
  // Each entry's time is drawn from the upper half, so that probes don't come in bursts.
  uint32_t reachable_ms = 10'000;
  uint32_t retransmit_ms = 1'000;
  uint32_t max_unicast = 3;
  uint32_t max_multicast = 3;
  uint32_t max_backoff_ms = 30'000;            // between questions about a failed next hop
  uint32_t max_held_per_hop = 8;               // frames; a further one replaces the oldest
  uint32_t max_held = 1024;                    // frames, over all next hops
  uint32_t solicitations_per_second = 10'000;  // over all next hops; what is beyond waits
};

struct NeighborCounters {
  uint64_t solicitations = 0;  // sent, probes too
  uint64_t resolved = 0;
  uint64_t changed = 0;  // a known MAC address became another one
  uint64_t failed = 0;
  uint64_t held = 0;  // frames
  uint64_t held_sent = 0;
  uint64_t dropped_unresolved =
      0;  // frames: their next hop failed, was released, or has failed before
  uint64_t dropped_held_full = 0;  // frames: no room to hold them
  uint64_t table_full = 0;
};

// What an operator sees of a next hop.
struct NeighborInfo {
  NextHopId id = kNoNextHop;
  InterfaceId interface = 0;
  IpAddress ip;
  NeighborState state = NeighborState::kIncomplete;
  MacAddress mac;       // zero if not resolved
  uint64_t age_ms = 0;  // since it was last confirmed, or else since it came to be
  uint32_t references = 0;
  bool gateway = false;
};

class Neighbors {
 public:
  // All three must outlive it. `next_hops` must be empty; a capacity of N serves N - 1 next hops.
  // The first Tick() asks for the gateways.
  Neighbors(const InterfaceTable& interfaces, NextHopTable& next_hops, FrameSender& sender,
            NeighborOptions options = {});

  // Routes the destination and takes a reference to its next hop; asks for its MAC address at once
  // if it is new. NOT_FOUND if no route leads there, RESOURCE_EXHAUSTED if the table is full.
  absl::StatusOr<NextHopId> Acquire(const IpAddress& destination);

  // Gives a reference back. With the last one the id may be handed out again at once, so no worker
  // may still hold it: release after a grace period.
  void Release(NextHopId id);

  // Keeps a copy of a frame until its next hop is resolved, then writes the MAC address into its
  // first six bytes and sends it. Sends at once if it is resolved by now. False if the frame was
  // dropped: the next hop is known to have failed, or there is no room. The caller holds a
  // reference to `id`.
  bool Hold(NextHopId id, std::span<const uint8_t> frame);

  // Retransmits, probes, gives up; looks at no more than `budget` next hops, and at none that isn't
  // due. Call it every few milliseconds.
  void Tick(uint64_t now_ms, uint32_t budget = 256);

  // Tells the links of the relay's addresses (RFC 5227, section 2.3; RFC 4861, section 7.2.6; MLDv2
  // reports for the groups at which solicitations arrive). Tick() repeats it once, 2 s later.
  void AnnounceAddresses();

  // `frame.payload` is an ARP packet.
  L3Event HandleArp(InterfaceId interface, const EthernetFrame& frame);
  // `packet` is an ICMPv6 neighbor solicitation or advertisement.
  L3Event HandleSolicitation(InterfaceId interface, const EthernetFrame& frame,
                             const IpPacket& packet);
  L3Event HandleAdvertisement(InterfaceId interface, const EthernetFrame& frame,
                              const IpPacket& packet);
  // Answers a multicast listener query with the interface's groups.
  L3Event HandleListenerQuery(InterfaceId interface, const IpPacket& packet);

  // Visits every next hop, in no order. `visit` must not change anything here.
  void ForEach(const std::function<void(const NeighborInfo&)>& visit) const;

  const NeighborCounters& counters() const { return counters_; }
  uint32_t size() const { return static_cast<uint32_t>(by_address_.size()); }
  uint32_t held() const { return held_total_; }

 private:
  struct Entry {
    IpAddress ip = {};
    MacAddress mac = {};
    InterfaceId interface = 0;
    NeighborState state = NeighborState::kIncomplete;
    bool gateway = false;
    uint8_t attempts = 0;     // questions asked in this state
    uint32_t references = 0;  // 0: the entry is free
    uint32_t backoff_ms = 0;
    uint64_t confirmed_ms = 0;
    uint64_t deadline_ms = 0;
  };
  using Key = std::pair<InterfaceId, IpAddress>;

  // What a neighbor said about itself.
  struct Claim {
    MacAddress mac = {};
    bool solicited = false;  // an answer
    bool override = true;    // may replace a MAC address that is known
  };

  absl::StatusOr<NextHopId> AcquireRoute(const Route& route);
  L3Event Learn(InterfaceId interface, const IpAddress& ip, const Claim& claim);
  void Confirm(NextHopId id);
  void Enter(NextHopId id, NeighborState state, uint64_t delay_ms);
  void SetMac(NextHopId id, const MacAddress& mac);
  void OnDeadline(NextHopId id);
  void Ask(NextHopId id);
  bool Solicit(const Entry& entry);
  void Announce(InterfaceId interface);
  bool SendListenerReport(InterfaceId interface, bool joining);
  void DefendAddress(InterfaceId interface);
  void SendHeld(NextHopId id);
  void DropHeld(NextHopId id);
  void Schedule(NextHopId id, uint64_t deadline_ms);
  uint64_t ReachableTime(NextHopId id) const;

  const InterfaceTable& interfaces_;
  NextHopTable& next_hops_;
  FrameSender& sender_;
  const NeighborOptions options_;

  uint64_t now_ms_ = 0;
  std::vector<Entry> entries_;  // by NextHopId; grows to the table's capacity
  std::vector<NextHopId> free_;
  absl::flat_hash_map<Key, NextHopId> by_address_;
  absl::btree_set<std::pair<uint64_t, NextHopId>> deadlines_;  // each entry in use, once
  absl::flat_hash_map<NextHopId, std::deque<std::vector<uint8_t>>> held_;
  uint32_t held_total_ = 0;
  uint64_t solicitation_tokens_ms_ = 0;  // tokens times 1000
  uint64_t tokens_updated_ms_ = 0;
  uint64_t announce_again_ms_ = 0;                         // 0: not due
  std::array<uint64_t, kMaxInterfaces> defended_ms_ = {};  // 0: never
  std::array<uint64_t, kMaxInterfaces> reported_ms_ = {};  // 0: never
  NeighborCounters counters_;
};

}  // namespace sotto::dataplane
