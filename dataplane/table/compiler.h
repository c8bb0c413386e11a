// Compiles what the TURN server says (legs, permissions, channels) into the records that workers
// read. The only writer of the tables; control thread only.
//
// The hairpin is the main road: when a leg's channel leads to a relayed address of another leg of
// this relay, and that leg has bound a channel back, the two are fused into one record that
// rewrites A's packet into what B's client gets. Any change on either leg recompiles it. A fused
// record is an optimization with a time limit (the earliest end of everything it stands on); past
// it, workers go the long way through both legs, which is the truth.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "dataplane/l3/neighbors.h"
#include "dataplane/packet/local_addresses.h"
#include "dataplane/table/tables.h"
#include "relay/forwarding.h"

namespace sotto::dataplane {

class ForwardingCompiler final : public relay::ForwardingPlane {
 public:
  // All must outlive the compiler. `max_legs` bounds LegId.
  ForwardingCompiler(const LocalAddresses& locals, Neighbors& neighbors, Tables& tables,
                     uint32_t max_legs);
  ~ForwardingCompiler() override;

  absl::Status Upsert(const relay::ForwardingLeg& leg) override;
  absl::Status Upsert(const relay::ForwardingPermission& permission) override;
  absl::Status Upsert(const relay::ForwardingChannel& channel) override;
  void RemoveLeg(relay::LegId leg) override;
  void RemovePermission(relay::LegId leg, const relay::IpAddress& peer) override;
  void RemoveChannel(relay::LegId leg, uint16_t number) override;
  void List(const std::function<void(const relay::ForwardingLeg&)>& visit) const override;

  // Channels that are fused with another leg's at the moment.
  uint32_t fused_channels() const { return fused_; }

 private:
  struct PermissionState {
    relay::IpAddress peer;
    relay::MonotonicMs expires_at;
    PermissionRecord* record;
  };
  struct ChannelState {
    relay::TransportAddress peer;
    relay::MonotonicMs expires_at;
    ChannelRecord* record;
    PeerRecord* peer_record;
    // The LegState::serial that record->out was made for; 0: it was never fused.
    uint64_t fused_with;
    uint16_t number;
    bool fused_now;
  };
  struct LegState {
    relay::ForwardingLeg leg;
    LegRecord* record = nullptr;  // null: the slot is free
    uint64_t serial = 0;          // of this leg, unlike any other's
    ListenerIndex listener = kNoListener;
    std::vector<PermissionState> permissions;
    std::vector<ChannelState> channels;
  };
  struct ChannelRef {
    relay::LegId leg;
    uint16_t number;
    bool operator==(const ChannelRef&) const = default;
  };

  LegState* Find(relay::LegId id);
  static PermissionState* Find(LegState& leg, const relay::IpAddress& peer);
  static ChannelState* Find(LegState& leg, uint16_t number);
  static ChannelState* FindByPeer(LegState& leg, const relay::TransportAddress& peer);

  absl::Status AddLeg(const relay::ForwardingLeg& leg);
  absl::Status ReplaceLeg(LegState& state, const relay::ForwardingLeg& leg);
  absl::Status AddPermission(LegState& leg, const relay::ForwardingPermission& permission);
  absl::Status AddChannel(LegState& leg, const relay::ForwardingChannel& channel);
  void Remove(PermissionState& permission);
  void Remove(LegState& leg, ChannelState& channel);

  // Decides anew whether the channel is fused with the leg it leads to, and until when.
  void Fuse(LegState& leg, ChannelState& channel);
  // What a worker rewrites with, once the two are fused.
  static void FillFused(ChannelRecord& record, const LegState& other, const ChannelState& back);
  // The same for every channel of any leg that leads to a relayed address of this one.
  void FuseChannelsTowards(const LegState& leg);
  // Ends of a leg's channels follow the leg's own.
  void UpdateEnds(LegState& leg);

  // The next hop for packets to `destination`, or kNoNextHop where there is no route: such packets
  // are dropped under their reason, as a router without a route would.
  absl::StatusOr<NextHopId> AcquireHop(const relay::IpAddress& destination);
  void ReleaseHop(NextHopId hop);

  const LocalAddresses& locals_;
  Neighbors& neighbors_;
  Tables& tables_;
  std::vector<LegState> legs_;  // by LegId
  // Channels by the own relayed address that they lead to: (LocalIndex << 16) | port.
  absl::flat_hash_map<uint32_t, std::vector<ChannelRef>> towards_;
  uint64_t last_serial_ = 0;
  uint32_t fused_ = 0;
};

}  // namespace sotto::dataplane
