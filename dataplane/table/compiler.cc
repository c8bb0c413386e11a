#include "dataplane/table/compiler.h"

#include <algorithm>

#include "fmt/format.h"

namespace sotto::dataplane {
namespace {

using relay::TransportAddress;

uint32_t TowardsKey(LocalIndex local, uint16_t port) { return (uint32_t{local} << 16) | port; }

absl::Status TableFull(const char* what) {
  return absl::ResourceExhaustedError(
      fmt::format("the table of {} is full; raise [dataplane] max_allocations", what));
}

const std::optional<TransportAddress>& RelayedOf(const relay::ForwardingLeg& leg,
                                                 relay::IpFamily family) {
  return family == relay::IpFamily::kV4 ? leg.relayed_v4 : leg.relayed_v6;
}

}  // namespace

ForwardingCompiler::ForwardingCompiler(const LocalAddresses& locals, Neighbors& neighbors,
                                       Tables& tables, uint32_t max_legs)
    : locals_(locals), neighbors_(neighbors), tables_(tables), legs_(max_legs) {
  tables_.OnHopReleased([this](NextHopId hop) { neighbors_.Release(hop); });
}

ForwardingCompiler::~ForwardingCompiler() {
  for (relay::LegId id = 0; id < legs_.size(); ++id) RemoveLeg(id);
  tables_.ReclaimAll();
}

ForwardingCompiler::LegState* ForwardingCompiler::Find(relay::LegId id) {
  if (id >= legs_.size() || legs_[id].record == nullptr) return nullptr;
  return &legs_[id];
}

ForwardingCompiler::PermissionState* ForwardingCompiler::Find(LegState& leg,
                                                              const relay::IpAddress& peer) {
  for (PermissionState& permission : leg.permissions) {
    if (permission.peer == peer) return &permission;
  }
  return nullptr;
}

ForwardingCompiler::ChannelState* ForwardingCompiler::Find(LegState& leg, uint16_t number) {
  for (ChannelState& channel : leg.channels) {
    if (channel.number == number) return &channel;
  }
  return nullptr;
}

ForwardingCompiler::ChannelState* ForwardingCompiler::FindByPeer(LegState& leg,
                                                                 const TransportAddress& peer) {
  for (ChannelState& channel : leg.channels) {
    if (channel.peer == peer) return &channel;
  }
  return nullptr;
}

absl::StatusOr<NextHopId> ForwardingCompiler::AcquireHop(const relay::IpAddress& destination) {
  absl::StatusOr<NextHopId> hop = neighbors_.Acquire(destination);
  if (absl::IsNotFound(hop.status())) return kNoNextHop;
  return hop;
}

void ForwardingCompiler::ReleaseHop(NextHopId hop) {
  // A worker may be sending to it still.
  if (hop != kNoNextHop) tables_.RetireHop(hop);
}

// --- Legs ----------------------------------------------------------------------------------------

absl::Status ForwardingCompiler::Upsert(const relay::ForwardingLeg& leg) {
  if (leg.id >= legs_.size()) return TableFull("allocations");
  LegState& state = legs_[leg.id];
  if (state.record == nullptr) return AddLeg(leg);
  if (state.leg.path != leg.path || state.leg.relayed_v4 != leg.relayed_v4 ||
      state.leg.relayed_v6 != leg.relayed_v6) {
    return ReplaceLeg(state, leg);
  }
  state.leg = leg;
  state.record->call.Store(leg.call);
  UpdateEnds(state);
  FuseChannelsTowards(state);
  return absl::OkStatus();
}

absl::Status ForwardingCompiler::AddLeg(const relay::ForwardingLeg& leg) {
  LegState& state = legs_[leg.id];
  const LocalIndex listen_local = locals_.Find(leg.path.server.ip);
  const ListenerIndex listener = listen_local == kNotLocal
                                     ? kNoListener
                                     : locals_.FindListener(listen_local, leg.path.server.port);
  if (listener == kNoListener) {
    return absl::InvalidArgumentError(
        fmt::format("{} is no listening address of this relay", leg.path.server.ToString()));
  }
  absl::StatusOr<NextHopId> hop = AcquireHop(leg.path.client.ip);
  if (!hop.ok()) return hop.status();
  LegRecord* record = tables_.TakeLeg();
  if (record == nullptr) {
    ReleaseHop(*hop);
    return TableFull("allocations");
  }
  record->to_client = HeaderTemplate(leg.path.server, leg.path.client, *hop);
  record->id = leg.id;
  record->ends.store(CoarseEnd(leg.expires_at), std::memory_order_relaxed);
  record->call.Store(leg.call);
  if (leg.relayed_v4) {
    record->relayed_v4 = locals_.Find(leg.relayed_v4->ip);
    record->relayed_v4_port = leg.relayed_v4->port;
  }
  if (leg.relayed_v6) {
    record->relayed_v6 = locals_.Find(leg.relayed_v6->ip);
    record->relayed_v6_port = leg.relayed_v6->port;
  }
  record->key = MakeClientKey(leg.path.client.ip, leg.path.client.port, 0, listener);
  if (!tables_.Publish(record)) {
    ReleaseHop(*hop);
    tables_.Discard(record);
    return TableFull("clients");
  }
  if (leg.relayed_v4) {
    tables_.PublishRelayed(record->relayed_v4, record->relayed_v4_port, record);
  }
  if (leg.relayed_v6) {
    tables_.PublishRelayed(record->relayed_v6, record->relayed_v6_port, record);
  }
  state.leg = leg;
  state.record = record;
  state.serial = ++last_serial_;
  state.listener = listener;
  FuseChannelsTowards(state);
  return absl::OkStatus();
}

// A leg that lost a relayed address, or whose client moved: everything that stands on it is made
// anew.
absl::Status ForwardingCompiler::ReplaceLeg(LegState& state, const relay::ForwardingLeg& leg) {
  std::vector<relay::ForwardingPermission> permissions;
  for (const PermissionState& p : state.permissions) {
    permissions.push_back({leg.id, p.peer, p.expires_at});
  }
  std::vector<relay::ForwardingChannel> channels;
  for (const ChannelState& c : state.channels) {
    channels.push_back({leg.id, c.number, c.peer, c.expires_at});
  }
  RemoveLeg(leg.id);
  if (absl::Status status = AddLeg(leg); !status.ok()) return status;
  for (const auto& permission : permissions) {
    if (!RelayedOf(leg, permission.peer.family())) continue;
    if (absl::Status status = Upsert(permission); !status.ok()) return status;
  }
  for (const auto& channel : channels) {
    if (!RelayedOf(leg, channel.peer.ip.family())) continue;
    if (absl::Status status = Upsert(channel); !status.ok()) return status;
  }
  return absl::OkStatus();
}

void ForwardingCompiler::RemoveLeg(relay::LegId id) {
  LegState* state = Find(id);
  if (state == nullptr) return;
  LegRecord* record = state->record;
  const relay::ForwardingLeg& leg = state->leg;
  if (leg.relayed_v4) tables_.WithdrawRelayed(record->relayed_v4, record->relayed_v4_port);
  if (leg.relayed_v6) tables_.WithdrawRelayed(record->relayed_v6, record->relayed_v6_port);
  FuseChannelsTowards(*state);
  for (ChannelState& channel : state->channels) Remove(*state, channel);
  for (PermissionState& permission : state->permissions) Remove(permission);
  ReleaseHop(record->to_client.next_hop);
  tables_.Retire(record);
  *state = LegState();
}

void ForwardingCompiler::List(const std::function<void(const relay::ForwardingLeg&)>& visit) const {
  for (const LegState& state : legs_) {
    if (state.record != nullptr) visit(state.leg);
  }
}

// --- Permissions ---------------------------------------------------------------------------------

absl::Status ForwardingCompiler::Upsert(const relay::ForwardingPermission& permission) {
  LegState* leg = Find(permission.leg);
  if (leg == nullptr) return absl::NotFoundError("a permission of an unknown leg");
  PermissionState* state = Find(*leg, permission.peer);
  if (state == nullptr) {
    if (absl::Status status = AddPermission(*leg, permission); !status.ok()) return status;
    state = &leg->permissions.back();
  }
  state->expires_at = permission.expires_at;
  const CoarseTime ends = CoarseEnd(permission.expires_at);
  state->record->ends.store(ends, std::memory_order_relaxed);
  for (ChannelState& channel : leg->channels) {
    if (channel.peer.ip == permission.peer) {
      channel.peer_record->permission_ends.store(ends, std::memory_order_relaxed);
    }
  }
  FuseChannelsTowards(*leg);
  return absl::OkStatus();
}

absl::Status ForwardingCompiler::AddPermission(LegState& leg,
                                               const relay::ForwardingPermission& permission) {
  const std::optional<TransportAddress>& relayed = RelayedOf(leg.leg, permission.peer.family());
  if (!relayed) return absl::InvalidArgumentError("a permission of a family that is not relayed");
  NextHopId hop = kNoNextHop;  // a peer behind this relay is reached inside it
  if (locals_.Find(permission.peer) == kNotLocal) {
    absl::StatusOr<NextHopId> acquired = AcquireHop(permission.peer);
    if (!acquired.ok()) return acquired.status();
    hop = *acquired;
  }
  PermissionRecord* record = tables_.TakePermission();
  if (record == nullptr) {
    ReleaseHop(hop);
    return TableFull("permissions");
  }
  record->to_peer = HeaderTemplate(*relayed, {permission.peer, 0}, hop);
  record->ends.store(CoarseEnd(permission.expires_at), std::memory_order_relaxed);
  record->key = MakePeerKey(permission.leg, permission.peer, 0);
  if (!tables_.Publish(record)) {
    ReleaseHop(hop);
    tables_.Discard(record);
    return TableFull("permissions");
  }
  leg.permissions.push_back({permission.peer, permission.expires_at, record});
  return absl::OkStatus();
}

void ForwardingCompiler::RemovePermission(relay::LegId id, const relay::IpAddress& peer) {
  LegState* leg = Find(id);
  PermissionState* permission = leg == nullptr ? nullptr : Find(*leg, peer);
  if (permission == nullptr) return;
  for (ChannelState& channel : leg->channels) {
    if (channel.peer.ip == peer) {
      channel.peer_record->permission_ends.store(0, std::memory_order_relaxed);
    }
  }
  Remove(*permission);
  *permission = leg->permissions.back();
  leg->permissions.pop_back();
  FuseChannelsTowards(*leg);
}

void ForwardingCompiler::Remove(PermissionState& permission) {
  ReleaseHop(permission.record->to_peer.next_hop);
  tables_.Retire(permission.record);
}

// --- Channels ------------------------------------------------------------------------------------

absl::Status ForwardingCompiler::Upsert(const relay::ForwardingChannel& channel) {
  LegState* leg = Find(channel.leg);
  if (leg == nullptr) return absl::NotFoundError("a channel of an unknown leg");
  ChannelState* state = Find(*leg, channel.number);
  if (state != nullptr && state->peer != channel.peer) {
    RemoveChannel(channel.leg, channel.number);
    state = nullptr;
  }
  if (state == nullptr) {
    if (absl::Status status = AddChannel(*leg, channel); !status.ok()) return status;
    state = &leg->channels.back();
  }
  state->expires_at = channel.expires_at;
  state->peer_record->channel_ends.store(CoarseEnd(channel.expires_at), std::memory_order_relaxed);
  UpdateEnds(*leg);
  FuseChannelsTowards(*leg);
  return absl::OkStatus();
}

absl::Status ForwardingCompiler::AddChannel(LegState& leg,
                                            const relay::ForwardingChannel& channel) {
  const std::optional<TransportAddress>& relayed = RelayedOf(leg.leg, channel.peer.ip.family());
  if (!relayed) return absl::InvalidArgumentError("a channel of a family that is not relayed");
  const LocalIndex peer_local = locals_.Find(channel.peer.ip);
  NextHopId hop = kNoNextHop;
  if (peer_local == kNotLocal) {
    absl::StatusOr<NextHopId> acquired = AcquireHop(channel.peer.ip);
    if (!acquired.ok()) return acquired.status();
    hop = *acquired;
  }
  ChannelRecord* record = tables_.TakeChannel();
  PeerRecord* peer_record = tables_.TakePeer();
  const auto give_back = [&] {
    ReleaseHop(hop);
    if (record != nullptr) tables_.Discard(record);
    if (peer_record != nullptr) tables_.Discard(peer_record);
  };
  if (record == nullptr || peer_record == nullptr) {
    give_back();
    return TableFull("channels");
  }
  record->leg = leg.record;
  record->peer_local = peer_local;
  record->peer_port = channel.peer.port;
  if (peer_local == kNotLocal) record->out = HeaderTemplate(*relayed, channel.peer, hop);
  peer_record->channel = channel.number;
  const PermissionState* permission = Find(leg, channel.peer.ip);
  peer_record->permission_ends.store(permission == nullptr ? 0 : CoarseEnd(permission->expires_at),
                                     std::memory_order_relaxed);
  peer_record->channel_ends.store(CoarseEnd(channel.expires_at), std::memory_order_relaxed);

  const TransportAddress& client = leg.leg.path.client;
  record->key = MakeClientKey(client.ip, client.port, channel.number, leg.listener);
  peer_record->key = MakePeerKey(channel.leg, channel.peer.ip, channel.peer.port);
  if (!tables_.Publish(record)) {
    give_back();
    return TableFull("channels");
  }
  if (!tables_.Publish(peer_record)) {
    // Workers may have seen the channel already: it goes the way of a retired one.
    tables_.Retire(record);
    record = nullptr;
    give_back();
    return TableFull("channels");
  }
  leg.channels.push_back(
      {channel.peer, channel.expires_at, record, peer_record, 0, channel.number, false});
  if (peer_local != kNotLocal) {
    towards_[TowardsKey(peer_local, channel.peer.port)].push_back({channel.leg, channel.number});
  }
  return absl::OkStatus();
}

void ForwardingCompiler::RemoveChannel(relay::LegId id, uint16_t number) {
  LegState* leg = Find(id);
  ChannelState* channel = leg == nullptr ? nullptr : Find(*leg, number);
  if (channel == nullptr) return;
  Remove(*leg, *channel);
  *channel = leg->channels.back();
  leg->channels.pop_back();
  FuseChannelsTowards(*leg);
}

void ForwardingCompiler::Remove(LegState& leg, ChannelState& channel) {
  if (channel.record->peer_local == kNotLocal) {
    ReleaseHop(channel.record->out.next_hop);
  } else {
    const auto towards =
        towards_.find(TowardsKey(channel.record->peer_local, channel.record->peer_port));
    std::vector<ChannelRef>& refs = towards->second;
    refs.erase(std::find(refs.begin(), refs.end(), ChannelRef{leg.leg.id, channel.number}));
    if (refs.empty()) towards_.erase(towards);
  }
  if (channel.fused_now) --fused_;
  tables_.Retire(channel.record);
  tables_.Retire(channel.peer_record);
}

void ForwardingCompiler::UpdateEnds(LegState& leg) {
  leg.record->ends.store(CoarseEnd(leg.leg.expires_at), std::memory_order_relaxed);
  for (ChannelState& channel : leg.channels) {
    const CoarseTime ends = CoarseEnd(std::min(channel.expires_at, leg.leg.expires_at));
    channel.record->ends.store(ends, std::memory_order_relaxed);
    if (channel.record->peer_local == kNotLocal) {
      channel.record->direct_until.store(ends, std::memory_order_release);
    }
    Fuse(leg, channel);
  }
}

// --- Fusing --------------------------------------------------------------------------------------

void ForwardingCompiler::FuseChannelsTowards(const LegState& leg) {
  const auto fuse = [&](LocalIndex local, uint16_t port) {
    const auto towards = towards_.find(TowardsKey(local, port));
    if (towards == towards_.end()) return;
    for (const ChannelRef& ref : towards->second) {
      LegState* other = Find(ref.leg);
      if (other != nullptr) Fuse(*other, *Find(*other, ref.number));
    }
  };
  if (leg.leg.relayed_v4) fuse(leg.record->relayed_v4, leg.record->relayed_v4_port);
  if (leg.leg.relayed_v6) fuse(leg.record->relayed_v6, leg.record->relayed_v6_port);
}

void ForwardingCompiler::FillFused(ChannelRecord& record, const LegState& other,
                                   const ChannelState& back) {
  record.out = other.record->to_client;
  record.key.rider = back.number;
}

void ForwardingCompiler::Fuse(LegState& leg, ChannelState& channel) {
  ChannelRecord* record = channel.record;
  if (record->peer_local == kNotLocal) return;
  const auto unfuse = [&] {
    record->direct_until.store(0, std::memory_order_release);
    if (channel.fused_now) --fused_;
    channel.fused_now = false;
  };
  const LegRecord* target = tables_.FindRelayed(record->peer_local, record->peer_port);
  if (target == nullptr) return unfuse();
  LegState& other = legs_[target->id];
  const TransportAddress& self = *RelayedOf(leg.leg, channel.peer.ip.family());
  const PermissionState* permission = Find(other, self.ip);
  const ChannelState* back = FindByPeer(other, self);
  if (permission == nullptr || back == nullptr ||
      !relay::CallsConnect(leg.leg.call, other.leg.call)) {
    return unfuse();
  }
  const CoarseTime until =
      CoarseEnd(std::min({leg.leg.expires_at, channel.expires_at, other.leg.expires_at,
                          permission->expires_at, back->expires_at}));
  if (channel.fused_with != other.serial || record->out_channel() != back->number) {
    if (channel.fused_with != 0) {
      // Workers may be reading the old rewrite: the new one goes into a record of its own.
      ChannelRecord* fresh = tables_.TakeChannel();
      if (fresh == nullptr) return unfuse();
      fresh->ends.store(record->ends.load(std::memory_order_relaxed), std::memory_order_relaxed);
      fresh->leg = record->leg;
      fresh->peer_local = record->peer_local;
      fresh->peer_port = record->peer_port;
      fresh->key = record->key;
      FillFused(*fresh, other, *back);
      tables_.Publish(fresh);
      tables_.Retire(record);
      channel.record = record = fresh;
    } else {
      FillFused(*record, other, *back);
    }
    channel.fused_with = other.serial;
  }
  record->direct_until.store(until, std::memory_order_release);
  if (!channel.fused_now) ++fused_;
  channel.fused_now = true;
}

}  // namespace sotto::dataplane
