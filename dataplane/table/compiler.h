// SPDX-License-Identifier: Apache-2.0
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
#include <optional>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
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

  void SetRates(const relay::ForwardingRates& rates) override { tables_.meters().SetRates(rates); }
  absl::Status Upsert(const relay::ForwardingLeg& leg) override;
  absl::Status Upsert(const relay::ForwardingPermission& permission) override;
  absl::Status Upsert(const relay::ForwardingChannel& channel) override;
  void RemoveLeg(relay::LegId leg) override;
  void RemovePermission(relay::LegId leg, const IpAddress& peer) override;
  void RemoveChannel(relay::LegId leg, uint16_t number) override;
  void List(const std::function<void(const relay::ForwardingLeg&)>& visit) const override;

  // Channels that are fused with another leg's at the moment.
  uint32_t fused_channels() const { return fused_; }
  // Whether the leg has that channel, and it is one of them.
  bool IsFused(relay::LegId leg, uint16_t number) const;

 private:
  // What control knows of a leg stands in its records: they are chained to it by number, and their
  // ends, in coarse time, are all that it needs. So a leg costs four bytes here.
  LegRecord* Find(relay::LegId id);
  PermissionRecord* FindPermission(LegRecord& leg, const IpAddress& peer);
  ChannelRecord* FindChannel(LegRecord& leg, uint16_t number);
  template <typename Visit>
  void ForEachChannel(const LegRecord& leg, Visit visit);
  template <typename Visit>
  void ForEachPermission(const LegRecord& leg, Visit visit);

  // The listener that the leg's client sends to, if all of the leg's own addresses are this
  // relay's.
  absl::StatusOr<ListenerIndex> ListenerOf(const relay::ForwardingLeg& leg) const;
  absl::Status AddLeg(const relay::ForwardingLeg& leg);
  absl::Status ReplaceLeg(LegRecord& record, const relay::ForwardingLeg& leg);
  bool IsAt(const LegRecord& record, const relay::ForwardingLeg& leg) const;
  // The leg's relayed address of a family; nothing if it has none.
  std::optional<TransportAddress> RelayedOf(const LegRecord& leg, IpFamily family) const;
  RelayedSlot SlotOf(const LegRecord& leg, IpFamily family) const;

  absl::Status Permit(LegRecord& leg, const IpAddress& peer, CoarseTime ends);
  // The peer's record, made without a permission if there is none.
  absl::StatusOr<PermissionRecord*> TakePermission(LegRecord& leg, const IpAddress& peer);
  void Remove(LegRecord& leg, PermissionRecord* permission);

  absl::Status Bind(LegRecord& leg, uint16_t number, const TransportAddress& peer, CoarseTime ends);
  absl::Status AddChannel(LegRecord& leg, uint16_t number, const TransportAddress& peer,
                          CoarseTime ends);
  void Remove(LegRecord& leg, ChannelRecord* channel);
  ChannelDetails& DetailsAt(RecordNumber channel);
  PermissionRecord& PermissionOf(const ChannelRecord& channel);
  TransportAddress PeerOf(const ChannelRecord& channel);
  CoarseTime EndOf(const ChannelRecord& channel);  // its own, whatever its leg's is

  // Decides anew whether the channel is fused with the leg it leads to, and until when. May put
  // another record in its place.
  void Fuse(ChannelRecord* channel);
  // The same for every channel of any leg that leads to a relayed address of this one.
  void FuseChannelsTowards(const LegRecord& leg);
  // Ends of a leg's channels follow the leg's own.
  void UpdateEnds(LegRecord& leg);
  // The chains that a channel stands in.
  void Link(LegRecord& leg, ChannelRecord* channel);
  void Unlink(LegRecord& leg, ChannelRecord* channel);
  void LinkTowards(ChannelRecord* channel);
  void UnlinkTowards(ChannelRecord* channel);

  // The next hop for packets to `destination`, or kNoNextHop where there is no route: such packets
  // are dropped under their reason, as a router without a route would.
  absl::StatusOr<NextHopId> AcquireHop(const IpAddress& destination);
  void ReleaseHop(NextHopId hop);

  const LocalAddresses& locals_;
  Neighbors& neighbors_;
  Tables& tables_;
  std::vector<RecordNumber> legs_;     // by LegId; 0: there is none
  std::vector<RecordNumber> towards_;  // the first channel that leads to a RelayedSlot
  uint32_t fused_ = 0;
};

}  // namespace sotto::dataplane
