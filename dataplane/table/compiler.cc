// SPDX-License-Identifier: Apache-2.0
#include "dataplane/table/compiler.h"

#include <algorithm>

#include "dataplane/table/bound_channels.h"
#include "fmt/format.h"

namespace sotto::dataplane {
namespace {

absl::Status TableFull(const char* what) {
  return absl::ResourceExhaustedError(
      fmt::format("the table of {} is full; raise [dataplane] max_allocations", what));
}

absl::Status NotRelayed(const char* what) {
  return absl::InvalidArgumentError(fmt::format("a {} of a family that is not relayed", what));
}

template <typename Key>
IpAddress AddressOf(const Key& key) {
  return key.family == static_cast<uint8_t>(IpFamily::kV4)
             ? IpAddress::V4(std::span<const uint8_t, 4>(key.ip, 4))
             : IpAddress::V6(key.ip);
}

void Store(std::atomic<CoarseTime>& to, CoarseTime time) {
  to.store(time, std::memory_order_release);
}
CoarseTime Load(const std::atomic<CoarseTime>& from) {
  return from.load(std::memory_order_relaxed);
}

}  // namespace

ForwardingCompiler::ForwardingCompiler(const LocalAddresses& locals, Neighbors& neighbors,
                                       Tables& tables, uint32_t max_legs)
    : locals_(locals),
      neighbors_(neighbors),
      tables_(tables),
      legs_(max_legs),
      towards_(tables.relayed_slots()) {
  tables_.OnHopReleased([this](NextHopId hop) { neighbors_.Release(hop); });
}

ForwardingCompiler::~ForwardingCompiler() {
  for (relay::LegId id = 0; id < legs_.size(); ++id) RemoveLeg(id);
  tables_.ReclaimAll();
}

LegRecord* ForwardingCompiler::Find(relay::LegId id) {
  return id >= legs_.size() || legs_[id] == 0 ? nullptr : tables_.legs().At(legs_[id]);
}

template <typename Visit>
void ForwardingCompiler::ForEachPermission(const LegRecord& leg, Visit visit) {
  for (RecordNumber number = leg.first_permission; number != 0;) {
    PermissionRecord* permission = tables_.permissions().At(number);
    number = permission->next;  // `visit` may remove it
    visit(permission);
  }
}

template <typename Visit>
void ForwardingCompiler::ForEachChannel(const LegRecord& leg, Visit visit) {
  for (RecordNumber number = leg.first_channel; number != 0;) {
    ChannelRecord* channel = tables_.channels().At(number);
    number = tables_.DetailsOf(channel).next;
    visit(channel);
  }
}

PermissionRecord* ForwardingCompiler::FindPermission(LegRecord& leg, const IpAddress& peer) {
  return const_cast<PermissionRecord*>(tables_.permissions().Find(MakePeerKey(leg.id, peer, 0)));
}

bool ForwardingCompiler::IsFused(relay::LegId leg, uint16_t number) const {
  auto& self = const_cast<ForwardingCompiler&>(*this);
  LegRecord* const record = self.Find(leg);
  const ChannelRecord* const channel =
      record == nullptr ? nullptr : self.FindChannel(*record, number);
  return channel != nullptr && tables_.DetailsOf(channel).fused;
}

ChannelRecord* ForwardingCompiler::FindChannel(LegRecord& leg, uint16_t number) {
  ClientKey key = leg.key;
  key.channel = number;
  return const_cast<ChannelRecord*>(tables_.channels().Find(key));
}

absl::StatusOr<NextHopId> ForwardingCompiler::AcquireHop(const IpAddress& destination) {
  absl::StatusOr<NextHopId> hop = neighbors_.Acquire(destination);
  if (absl::IsNotFound(hop.status())) return kNoNextHop;
  return hop;
}

void ForwardingCompiler::ReleaseHop(NextHopId hop) {
  // A worker may be sending to it still.
  if (hop != kNoNextHop) tables_.RetireHop(hop);
}

// --- Legs ----------------------------------------------------------------------------------------

std::optional<TransportAddress> ForwardingCompiler::RelayedOf(const LegRecord& leg,
                                                              IpFamily family) const {
  const uint16_t port = leg.relayed_port(family);
  if (port == 0) return std::nullopt;
  return TransportAddress{locals_.RelayedIp(leg.id, leg.relayed_local(family)), port};
}

RelayedSlot ForwardingCompiler::SlotOf(const LegRecord& leg, IpFamily family) const {
  const uint16_t port = leg.relayed_port(family);
  if (port == 0) return kNoRelayed;
  return locals_.virtual_relayed() ? leg.id
                                   : locals_.RelayedSlotOf(leg.relayed_local(family), port);
}

bool ForwardingCompiler::IsAt(const LegRecord& record, const relay::ForwardingLeg& leg) const {
  return AddressOf(record.key) == leg.path.client.ip && record.key.port == leg.path.client.port &&
         locals_.listener(record.key.listener) == leg.path.server &&
         RelayedOf(record, IpFamily::kV4) == leg.relayed_v4 &&
         RelayedOf(record, IpFamily::kV6) == leg.relayed_v6;
}

absl::Status ForwardingCompiler::Upsert(const relay::ForwardingLeg& leg) {
  if (leg.id >= legs_.size()) return TableFull("allocations");
  LegRecord* record = Find(leg.id);
  if (record == nullptr) return AddLeg(leg);
  if (!IsAt(*record, leg)) return ReplaceLeg(*record, leg);
  tables_.meters().SetUser(tables_.NumberOf(record), leg.user);
  Store(record->ends, CoarseEnd(leg.expires_at));
  record->call.Store(leg.call);
  UpdateEnds(*record);
  FuseChannelsTowards(*record);
  return absl::OkStatus();
}

absl::StatusOr<ListenerIndex> ForwardingCompiler::ListenerOf(
    const relay::ForwardingLeg& leg) const {
  const LocalIndex listen_local = locals_.Find(leg.path.server.ip);
  const ListenerIndex listener = listen_local == kNotLocal
                                     ? kNoListener
                                     : locals_.FindListener(listen_local, leg.path.server.port);
  if (listener == kNoListener) {
    return absl::InvalidArgumentError(
        fmt::format("{} is not a listening address of this relay", leg.path.server.ToString()));
  }
  for (const auto& relayed : {leg.relayed_v4, leg.relayed_v6}) {
    const RelayedSlot slot = relayed ? locals_.FindRelayed(relayed->ip, relayed->port) : 0;
    if (relayed &&
        (slot >= tables_.relayed_slots() || (locals_.virtual_relayed() && slot != leg.id))) {
      return absl::InvalidArgumentError(
          fmt::format("{} is not a relayed address of this leg", relayed->ToString()));
    }
  }
  return listener;
}

absl::Status ForwardingCompiler::AddLeg(const relay::ForwardingLeg& leg) {
  const absl::StatusOr<ListenerIndex> listener = ListenerOf(leg);
  if (!listener.ok()) return listener.status();
  absl::StatusOr<NextHopId> hop = AcquireHop(leg.path.client.ip);
  if (!hop.ok()) return hop.status();
  LegRecord* record = tables_.TakeLeg();
  if (record == nullptr) {
    ReleaseHop(*hop);
    return TableFull("allocations");
  }
  tables_.meters().Start(tables_.NumberOf(record), leg.user);
  record->id = leg.id;
  record->next_hop = *hop;
  Store(record->ends, CoarseEnd(leg.expires_at));
  record->call.Store(leg.call);
  record->key = MakeClientKey(leg.path.client.ip, leg.path.client.port, 0, *listener);
  if (leg.relayed_v4) {
    record->relayed_v4 = locals_.Find(leg.relayed_v4->ip);
    record->key.rider = leg.relayed_v4->port;
  }
  if (leg.relayed_v6) {
    record->relayed_v6 = locals_.Find(leg.relayed_v6->ip);
    record->relayed_v6_port = leg.relayed_v6->port;
  }
  if (!tables_.Publish(record)) {
    ReleaseHop(*hop);
    tables_.Discard(record);
    return TableFull("clients");
  }
  for (const IpFamily family : {IpFamily::kV4, IpFamily::kV6}) {
    if (record->relayed_port(family) != 0) tables_.PublishRelayed(SlotOf(*record, family), record);
  }
  legs_[leg.id] = tables_.legs().NumberOf(record);
  FuseChannelsTowards(*record);
  return absl::OkStatus();
}

// A leg that lost a relayed address, or whose client moved: everything that stands on it is made
// anew. What could fail is seen to before anything is removed; the records that it needs are those
// that it had.
absl::Status ForwardingCompiler::ReplaceLeg(LegRecord& old, const relay::ForwardingLeg& leg) {
  struct Permitted {
    IpAddress peer;
    CoarseTime ends;
  };
  struct Bound {
    uint16_t number;
    TransportAddress peer;
    CoarseTime ends;
  };
  std::vector<Permitted> permissions;
  ForEachPermission(old, [&](PermissionRecord* permission) {
    const CoarseTime ends = Load(permission->ends);
    if (ends != 0) permissions.push_back({AddressOf(permission->key), ends});
  });
  std::vector<Bound> channels;
  ForEachChannel(old, [&](ChannelRecord* channel) {
    channels.push_back({channel->key.channel, PeerOf(*channel), EndOf(*channel)});
  });
  const absl::StatusOr<ListenerIndex> listener = ListenerOf(leg);
  if (!listener.ok()) return listener.status();
  ClientKey key = MakeClientKey(leg.path.client.ip, leg.path.client.port, 0, *listener);
  if (!tables_.Reserve(key)) return TableFull("clients");
  for (const Bound& channel : channels) {
    key.channel = channel.number;
    if (!tables_.Reserve(key, static_cast<uint32_t>(channels.size()))) return TableFull("channels");
  }
  const absl::StatusOr<NextHopId> hop = AcquireHop(leg.path.client.ip);
  if (!hop.ok()) return hop.status();

  RemoveLeg(leg.id);
  absl::Status status = AddLeg(leg);
  ReleaseHop(*hop);  // the leg holds it now
  if (!status.ok()) return status;
  LegRecord& record = *Find(leg.id);
  for (const Permitted& permission : permissions) {
    if (record.relayed_port(permission.peer.family()) == 0) continue;
    status.Update(Permit(record, permission.peer, permission.ends));
  }
  for (const Bound& channel : channels) {
    if (record.relayed_port(channel.peer.ip.family()) == 0) continue;
    status.Update(Bind(record, channel.number, channel.peer, channel.ends));
  }
  return status;
}

void ForwardingCompiler::RemoveLeg(relay::LegId id) {
  LegRecord* leg = Find(id);
  if (leg == nullptr) return;
  for (const IpFamily family : {IpFamily::kV4, IpFamily::kV6}) {
    if (leg->relayed_port(family) != 0) tables_.WithdrawRelayed(SlotOf(*leg, family));
  }
  FuseChannelsTowards(*leg);
  ForEachPermission(*leg, [&](PermissionRecord* permission) { Store(permission->ends, 0); });
  ForEachChannel(*leg, [&](ChannelRecord* channel) { Remove(*leg, channel); });
  ForEachPermission(*leg, [&](PermissionRecord* permission) { Remove(*leg, permission); });
  ReleaseHop(leg->next_hop);
  tables_.Retire(leg);
  legs_[id] = 0;
}

void ForwardingCompiler::List(const std::function<void(const relay::ForwardingLeg&)>& visit) const {
  for (const RecordNumber number : legs_) {
    if (number == 0) continue;
    const LegRecord& record = *tables_.clients().At(number);
    relay::ForwardingLeg leg;
    leg.id = record.id;
    leg.path = {.client = {AddressOf(record.key), record.key.port},
                .server = locals_.listener(record.key.listener)};
    leg.relayed_v4 = RelayedOf(record, IpFamily::kV4);
    leg.relayed_v6 = RelayedOf(record, IpFamily::kV6);
    leg.call = record.call.Load();
    leg.expires_at = CoarseStart(Load(record.ends));
    visit(leg);
  }
}

// --- Permissions ---------------------------------------------------------------------------------

absl::Status ForwardingCompiler::Upsert(const relay::ForwardingPermission& permission) {
  LegRecord* leg = Find(permission.leg);
  if (leg == nullptr) return absl::NotFoundError("a permission of an unknown leg");
  return Permit(*leg, permission.peer, CoarseEnd(permission.expires_at));
}

absl::Status ForwardingCompiler::Permit(LegRecord& leg, const IpAddress& peer, CoarseTime ends) {
  const absl::StatusOr<PermissionRecord*> permission = TakePermission(leg, peer);
  if (!permission.ok()) return permission.status();
  Store((*permission)->ends, ends);
  FuseChannelsTowards(leg);
  return absl::OkStatus();
}

absl::StatusOr<PermissionRecord*> ForwardingCompiler::TakePermission(LegRecord& leg,
                                                                     const IpAddress& peer) {
  if (PermissionRecord* known = FindPermission(leg, peer); known != nullptr) return known;
  if (leg.relayed_port(peer.family()) == 0) return NotRelayed("permission");
  NextHopId hop = kNoNextHop;  // a peer behind this relay is reached inside it
  if (locals_.FindRelayed(peer, 0) == kOutside) {
    absl::StatusOr<NextHopId> acquired = AcquireHop(peer);
    if (!acquired.ok()) return acquired.status();
    hop = *acquired;
  }
  PermissionRecord* record = tables_.TakePermission();
  if (record == nullptr) {
    ReleaseHop(hop);
    return TableFull("permissions");
  }
  record->next_hop = hop;
  record->key = MakePeerKey(leg.id, peer, 0);
  if (!tables_.Publish(record)) {
    ReleaseHop(hop);
    tables_.Discard(record);
    return TableFull("permissions");
  }
  record->next = leg.first_permission;
  leg.first_permission = tables_.permissions().NumberOf(record);
  return record;
}

void ForwardingCompiler::RemovePermission(relay::LegId id, const IpAddress& peer) {
  LegRecord* leg = Find(id);
  PermissionRecord* permission = leg == nullptr ? nullptr : FindPermission(*leg, peer);
  if (permission == nullptr) return;
  Store(permission->ends, 0);
  Remove(*leg, permission);
  FuseChannelsTowards(*leg);
}

// Unless channels, or the permission itself, still need the record.
void ForwardingCompiler::Remove(LegRecord& leg, PermissionRecord* permission) {
  if (Load(permission->ends) != 0 || HasBound(*permission)) return;
  const RecordNumber number = tables_.permissions().NumberOf(permission);
  RecordNumber* link = &leg.first_permission;
  while (*link != number) link = &tables_.permissions().At(*link)->next;
  *link = permission->next;
  ReleaseHop(permission->next_hop);
  tables_.Retire(permission);
}

// --- Channels ------------------------------------------------------------------------------------

PermissionRecord& ForwardingCompiler::PermissionOf(const ChannelRecord& channel) {
  return *tables_.permissions().At(tables_.DetailsOf(&channel).permission);
}

TransportAddress ForwardingCompiler::PeerOf(const ChannelRecord& channel) {
  return {AddressOf(PermissionOf(channel).key), tables_.DetailsOf(&channel).peer_port};
}

CoarseTime ForwardingCompiler::EndOf(const ChannelRecord& channel) {
  return FindBound(tables_, PermissionOf(channel), tables_.DetailsOf(&channel).peer_port).ends;
}

absl::Status ForwardingCompiler::Upsert(const relay::ForwardingChannel& channel) {
  LegRecord* leg = Find(channel.leg);
  if (leg == nullptr) return absl::NotFoundError("a channel of an unknown leg");
  return Bind(*leg, channel.number, channel.peer, CoarseEnd(channel.expires_at));
}

absl::Status ForwardingCompiler::Bind(LegRecord& leg, uint16_t number, const TransportAddress& peer,
                                      CoarseTime ends) {
  const ChannelRecord* record = FindChannel(leg, number);
  if (record != nullptr && PeerOf(*record) != peer) {
    RemoveChannel(leg.id, number);
    record = nullptr;
  }
  if (const PermissionRecord* permission = FindPermission(leg, peer.ip)) {
    const uint16_t other =
        FindBound(tables_, *permission, peer.port).number;  // a peer has one channel
    if (other != 0 && other != number) RemoveChannel(leg.id, other);
  }
  if (record == nullptr) {
    if (absl::Status status = AddChannel(leg, number, peer, ends); !status.ok()) return status;
  } else {
    // There is a place for it already.
    SetBound(tables_, PermissionOf(*record), {peer.port, number, ends});
  }
  UpdateEnds(leg);
  FuseChannelsTowards(leg);
  return absl::OkStatus();
}

absl::Status ForwardingCompiler::AddChannel(LegRecord& leg, uint16_t number,
                                            const TransportAddress& peer, CoarseTime ends) {
  const std::optional<TransportAddress> relayed = RelayedOf(leg, peer.ip.family());
  if (!relayed) return NotRelayed("channel");
  const RelayedSlot slot = locals_.FindRelayed(peer.ip, peer.port);
  NextHopId hop = kNoNextHop;
  if (slot == kOutside) {
    absl::StatusOr<NextHopId> acquired = AcquireHop(peer.ip);
    if (!acquired.ok()) return acquired.status();
    hop = *acquired;
  }
  const absl::StatusOr<PermissionRecord*> permission = TakePermission(leg, peer.ip);
  if (!permission.ok()) {
    ReleaseHop(hop);
    return permission.status();
  }
  const auto give_back = [&](absl::Status status) {
    ReleaseHop(hop);
    Remove(leg, *permission);
    return status;
  };
  ChannelRecord* record = tables_.TakeChannel();
  if (record == nullptr) return give_back(TableFull("channels"));
  if (!SetBound(tables_, **permission, {peer.port, number, ends})) {
    tables_.Discard(record);
    return give_back(TableFull("channels"));
  }
  record->key = leg.key;
  record->key.channel = number;
  record->key.rider = 0;
  ChannelDetails& details = tables_.DetailsOf(record);
  details.leg = tables_.legs().NumberOf(&leg);
  details.peer_slot = slot;
  details.peer_port = peer.port;
  details.peer_family = peer.ip.family();
  details.permission = tables_.permissions().NumberOf(*permission);
  if (slot == kOutside) {
    record->out = Flow(leg.relayed_local(peer.ip.family()), *relayed, peer, hop);
  }
  if (!tables_.Publish(record)) {
    tables_.Discard(record);
    ClearBound(tables_, **permission, peer.port);
    return give_back(TableFull("channels"));
  }
  Link(leg, record);
  LinkTowards(record);
  return absl::OkStatus();
}

void ForwardingCompiler::RemoveChannel(relay::LegId id, uint16_t number) {
  LegRecord* leg = Find(id);
  ChannelRecord* channel = leg == nullptr ? nullptr : FindChannel(*leg, number);
  if (channel == nullptr) return;
  Remove(*leg, channel);
  FuseChannelsTowards(*leg);
}

void ForwardingCompiler::Remove(LegRecord& leg, ChannelRecord* channel) {
  const ChannelDetails& details = tables_.DetailsOf(channel);
  PermissionRecord& permission = PermissionOf(*channel);
  if (details.peer_slot == kOutside) ReleaseHop(channel->out.next_hop);
  UnlinkTowards(channel);
  Unlink(leg, channel);
  if (details.fused) --fused_;
  ClearBound(tables_, permission, details.peer_port);
  tables_.Retire(channel);
  Remove(leg, &permission);
}

void ForwardingCompiler::UpdateEnds(LegRecord& leg) {
  ForEachChannel(leg, [&](ChannelRecord* channel) {
    const CoarseTime ends = std::min(EndOf(*channel), Load(leg.ends));
    Store(channel->ends, ends);
    if (tables_.DetailsOf(channel).peer_slot == kOutside) Store(channel->direct_until, ends);
    Fuse(channel);
  });
}

void ForwardingCompiler::Link(LegRecord& leg, ChannelRecord* channel) {
  tables_.DetailsOf(channel).next = leg.first_channel;
  leg.first_channel = tables_.channels().NumberOf(channel);
}

void ForwardingCompiler::Unlink(LegRecord& leg, ChannelRecord* channel) {
  const RecordNumber number = tables_.channels().NumberOf(channel);
  RecordNumber* link = &leg.first_channel;
  while (*link != number) link = &DetailsAt(*link).next;
  *link = tables_.DetailsOf(channel).next;
}

ChannelDetails& ForwardingCompiler::DetailsAt(RecordNumber channel) {
  return tables_.DetailsOf(tables_.channels().At(channel));
}

void ForwardingCompiler::LinkTowards(ChannelRecord* channel) {
  ChannelDetails& details = tables_.DetailsOf(channel);
  if (details.peer_slot >= towards_.size()) return;
  RecordNumber& first = towards_[details.peer_slot];
  details.previous_towards = 0;
  details.next_towards = first;
  const RecordNumber number = tables_.channels().NumberOf(channel);
  if (first != 0) DetailsAt(first).previous_towards = number;
  first = number;
}

void ForwardingCompiler::UnlinkTowards(ChannelRecord* channel) {
  const ChannelDetails& details = tables_.DetailsOf(channel);
  if (details.peer_slot >= towards_.size()) return;
  RecordNumber& to_this = details.previous_towards == 0
                              ? towards_[details.peer_slot]
                              : DetailsAt(details.previous_towards).next_towards;
  to_this = details.next_towards;
  if (details.next_towards != 0) {
    DetailsAt(details.next_towards).previous_towards = details.previous_towards;
  }
}

// --- Fusing --------------------------------------------------------------------------------------

void ForwardingCompiler::FuseChannelsTowards(const LegRecord& leg) {
  for (const IpFamily family : {IpFamily::kV4, IpFamily::kV6}) {
    const RelayedSlot slot = SlotOf(leg, family);
    if (slot >= towards_.size()) continue;
    for (RecordNumber number = towards_[slot]; number != 0;) {
      ChannelRecord* channel = tables_.channels().At(number);
      number = tables_.DetailsOf(channel).next_towards;  // another record may take its place
      Fuse(channel);
    }
  }
}

void ForwardingCompiler::Fuse(ChannelRecord* channel) {
  ChannelDetails* details = &tables_.DetailsOf(channel);
  if (details->peer_slot == kOutside) return;
  const auto set_fused = [&](bool fused, CoarseTime until) {
    Store(channel->direct_until, until);
    if (details->fused != fused) fused ? ++fused_ : --fused_;
    details->fused = fused;
  };
  LegRecord& leg = *tables_.legs().At(details->leg);
  const IpFamily family = details->peer_family;
  auto* other =
      const_cast<LegRecord*>(tables_.FindRelayed(details->peer_slot, family, details->peer_port));
  if (other == nullptr) return set_fused(false, 0);
  const TransportAddress self = *RelayedOf(leg, family);
  const PermissionRecord* permission = FindPermission(*other, self.ip);
  if (permission == nullptr) return set_fused(false, 0);
  const BoundChannel back = FindBound(tables_, *permission, self.port);
  if (Load(permission->ends) == 0 || back.number == 0 ||
      !relay::CallsConnect(leg.call.Load(), other->call.Load())) {
    return set_fused(false, 0);
  }
  const Flow out(locals_.listener_at(other->key.listener).local,
                 locals_.listener(other->key.listener), {AddressOf(other->key), other->key.port},
                 other->next_hop);
  if (channel->out_channel() == 0) {
    channel->out = out;
    channel->key.rider = back.number;
  } else if (channel->out_channel() != back.number || channel->out != out) {
    // Workers may be reading the old rewrite: the new one goes into a record of its own.
    ChannelRecord* fresh = tables_.TakeChannel();
    if (fresh == nullptr) return set_fused(false, 0);
    UnlinkTowards(channel);
    Unlink(leg, channel);
    fresh->key = channel->key;
    fresh->key.rider = back.number;
    fresh->out = out;
    Store(fresh->ends, Load(channel->ends));
    tables_.DetailsOf(fresh) = *details;
    Link(leg, fresh);
    LinkTowards(fresh);
    tables_.Publish(fresh);
    tables_.Retire(channel);
    channel = fresh;
    details = &tables_.DetailsOf(fresh);
  }
  set_fused(true, std::min({Load(leg.ends), EndOf(*channel), Load(other->ends),
                            Load(permission->ends), back.ends}));
}

}  // namespace sotto::dataplane
