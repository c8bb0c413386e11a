#include "dataplane/worker/forwarder.h"

#include <rte_prefetch.h>

#include <algorithm>

#include "dataplane/packet/data_indication.h"
#include "dataplane/packet/reply.h"
#include "relay/stun/integrity.h"
#include "relay/wire/channel_data.h"

namespace sotto::dataplane {
namespace {

using relay::kChannelDataHeaderSize;
using relay::StunAttributeType;
using relay::StunClass;
using relay::StunMessage;
using relay::StunMethod;
using relay::TransportAddress;

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

// The leg's relayed address of the family of `destination`, or nothing.
std::optional<TransportAddress> RelayedOf(const LegRecord& leg, const LocalAddresses& locals,
                                          relay::IpFamily family) {
  const bool v4 = family == relay::IpFamily::kV4;
  const LocalIndex local = v4 ? leg.relayed_v4 : leg.relayed_v6;
  if (local == kNotLocal) return std::nullopt;
  return TransportAddress{locals.at(local).ip, v4 ? leg.relayed_v4_port : leg.relayed_v6_port};
}

}  // namespace

Forwarder::Forwarder(const ForwarderContext& context, const ForwarderOptions& options,
                     WorkerCounters& counters)
    : context_(context),
      counters_(counters),
      request_budget_(options.request_rate, options.request_burst, options.budget_key),
      answer_budget_(options.answer_excess_rate, options.answer_excess_burst,
                     options.budget_key ^ 0x5bd1e995),
      random_(options.random_key),
      transmit_(context.finish_checksums.size()) {
  for (auto& queue : transmit_) queue.reserve(4 * kMaxBurst);
  punts_.reserve(4 * kMaxBurst);
}

void Forwarder::Process(rte_mbuf* const mbufs[], uint32_t count, uint64_t now_ms) {
  now_ms_ = now_ms;
  now_ = CoarseNow(now_ms);
  Packet packets[kMaxBurst];
  ClientKey keys[kMaxBurst];
  const ClientKey* wanted[kMaxBurst];
  uint32_t wanted_by[kMaxBurst];
  const ChannelRecord* found[kMaxBurst];
  const ChannelRecord* channels[kMaxBurst];
  bool channel_data[kMaxBurst];

  for (uint32_t i = 0; i < count; ++i) rte_prefetch0(rte_pktmbuf_mtod(mbufs[i], void*));

  // Parse all; gather the channels to look up.
  uint32_t alive = 0;
  uint32_t lookups = 0;
  for (uint32_t i = 0; i < count; ++i) {
    Packet& packet = packets[alive];
    packet.mbuf = mbufs[i];
    if (!Parse(packet)) continue;
    channels[alive] = nullptr;
    channel_data[alive] = false;
    if (packet.listener != kNoListener) {
      const uint8_t* payload = packet.frame + packet.parsed.payload_offset();
      if (packet.parsed.payload_size >= kChannelDataHeaderSize &&
          relay::LooksLikeChannelData({payload, 1})) {
        channel_data[alive] = true;
        keys[lookups] =
            MakeClientKey(SourceOf(packet.frame, packet.parsed), packet.parsed.source_port,
                          relay::LoadBe16(payload), packet.listener);
        wanted[lookups] = &keys[lookups];
        wanted_by[lookups++] = alive;
      }
    }
    ++alive;
  }

  // Look up all.
  if (lookups > 0) {
    const uint64_t hits = context_.tables.FindChannels(wanted, lookups, found);
    for (uint32_t i = 0; i < lookups; ++i) {
      if ((hits >> i) & 1) {
        channels[wanted_by[i]] = found[i];
        rte_prefetch0(found[i]);
      }
    }
  }

  // Act.
  for (uint32_t i = 0; i < alive; ++i) {
    if (packets[i].listener != kNoListener) {
      FromClient(packets[i], channels[i], channel_data[i]);
    } else {
      FromPeer(packets[i]);
    }
  }
}

// True if the packet is a UDP datagram for one of the relay's addresses; otherwise it has found its
// end here.
bool Forwarder::Parse(Packet& packet) {
  rte_mbuf* mbuf = packet.mbuf;
  counters_.rx_packets.Add(1);
  counters_.rx_bytes.Add(mbuf->pkt_len);
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
  packet.parsed =
      ParseFrame({packet.frame, mbuf->data_len}, hints, context_.interfaces, context_.locals);
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
  return true;
}

// --- From clients --------------------------------------------------------------------------------

void Forwarder::FromClient(Packet& packet, const ChannelRecord* channel, bool channel_data) {
  if (channel_data) return ChannelData(packet, channel);
  const std::span<const uint8_t> datagram(packet.frame + packet.parsed.payload_offset(),
                                          packet.parsed.payload_size);
  if (relay::LooksLikeChannelData(datagram)) {  // too short for its header
    return Drop(packet.mbuf, DropReason::kChannelDataMalformed);
  }
  if (!relay::LooksLikeStun(datagram)) {
    return Drop(packet.mbuf, DropReason::kNotStunNorChannelData);
  }
  Stun(packet);
}

void Forwarder::ChannelData(Packet& packet, const ChannelRecord* channel) {
  const uint8_t* header = packet.frame + packet.parsed.payload_offset();
  const uint16_t length = relay::LoadBe16(header + 2);
  if (length > packet.parsed.payload_size - kChannelDataHeaderSize) {
    return Drop(packet.mbuf, DropReason::kChannelDataMalformed);
  }
  if (channel == nullptr) return Drop(packet.mbuf, DropReason::kChannelUnbound);

  if (Alive(channel->fused_until, now_)) {
    const uint16_t size = static_cast<uint16_t>(length + kChannelDataHeaderSize);
    if (!Fits(packet, size, channel->out)) return;
    Payload payload(packet.frame, packet.parsed);
    payload.Truncate(size);
    payload.ReplaceFirstWord(channel->out_channel);
    return Emit(packet, payload, channel->out, false, PacketPath::kFused);
  }

  if (!Alive(channel->ends, now_)) return Drop(packet.mbuf, DropReason::kChannelUnbound);
  Payload payload(packet.frame, packet.parsed);
  payload.RemoveFront(kChannelDataHeaderSize);
  payload.Truncate(length);
  if (channel->peer_local == kNotLocal) {
    if (!Fits(packet, length, channel->out)) return;
    return Emit(packet, payload, channel->out, false, PacketPath::kChannelToPeer);
  }
  ToLeg(packet, payload, *channel->leg, channel->peer_local, channel->peer_port,
        PacketPath::kChannelToLeg);
}

void Forwarder::Stun(Packet& packet) {
  const std::optional<StunMessage> message = StunMessage::Parse(
      {packet.frame + packet.parsed.payload_offset(), packet.parsed.payload_size});
  if (!message) return Drop(packet.mbuf, DropReason::kStunMalformed);
  if (message->message_class() == StunClass::kIndication &&
      message->method() == StunMethod::kSend) {
    return Send(packet, *message);
  }
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
  const relay::IpAddress source = SourceOf(packet.frame, packet.parsed);
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

void Forwarder::Send(Packet& packet, const StunMessage& indication) {
  const std::optional<relay::StunAttribute> data = indication.Find(StunAttributeType::kData);
  const std::optional<TransportAddress> peer =
      indication.FindXorAddress(StunAttributeType::kXorPeerAddress);
  if (!data || !peer || peer->port == 0 || !indication.AllUnderstood() ||
      (indication.Has(StunAttributeType::kFingerprint) && !relay::VerifyFingerprint(indication))) {
    return Drop(packet.mbuf, DropReason::kSendMalformed);
  }
  const LegRecord* leg = context_.tables.FindClient(MakeClientKey(
      SourceOf(packet.frame, packet.parsed), packet.parsed.source_port, 0, packet.listener));
  if (leg == nullptr || !Alive(leg->ends, now_)) {
    return Drop(packet.mbuf, DropReason::kClientUnknown);
  }
  if (!RelayedOf(*leg, context_.locals, peer->ip.family())) {
    return Drop(packet.mbuf, DropReason::kPeerFamily);
  }
  const PermissionRecord* permission =
      context_.tables.FindPermission(MakePeerKey(leg->id, peer->ip, 0));
  if (permission == nullptr || !Alive(permission->ends, now_)) {
    return Drop(packet.mbuf, DropReason::kSendNoPermission);
  }
  const bool dont_fragment = indication.Has(StunAttributeType::kDontFragment);
  Payload payload(packet.frame, packet.parsed);
  const uint16_t size = static_cast<uint16_t>(data->value.size());
  payload.RemoveFront(static_cast<uint16_t>(data->offset + 4));
  payload.Truncate(size);

  const LocalIndex local = context_.locals.Find(peer->ip);
  if (local != kNotLocal) {
    return ToLeg(packet, payload, *leg, local, peer->port, PacketPath::kSendToLeg);
  }
  HeaderTemplate header = permission->to_peer;
  header.SetDestinationPort(peer->port);
  if (!Fits(packet, size, header)) return;
  Emit(packet, payload, header, dont_fragment, PacketPath::kSendToPeer);
}

// --- From peers, and between legs ----------------------------------------------------------------

void Forwarder::FromPeer(Packet& packet) {
  const LegRecord* leg =
      context_.tables.FindRelayed(packet.parsed.destination, packet.parsed.destination_port);
  if (leg == nullptr || !Alive(leg->ends, now_)) {
    return Drop(packet.mbuf, DropReason::kPortClosed);
  }
  // A leg of a call hears the other leg and nobody else.
  if (leg->call.Load().number != 0) return Drop(packet.mbuf, DropReason::kCallNotConnected);
  Payload payload(packet.frame, packet.parsed);
  ToClient(packet, payload, *leg,
           {SourceOf(packet.frame, packet.parsed), packet.parsed.source_port},
           PacketPath::kPeerToChannel, PacketPath::kPeerToData);
}

void Forwarder::ToLeg(Packet& packet, Payload& payload, const LegRecord& from, LocalIndex local,
                      uint16_t port, PacketPath path) {
  const LegRecord* leg = context_.tables.FindRelayed(local, port);
  if (leg == nullptr || !Alive(leg->ends, now_)) {
    return Drop(packet.mbuf, DropReason::kPeerIsRelay);
  }
  const std::optional<TransportAddress> source =
      RelayedOf(from, context_.locals, context_.locals.at(local).ip.family());
  if (!source) return Drop(packet.mbuf, DropReason::kPeerFamily);
  if (!relay::CallsConnect(from.call.Load(), leg->call.Load())) {
    return Drop(packet.mbuf, DropReason::kCallNotConnected);
  }
  ToClient(packet, payload, *leg, *source, path, path);
}

void Forwarder::ToClient(Packet& packet, Payload& payload, const LegRecord& leg,
                         const TransportAddress& source, PacketPath as_channel,
                         PacketPath as_data) {
  const uint16_t data_size = payload.size();
  const PeerRecord* peer = context_.tables.FindPeer(MakePeerKey(leg.id, source.ip, source.port));
  if (peer != nullptr && Alive(peer->permission_ends, now_) && Alive(peer->channel_ends, now_)) {
    if (!Fits(packet, data_size + kChannelDataHeaderSize, leg.to_client)) return;
    payload.MoveFront(kChannelDataHeaderSize);
    relay::WriteChannelDataHeader(payload.data(), peer->channel, data_size);
    payload.AddedFront(kChannelDataHeaderSize);
    return Emit(packet, payload, leg.to_client, false, as_channel);
  }
  const PermissionRecord* permission =
      context_.tables.FindPermission(MakePeerKey(leg.id, source.ip, 0));
  if (permission == nullptr || !Alive(permission->ends, now_)) {
    return Drop(packet.mbuf, DropReason::kPeerNoPermission);
  }
  const uint16_t header_size = DataIndicationHeaderSize(source.ip.family());
  const uint16_t padding = DataIndicationPadding(data_size);
  if (!Fits(packet, size_t{header_size} + data_size + padding, leg.to_client)) return;
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
  Emit(packet, payload, leg.to_client, false, as_data);
}

// --- The way out ---------------------------------------------------------------------------------

bool Forwarder::Fits(Packet& packet, size_t payload_size, const HeaderTemplate& header) {
  const NextHopTable::Hop hop = context_.next_hops.Read(header.next_hop);
  const size_t ip_size = header.size() + payload_size;
  const uint16_t mtu = context_.interfaces.at(hop.interface).mtu;
  if (ip_size <= mtu || header.next_hop == kNoNextHop) return true;
  // What the sender may send at most, so that it fits after the rewrite.
  const size_t excess = ip_size - mtu;
  const size_t largest = packet.parsed.ip_size > excess ? packet.parsed.ip_size - excess : 0;
  counters_.drops[static_cast<size_t>(DropReason::kTooBig)].Add(1);
  Punt(packet, PuntKind::kTooBig, static_cast<uint16_t>(largest));
  return false;
}

void Forwarder::Emit(Packet& packet, const Payload& payload, const HeaderTemplate& header,
                     bool dont_fragment, PacketPath path) {
  rte_mbuf* mbuf = packet.mbuf;
  if (header.next_hop == kNoNextHop) return Drop(mbuf, DropReason::kNextHopMissing);
  const NextHopTable::Hop hop = context_.next_hops.Read(header.next_hop);
  const Interface& interface = context_.interfaces.at(hop.interface);
  const size_t l2_size = kEthernetHeaderSize + (interface.vlan != 0 ? kVlanTagSize : 0);
  const size_t headers = l2_size + header.size();
  const size_t payload_offset = payload.data() - static_cast<uint8_t*>(mbuf->buf_addr);
  if (payload_offset < headers) return Drop(mbuf, DropReason::kNoBuffer);

  uint8_t* frame = payload.data() - headers;
  const uint16_t checksum = payload.ChecksumBehind(header);
  header.Write(frame + l2_size, payload.size(), checksum, random_.Next16(), dont_fragment);
  std::memcpy(frame, hop.mac.bytes.data(), 6);
  std::memcpy(frame + 6, interface.mac.bytes.data(), 6);
  uint8_t* ether_type = frame + 12;
  if (interface.vlan != 0) {
    relay::StoreBe16(ether_type, kEtherTypeVlan);
    relay::StoreBe16(ether_type + 2, interface.vlan);
    ether_type += kVlanTagSize;
  }
  relay::StoreBe16(ether_type, header.v4() ? kEtherTypeIpv4 : kEtherTypeIpv6);

  mbuf->data_off = static_cast<uint16_t>(payload_offset - headers);
  mbuf->data_len = static_cast<uint16_t>(headers + payload.size());
  mbuf->pkt_len = mbuf->data_len;
  mbuf->ol_flags = 0;
  Count(path);
  if (!hop.resolved) {
    NoteOf(mbuf).kind = PuntKind::kUnresolved;
    NoteOf(mbuf).interface = hop.interface;
    punts_.push_back(mbuf);
    return;
  }
  mbuf->port = interface.port;
  transmit_[interface.port].push_back(mbuf);
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
