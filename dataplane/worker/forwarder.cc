// SPDX-License-Identifier: Apache-2.0
#include "dataplane/worker/forwarder.h"

#include <rte_prefetch.h>

#include <algorithm>

#include "dataplane/packet/data_indication.h"
#include "dataplane/packet/reply.h"
#include "dataplane/table/bound_channels.h"
#include "dataplane/worker/captured_mbuf.h"
#include "relay/stun/integrity.h"
#include "relay/wire/channel_data.h"

namespace sotto::dataplane {
namespace {

using relay::kChannelDataHeaderSize;
using relay::StunAttributeType;
using relay::StunClass;
using relay::StunMessage;
using relay::StunMethod;

bool Alive(const std::atomic<CoarseTime>& ends, CoarseTime now) {
  return now < ends.load(std::memory_order_acquire);
}

// A Binding request that needs nothing but the client's address: no attribute that must be
// understood. Control answers the others.
bool IsPlainBinding(const StunMessage& message) {
  bool plain = true;
  message.ForEach([&](const relay::StunAttribute& attribute) {
    plain = !relay::IsComprehensionRequired(attribute.type);
    return plain;
  });
  return plain;
}

bool IsSend(const StunMessage& message) {
  return message.message_class() == StunClass::kIndication && message.method() == StunMethod::kSend;
}

}  // namespace

Forwarder::Forwarder(const ForwarderContext& context, const ForwarderOptions& options,
                     WorkerCounters& counters)
    : context_(context),
      spend_rates_(options.spend_rates),
      counters_(counters),
      request_budget_(options.budgets.request_rate, options.budgets.request_burst,
                      options.budget_key),
      answer_budget_(options.budgets.answer_excess_rate, options.budgets.answer_excess_burst,
                     options.budget_key ^ 0x5bd1e995),
      random_(options.random_key),
      transmit_(context.finish_checksums.size()) {
  for (auto& queue : transmit_) queue.reserve(4 * kMaxBurst);
  punts_.reserve(4 * kMaxBurst);
  for (size_t i = 0; i < context.interfaces.size(); ++i) {
    links_.push_back(LinkOf(context.interfaces.at(static_cast<InterfaceId>(i))));
  }
  for (size_t i = 0; i < context.locals.size(); ++i) {
    sources_.push_back(
        DerivedHeader::SourceTemplate(context.locals.at(static_cast<LocalIndex>(i)).ip));
  }
}

void Forwarder::SetBudgets(const ForwarderBudgets& budgets) {
  request_budget_.SetRate(budgets.request_rate, budgets.request_burst);
  answer_budget_.SetRate(budgets.answer_excess_rate, budgets.answer_excess_burst);
}

// Behind the headers of every way out: in line, so that the payload's state stays in registers.
template <typename Header>
void Forwarder::Emit(Packet& packet, const Payload& payload, const Header& header, const Way& way,
                     bool dont_fragment, PacketPath path) {
  rte_mbuf* mbuf = packet.mbuf;
  if (header.next_hop == kNoNextHop) return Drop(mbuf, DropReason::kNextHopMissing);
  const Link& link = *way.link;
  const size_t headers = link.header_size + header.size();
  const size_t payload_offset =
      static_cast<size_t>(payload.data() - static_cast<uint8_t*>(mbuf->buf_addr));
  if (payload_offset < headers) return Drop(mbuf, DropReason::kNoBuffer);

  uint8_t* frame = payload.data() - headers;
  const uint16_t checksum = payload.ChecksumBehind(header);
  // Each word runs over what the next one writes.
  std::memcpy(frame, &way.hop.word, 8);
  std::memcpy(frame + 6, header.v4() ? &link.v4 : &link.v6, 8);
  if (link.header_size != kEthernetHeaderSize) {
    std::memcpy(frame + 14, header.v4() ? &link.tag_v4 : &link.tag_v6, 4);
  }
  header.Write(frame + link.header_size, payload.size(), checksum, random_.Next16(), dont_fragment);

  mbuf->data_off = static_cast<uint16_t>(payload_offset - headers);
  mbuf->data_len = static_cast<uint16_t>(headers + payload.size());
  mbuf->pkt_len = mbuf->data_len;
  mbuf->ol_flags = 0;
  Count(path);
  if (!way.hop.resolved()) [[unlikely]] {
    NoteOf(mbuf).kind = PuntKind::kUnresolved;
    NoteOf(mbuf).interface = way.hop.interface;
    punts_.push_back(mbuf);
    return;
  }
  mbuf->port = link.port;
  transmit_[link.port].push_back(mbuf);
}

Forwarder::Link Forwarder::LinkOf(const Interface& interface) {
  const auto words = [&](uint16_t ether_type, uint64_t& word, uint32_t& tag) {
    uint8_t bytes[8];
    std::memcpy(bytes, interface.mac.bytes.data(), 6);
    StoreBe16(bytes + 6, interface.vlan != 0 ? kEtherTypeVlan : ether_type);
    std::memcpy(&word, bytes, 8);
    StoreBe16(bytes, interface.vlan);
    StoreBe16(bytes + 2, ether_type);
    std::memcpy(&tag, bytes, 4);
  };
  Link link;
  words(kEtherTypeIpv4, link.v4, link.tag_v4);
  words(kEtherTypeIpv6, link.v6, link.tag_v6);
  link.port = interface.port;
  link.mtu = interface.mtu;
  link.header_size = kEthernetHeaderSize + (interface.vlan != 0 ? kVlanTagSize : 0);
  return link;
}

void Forwarder::Process(rte_mbuf* const mbufs[], uint32_t count, uint64_t now_ms) {
  now_ms_ = now_ms;
  now_ = CoarseNow(now_ms);
  metered_ = context_.tables.meters().on();
  const RecordTable<ChannelRecord>& channels = context_.tables.channels();
  Packet packets[kMaxBurst];

  for (uint32_t i = 0; i < count; ++i) rte_prefetch0(rte_pktmbuf_mtod(mbufs[i], void*));

  // Parse all, and ask for the buckets of the channels.
  uint32_t alive = 0;
  uint32_t others = 0;
  uint64_t bytes = 0;
  for (uint32_t i = 0; i < count; ++i) {
    Packet& packet = packets[alive];
    packet.mbuf = mbufs[i];
    bytes += mbufs[i]->pkt_len;
    if (!Parse(packet)) continue;
    ++alive;
    if (packet.arrival == Arrival::kChannelData) {
      packet.hash = channels.Hash(packet.channel);
      channels.PrefetchBucket(packet.hash);
    } else {
      ++others;
    }
  }
  counters_.rx_packets.Add(count);
  counters_.rx_bytes.Add(bytes);

  // Ask for the records.
  for (uint32_t i = 0; i < alive; ++i) {
    if (packets[i].arrival == Arrival::kChannelData) channels.PrefetchRecord(packets[i].hash);
  }
  if (others > 0) FindForOthers(packets, alive);
  if (metered_) [[unlikely]] {
    PrefetchMeters(packets, alive);
  }

  // Act.
  for (uint32_t i = 0; i < alive; ++i) {
    switch (packets[i].arrival) {
      case Arrival::kChannelData:
        ChannelData(packets[i]);
        break;
      case Arrival::kFromClient:
        FromClient(packets[i], found_[i]);
        break;
      case Arrival::kFromPeer:
        FromPeer(packets[i], found_[i]);
        break;
    }
  }
}

void Forwarder::FindForOthers(const Packet packets[], uint32_t count) {
  const Tables& tables = context_.tables;
  uint64_t hashes[kMaxBurst];  // of clients, then of permissions
  const auto slot_of = [this](const Packet& packet) {
    return context_.locals.RelayedSlotOf(packet.parsed.destination, packet.parsed.destination_port);
  };
  const auto client_of = [](const Packet& packet) {
    return ClientWords(packet.frame, packet.parsed, 0, packet.listener);
  };

  // The leg that a packet is of, or for.
  for (uint32_t i = 0; i < count; ++i) {
    const Packet& packet = packets[i];
    Found& found = found_[i];
    if (packet.arrival == Arrival::kFromPeer) {
      tables.PrefetchRelayed(slot_of(packet));
    } else if (packet.arrival == Arrival::kFromClient) {
      found.message = StunMessage::Parse(
          {packet.frame + packet.parsed.payload_offset(), packet.parsed.payload_size});
      found.peer.reset();
      if (!found.message || !IsSend(*found.message)) continue;
      found.peer = found.message->FindXorAddress(StunAttributeType::kXorPeerAddress);
      if (!found.peer) continue;
      hashes[i] = tables.clients().Hash(client_of(packet));
      tables.clients().PrefetchBucket(hashes[i]);
    }
  }
  for (uint32_t i = 0; i < count; ++i) {
    Found& found = found_[i];
    if (packets[i].arrival == Arrival::kFromPeer) {
      found.leg = tables.FindRelayed(slot_of(packets[i]));
      if (found.leg != nullptr) rte_prefetch0(found.leg);
    } else if (packets[i].arrival == Arrival::kFromClient && found.peer) {
      tables.clients().PrefetchRecord(hashes[i]);
    }
  }

  // What it has to do with the other end.
  for (uint32_t i = 0; i < count; ++i) {
    const Packet& packet = packets[i];
    Found& found = found_[i];
    if (packet.arrival == Arrival::kFromPeer) {
      if (found.leg == nullptr) continue;
      hashes[i] =
          tables.permissions().Hash(PeerWords(found.leg->id, packet.frame, packet.parsed, 0));
    } else if (packet.arrival == Arrival::kFromClient) {
      found.leg = found.peer ? tables.clients().Find(hashes[i], client_of(packet)) : nullptr;
      if (found.leg == nullptr) continue;
      hashes[i] = tables.permissions().Hash(
          KeyWords<PeerKey>(MakePeerKey(found.leg->id, found.peer->ip, 0)));
    } else {
      continue;
    }
    tables.permissions().PrefetchBucket(hashes[i]);
  }
  for (uint32_t i = 0; i < count; ++i) {
    if (packets[i].arrival != Arrival::kChannelData && found_[i].leg != nullptr) {
      tables.permissions().PrefetchRecord(hashes[i]);
    }
  }
}

void Forwarder::PrefetchMeters(const Packet packets[], uint32_t count) const {
  const Tables& tables = context_.tables;
  const ChannelDetails* channels[kMaxBurst];
  RecordNumber legs[kMaxBurst];
  for (uint32_t i = 0; i < count; ++i) {
    const Packet& packet = packets[i];
    channels[i] = nullptr;
    legs[i] = 0;
    if (packet.arrival == Arrival::kChannelData) {
      const ChannelRecord* channel = tables.channels().Find(packet.hash, packet.channel);
      if (channel == nullptr) continue;
      channels[i] = &tables.DetailsOf(channel);
      rte_prefetch0(channels[i]);
    } else if (found_[i].leg != nullptr) {
      legs[i] = tables.NumberOf(found_[i].leg);
    }
  }
  for (uint32_t i = 0; i < count; ++i) {
    if (channels[i] != nullptr) legs[i] = channels[i]->leg;
    if (legs[i] != 0) tables.meters().PrefetchLeg(legs[i]);
  }
  for (uint32_t i = 0; i < count; ++i) {
    if (legs[i] != 0) tables.meters().PrefetchUser(legs[i]);
  }
}

// True if the packet is a UDP datagram for one of the relay's addresses; otherwise it has found its
// end here.
bool Forwarder::Parse(Packet& packet) {
  rte_mbuf* mbuf = packet.mbuf;
  if (mbuf->nb_segs != 1) {
    Drop(mbuf, DropReason::kNoBuffer);
    return false;
  }
  packet.frame = rte_pktmbuf_mtod(mbuf, uint8_t*);
  FrameHints hints;
  hints.port = mbuf->port;
  if ((mbuf->ol_flags & RTE_MBUF_F_RX_VLAN_STRIPPED) != 0) hints.stripped_vlan = mbuf->vlan_tci;
  const uint64_t ip_checksum = mbuf->ol_flags & RTE_MBUF_F_RX_IP_CKSUM_MASK;
  hints.ip_checksum_good = ip_checksum == RTE_MBUF_F_RX_IP_CKSUM_GOOD;
  ParseFrame({packet.frame, mbuf->data_len}, hints, context_.interfaces, context_.locals,
             packet.parsed);
  switch (packet.parsed.verdict) {
    case ParseVerdict::kUdp:
      break;
    case ParseVerdict::kNeighborhood:
      Punt(packet, PuntKind::kNeighborhood);
      return false;
    case ParseVerdict::kFragment:
      Punt(packet, PuntKind::kFragment);
      return false;
    case ParseVerdict::kDrop:
      Drop(mbuf, packet.parsed.drop);
      return false;
  }
  if (context_.finish_checksums[mbuf->port]) FinishUdpChecksum(packet.frame, packet.parsed);
  packet.listener =
      context_.locals.FindListener(packet.parsed.destination, packet.parsed.destination_port);
  if (packet.listener == kNoListener) {
    packet.arrival = Arrival::kFromPeer;
    return true;
  }
  const uint8_t* payload = packet.frame + packet.parsed.payload_offset();
  if (packet.parsed.payload_size >= kChannelDataHeaderSize &&
      relay::LooksLikeChannelData({payload, 1})) [[likely]] {
    packet.arrival = Arrival::kChannelData;
    packet.channel = ClientWords(packet.frame, packet.parsed, LoadBe16(payload), packet.listener);
  } else {
    packet.arrival = Arrival::kFromClient;
  }
  return true;
}

// --- From clients --------------------------------------------------------------------------------

void Forwarder::FromClient(Packet& packet, const Found& found) {
  const std::span<const uint8_t> datagram(packet.frame + packet.parsed.payload_offset(),
                                          packet.parsed.payload_size);
  if (relay::LooksLikeChannelData(datagram)) {  // too short for its header
    return Drop(packet.mbuf, DropReason::kChannelDataMalformed);
  }
  if (!relay::LooksLikeStun(datagram)) {
    return Drop(packet.mbuf, DropReason::kNotStunNorChannelData);
  }
  Stun(packet, found);
}

void Forwarder::ChannelData(Packet& packet) {
  const uint8_t* message = packet.frame + packet.parsed.payload_offset();
  const uint16_t length = LoadBe16(message + 2);
  if (length > packet.parsed.payload_size - kChannelDataHeaderSize) {
    return Drop(packet.mbuf, DropReason::kChannelDataMalformed);
  }
  const ChannelRecord* channel = context_.tables.channels().Find(packet.hash, packet.channel);
  if (channel == nullptr) return Drop(packet.mbuf, DropReason::kChannelUnbound);
  if (metered_) [[unlikely]] {
    const RecordNumber leg = context_.tables.DetailsOf(channel).leg;
    if (!PassesRates(packet, leg, Meters::Side::kClient)) return;
  }

  if (Alive(channel->direct_until, now_)) [[likely]] {
    const bool fused = channel->out_channel() != 0;
    const uint16_t size = static_cast<uint16_t>(length + (fused ? kChannelDataHeaderSize : 0));
    const DerivedHeader header(sources_[channel->out.source], channel->out);
    const Way way = WayOf(header);
    if (!Fits(packet, size, header, way)) return;
    Payload payload(packet.frame, packet.parsed);
    if (fused) {
      payload.Truncate(size);
      payload.ReplaceFirstWord(channel->out_channel());
      return Emit(packet, payload, header, way, false, PacketPath::kFused);
    }
    payload.RemoveFront(kChannelDataHeaderSize);
    payload.Truncate(size);
    return Emit(packet, payload, header, way, false, PacketPath::kChannelToPeer);
  }

  const ChannelDetails& details = context_.tables.DetailsOf(channel);
  if (!Alive(channel->ends, now_) || details.peer_slot == kOutside) {
    return Drop(packet.mbuf, DropReason::kChannelUnbound);
  }
  Payload payload(packet.frame, packet.parsed);
  payload.RemoveFront(kChannelDataHeaderSize);
  payload.Truncate(length);
  ToLeg(packet, payload, context_.tables.LegOf(details), details.peer_slot, details.peer_family,
        details.peer_port, PacketPath::kChannelToLeg);
}

void Forwarder::Stun(Packet& packet, const Found& found) {
  const std::optional<StunMessage>& message = found.message;
  if (!message) return Drop(packet.mbuf, DropReason::kStunMalformed);
  if (IsSend(*message)) return Send(packet, *message, found);
  if (message->message_class() != StunClass::kRequest) {
    return Drop(packet.mbuf, DropReason::kStunUnexpected);
  }
  // The relay is the end of this datagram, so it verifies what a forwarder passes on.
  if (!UdpChecksumHolds(packet.frame, packet.parsed)) {
    return Drop(packet.mbuf, DropReason::kUdpBadChecksum);
  }
  if (message->method() == StunMethod::kBinding && IsPlainBinding(*message)) {
    return Binding(packet, *message);
  }
  if (!request_budget_.Spend(SourceOf(packet.frame, packet.parsed), 1, now_ms_)) {
    return Drop(packet.mbuf, DropReason::kRequestRateLimited);
  }
  Punt(packet, PuntKind::kStunRequest);
}

void Forwarder::Binding(Packet& packet, const StunMessage& request) {
  const bool fingerprint = request.Has(StunAttributeType::kFingerprint);
  if (fingerprint && !relay::VerifyFingerprint(request)) {
    return Drop(packet.mbuf, DropReason::kStunMalformed);
  }
  const IpAddress source = SourceOf(packet.frame, packet.parsed);
  uint8_t buffer[64];
  relay::StunBuilder builder(buffer, StunMethod::kBinding, StunClass::kSuccess,
                             request.transaction_id());
  builder.AddXorAddress(StunAttributeType::kXorMappedAddress, {source, packet.parsed.source_port});
  if (fingerprint) builder.AddFingerprint();
  const std::span<const uint8_t> answer = builder.Finish();
  if (answer.size() > packet.parsed.payload_size &&
      !answer_budget_.Spend(
          source, static_cast<uint32_t>(answer.size() - packet.parsed.payload_size), now_ms_)) {
    return Drop(packet.mbuf, DropReason::kAnswerBudget);
  }
  rte_mbuf* mbuf = packet.mbuf;
  const size_t size = ReplySize(packet.parsed, answer.size());
  if (size > size_t{mbuf->buf_len} - mbuf->data_off) return Drop(mbuf, DropReason::kNoBuffer);
  WriteReply(packet.frame, packet.parsed, context_.interfaces.at(packet.parsed.interface).mac,
             answer, random_.Next16());
  mbuf->data_len = static_cast<uint16_t>(size);
  mbuf->pkt_len = static_cast<uint32_t>(size);
  if (!RestoreVlanTag(mbuf)) return Drop(mbuf, DropReason::kNoBuffer);
  Count(PacketPath::kBinding);
  transmit_[mbuf->port].push_back(mbuf);
}

void Forwarder::Send(Packet& packet, const StunMessage& indication, const Found& found) {
  const std::optional<relay::StunAttribute> data = indication.Find(StunAttributeType::kData);
  const std::optional<TransportAddress>& peer = found.peer;
  if (!data || !peer || peer->port == 0 || !indication.AllUnderstood() ||
      (indication.Has(StunAttributeType::kFingerprint) && !relay::VerifyFingerprint(indication))) {
    return Drop(packet.mbuf, DropReason::kSendMalformed);
  }
  const LegRecord* leg = found.leg;
  if (leg == nullptr || !Alive(leg->ends, now_)) {
    return Drop(packet.mbuf, DropReason::kClientUnknown);
  }
  const uint16_t relayed_port = leg->relayed_port(peer->ip.family());
  if (relayed_port == 0) return Drop(packet.mbuf, DropReason::kPeerFamily);
  const PermissionRecord* permission =
      context_.tables.permissions().Find(MakePeerKey(leg->id, peer->ip, 0));
  if (permission == nullptr || !Alive(permission->ends, now_)) {
    return Drop(packet.mbuf, DropReason::kSendNoPermission);
  }
  if (metered_ && !PassesRates(packet, context_.tables.NumberOf(leg), Meters::Side::kClient)) {
    return;
  }
  const bool dont_fragment = indication.Has(StunAttributeType::kDontFragment);
  Payload payload(packet.frame, packet.parsed);
  const uint16_t size = static_cast<uint16_t>(data->value.size());
  payload.RemoveFront(static_cast<uint16_t>(data->offset + 4));
  payload.Truncate(size);

  const RelayedSlot slot = context_.locals.FindRelayed(peer->ip, peer->port);
  if (slot != kOutside) {
    return ToLeg(packet, payload, *leg, slot, peer->ip.family(), peer->port,
                 PacketPath::kSendToLeg);
  }
  const LocalIndex local = leg->relayed_local(peer->ip.family());
  // With virtual relayed addresses there is no way to a peer outside.
  if (local == kNotLocal) return Drop(packet.mbuf, DropReason::kNextHopMissing);
  const DerivedHeader header(sources_[local], relayed_port, permission->key.ip, peer->port,
                             permission->next_hop);
  const Way way = WayOf(header);
  if (!Fits(packet, size, header, way)) return;
  Emit(packet, payload, header, way, dont_fragment, PacketPath::kSendToPeer);
}

// --- From peers, and between legs ----------------------------------------------------------------

void Forwarder::FromPeer(Packet& packet, const Found& found) {
  const LegRecord* leg = found.leg;
  // Virtual relayed addresses have no ports on the wire.
  if (leg == nullptr || context_.locals.virtual_relayed() || !Alive(leg->ends, now_)) {
    return Drop(packet.mbuf, DropReason::kPortClosed);
  }
  // A leg of a call hears the other leg and nobody else.
  if (leg->call.Load().number != 0) return Drop(packet.mbuf, DropReason::kCallNotConnected);
  Payload payload(packet.frame, packet.parsed);
  ToClient(packet, payload, *leg,
           {SourceOf(packet.frame, packet.parsed), packet.parsed.source_port},
           PacketPath::kPeerToChannel, PacketPath::kPeerToData);
}

void Forwarder::ToLeg(Packet& packet, Payload& payload, const LegRecord& from, RelayedSlot slot,
                      IpFamily family, uint16_t port, PacketPath path) {
  const LegRecord* leg = context_.tables.FindRelayed(slot, family, port);
  if (leg == nullptr || !Alive(leg->ends, now_)) {
    return Drop(packet.mbuf, DropReason::kPeerIsRelay);
  }
  const uint16_t source_port = from.relayed_port(family);
  if (source_port == 0) return Drop(packet.mbuf, DropReason::kPeerFamily);
  if (!relay::CallsConnect(from.call.Load(), leg->call.Load())) {
    return Drop(packet.mbuf, DropReason::kCallNotConnected);
  }
  const TransportAddress source = {context_.locals.RelayedIp(from.id, from.relayed_local(family)),
                                   source_port};
  ToClient(packet, payload, *leg, source, path, path);
}

void Forwarder::ToClient(Packet& packet, Payload& payload, const LegRecord& leg,
                         const TransportAddress& source, PacketPath as_channel,
                         PacketPath as_data) {
  const uint16_t data_size = payload.size();
  const PermissionRecord* permission =
      context_.tables.permissions().Find(MakePeerKey(leg.id, source.ip, 0));
  if (permission == nullptr || !Alive(permission->ends, now_)) {
    return Drop(packet.mbuf, DropReason::kPeerNoPermission);
  }
  // What comes from another leg has been counted there.
  if (metered_ && packet.arrival == Arrival::kFromPeer &&
      !PassesRates(packet, context_.tables.NumberOf(&leg), Meters::Side::kPeer)) {
    return;
  }
  const LocalAddresses::Listener& listener = context_.locals.listener_at(leg.key.listener);
  const DerivedHeader header(sources_[listener.local], listener.port, leg.key.ip, leg.key.port,
                             leg.next_hop);
  const Way way = WayOf(header);
  const BoundChannel channel = FindBound(context_.tables, *permission, source.port);
  if (now_ < channel.ends) {
    if (!Fits(packet, data_size + kChannelDataHeaderSize, header, way)) return;
    payload.MoveFront(kChannelDataHeaderSize);
    relay::WriteChannelDataHeader(payload.data(), channel.number, data_size);
    payload.AddedFront(kChannelDataHeaderSize);
    return Emit(packet, payload, header, way, false, as_channel);
  }
  const uint16_t header_size = DataIndicationHeaderSize(source.ip.family());
  const uint16_t padding = DataIndicationPadding(data_size);
  if (!Fits(packet, size_t{header_size} + data_size + padding, header, way)) return;
  const uint8_t* buffer_end =
      static_cast<const uint8_t*>(packet.mbuf->buf_addr) + packet.mbuf->buf_len;
  const uint8_t* buffer = static_cast<const uint8_t*>(packet.mbuf->buf_addr);
  if (payload.data() + data_size + padding > buffer_end || payload.data() < buffer + header_size) {
    return Drop(packet.mbuf, DropReason::kNoBuffer);
  }
  std::fill_n(payload.data() + data_size, padding, uint8_t{0});
  payload.AddedZeros(padding);
  relay::TransactionId transaction_id;
  random_.Fill(transaction_id.data(), transaction_id.size());
  payload.MoveFront(header_size);
  WriteDataIndicationHeader(payload.data(), source, transaction_id, data_size);
  payload.AddedFront(header_size);
  Emit(packet, payload, header, way, false, as_data);
}

// --- The way out ---------------------------------------------------------------------------------

bool Forwarder::PassesRates(Packet& packet, RecordNumber leg, Meters::Side side) {
  const std::optional<DropReason> refused =
      context_.tables.meters().Pass(leg, side, packet.parsed.ip_size, now_ms_, spend_rates_);
  if (refused) Drop(packet.mbuf, *refused);
  return !refused;
}

bool Forwarder::TooBig(Packet& packet, size_t ip_size, const Way& way) {
  // What the sender may send at most, so that it fits after the rewrite.
  const size_t excess = ip_size - way.link->mtu;
  const size_t largest = packet.parsed.ip_size > excess ? packet.parsed.ip_size - excess : 0;
  CountDrop(packet.mbuf, DropReason::kTooBig);
  Punt(packet, PuntKind::kTooBig, static_cast<uint16_t>(largest));
  return false;
}

void Forwarder::CaptureDrop(const rte_mbuf* mbuf, DropReason reason) {
  // Of what is dropped behind Process(), some has been rewritten.
  const bool rewritten =
      reason == DropReason::kTxFull ||
      (reason == DropReason::kControlRingFull && NoteOf(mbuf).kind == PuntKind::kUnresolved);
  capture_->Dropped(CapturedMbuf(mbuf),
                    rewritten ? CaptureDirection::kSent : CaptureDirection::kReceived, reason);
}

void Forwarder::Punt(Packet& packet, PuntKind kind, uint16_t mtu) {
  PuntNote& note = NoteOf(packet.mbuf);
  note.kind = kind;
  note.interface = packet.parsed.interface;
  note.mtu = mtu;
  note.parsed = packet.parsed;
  Count(PacketPath::kControl);
  punts_.push_back(packet.mbuf);
}

}  // namespace sotto::dataplane
