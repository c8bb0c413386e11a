// SPDX-License-Identifier: Apache-2.0
#include "dataplane/observe/explain_steps.h"

#include <fmt/format.h>

#include "dataplane/observe/capture.h"
#include "dataplane/table/bound_channels.h"
#include "relay/stun/integrity.h"
#include "relay/wire/channel_data.h"

namespace sotto::dataplane {
namespace {

using relay::StunAttributeType;
using relay::StunClass;
using relay::StunMessage;
using relay::StunMethod;

// Where the parser found what it drops a frame for.
struct Field {
  size_t offset = 0;
  size_t size = 0;
  std::string_view name;
};

Field OffendingField(DropReason reason, const ParsedFrame& parsed, size_t frame_size) {
  const size_t ip = parsed.ip_offset, udp = parsed.udp_offset;
  const bool v4 = parsed.v4;
  switch (reason) {
    case DropReason::kFrameTruncated:
    case DropReason::kIpTruncated:
      return {frame_size, 0, "the end of the frame"};
    case DropReason::kNotOurMac:
      return {0, 6, "the destination's MAC address"};
    case DropReason::kUnknownVlan:
      return ip == kEthernetHeaderSize ? Field{12, 2, "an EtherType without a VLAN tag"}
                                       : Field{14, 2, "the VLAN tag"};
    case DropReason::kUnknownEtherType:
      return {ip - 2, 2, "the EtherType"};
    case DropReason::kIpBadHeader:
      return {ip, 1, v4 ? "IP version and header length" : "the IP version"};
    case DropReason::kIpLengthLies:
      return {v4 ? ip + 2 : ip + 4, 2, "the IP length"};
    case DropReason::kIpBadChecksum:
      return {ip + 10, 2, "the IPv4 header checksum"};
    case DropReason::kMulticast:
    case DropReason::kDestinationNotLocal:
      return v4 ? Field{ip + 16, 4, "the destination address"}
                : Field{ip + 24, 16, "the destination address"};
    case DropReason::kSourceInvalid:
    case DropReason::kSourceIsRelay:
      return v4 ? Field{ip + 12, 4, "the source address"} : Field{ip + 8, 16, "the source address"};
    case DropReason::kNotUdp:
    case DropReason::kIpExtensionHeader:
      return {v4 ? ip + 9 : ip + 6, 1, v4 ? "the protocol" : "the next header"};
    case DropReason::kUdpTruncated:
      return {ip + parsed.ip_size, 0, "the end of the IP packet"};
    case DropReason::kUdpLengthLies:
      return {udp + 4, 2, "the UDP length"};
    case DropReason::kUdpSourcePortZero:
      return {udp, 2, "the UDP source port"};
    case DropReason::kUdpNoChecksum:
      return {udp + 6, 2, "the UDP checksum"};
    default:
      return {};
  }
}

std::string_view MethodName(StunMethod method) {
  switch (method) {
    case StunMethod::kBinding:
      return "Binding";
    case StunMethod::kAllocate:
      return "Allocate";
    case StunMethod::kRefresh:
      return "Refresh";
    case StunMethod::kSend:
      return "Send";
    case StunMethod::kData:
      return "Data";
    case StunMethod::kCreatePermission:
      return "CreatePermission";
    case StunMethod::kChannelBind:
      return "ChannelBind";
  }
  return "unknown";
}

std::string_view ClassName(StunClass message_class) {
  switch (message_class) {
    case StunClass::kRequest:
      return "request";
    case StunClass::kIndication:
      return "indication";
    case StunClass::kSuccess:
      return "success response";
    case StunClass::kError:
      return "error response";
  }
  return "";
}

std::string Sentence(const relay::CallSide& call) {
  if (call.number == 0) return "of no call";
  return fmt::format("side {} of call {}, which is {}", call.side == 0 ? "a" : "b", call.number,
                     call.armed ? "armed" : "not armed");
}

class Narrator {
 public:
  Narrator(const ForwarderContext& context, std::span<const uint8_t> frame, uint16_t port,
           uint64_t now_ms, const FrameExplainer::LegName& leg_name, const Outcome& outcome,
           Explanation& out)
      : context_(context),
        frame_(frame.begin(), frame.end()),
        now_ms_(now_ms),
        now_(CoarseNow(now_ms)),
        leg_name_(leg_name),
        outcome_(outcome),
        out_(out) {
    FrameHints hints;
    hints.port = port;
    ParseFrame(frame_, hints, context.interfaces, context.locals, parsed_);
    if (parsed_.verdict == ParseVerdict::kUdp && context.finish_checksums[port]) {
      FinishUdpChecksum(frame_.data(), parsed_);
    }
  }

  void Run() {
    Parse();
    if (outcome_.punt == nullptr || outcome_.punt->kind == PuntKind::kUnresolved) Rewrite();
    if (!next_hop_.empty()) Add("next hop", next_hop_);
    Verdict();
  }

 private:
  void Parse();
  void FromClient();
  void ChannelData(std::span<const uint8_t> datagram);
  void Stun(const StunMessage& message);
  void Send(const StunMessage& indication);
  void FromPeer();
  void ToLeg(const LegRecord& from, RelayedSlot slot, const TransportAddress& to);
  void ToClient(const LegRecord& leg, const TransportAddress& source);
  bool Rates(RecordNumber leg, Meters::Side side);
  void Way(NextHopId hop);
  void Rewrite();
  void Verdict();

  void Add(std::string_view what, std::string text) {
    out_.steps.push_back({what, std::move(text)});
  }
  bool Alive(CoarseTime ends) const { return now_ < ends; }
  std::string Until(CoarseTime ends) const {
    if (ends == 0) return "which has ended";
    const uint64_t end_ms = CoarseStart(ends);
    return Alive(ends) ? fmt::format("which lasts another {} s", (end_ms - now_ms_) / 1000)
                       : fmt::format("which ended {} s ago", (now_ms_ - end_ms) / 1000);
  }
  std::string Name(const LegRecord& leg) const { return leg_name_(leg.id); }
  TransportAddress Source() const {
    return {SourceOf(frame_.data(), parsed_), parsed_.source_port};
  }
  TransportAddress Destination() const {
    return {DestinationOf(frame_.data(), parsed_), parsed_.destination_port};
  }
  std::span<const uint8_t> Datagram() const {
    return {frame_.data() + parsed_.payload_offset(), parsed_.payload_size};
  }

  const ForwarderContext& context_;
  std::vector<uint8_t> frame_;
  const uint64_t now_ms_;
  const CoarseTime now_;
  const FrameExplainer::LegName& leg_name_;
  const Outcome& outcome_;
  Explanation& out_;
  ParsedFrame parsed_;
  ListenerIndex listener_ = kNoListener;
  std::string next_hop_;  // that step's; empty: it never got there
};

void Narrator::Parse() {
  if (parsed_.verdict == ParseVerdict::kDrop) {
    const Field field = OffendingField(parsed_.drop, parsed_, frame_.size());
    std::string bytes;
    for (size_t i = 0; i < field.size; ++i)
      bytes += fmt::format("{:02x}", frame_[field.offset + i]);
    return Add("parse", fmt::format("Parsing stopped at byte {1} of {0}: {2}{3}.", frame_.size(),
                                    field.offset, field.name, bytes.empty() ? "" : " " + bytes));
  }
  const Interface& interface = context_.interfaces.at(parsed_.interface);
  const std::string where = interface.vlan == 0
                                ? interface.name
                                : fmt::format("{}, VLAN {}", interface.name, interface.vlan);
  if (parsed_.verdict != ParseVerdict::kUdp) {
    Add("parse", fmt::format("{} bytes on {}.", frame_.size(), where));
    return Add("classify",
               parsed_.verdict == ParseVerdict::kFragment
                   ? "A fragment for an address of the relay: control reassembles the datagram and "
                     "hands it back to a worker."
                   : "ARP, neighbor discovery or ICMP: control answers.");
  }
  Add("parse", fmt::format("{} bytes on {}: {} and UDP from {} to {}, {} bytes of payload.",
                           frame_.size(), where, parsed_.v4 ? "IPv4" : "IPv6", Source().ToString(),
                           Destination().ToString(), parsed_.payload_size));
  listener_ = context_.locals.FindListener(parsed_.destination, parsed_.destination_port);
  listener_ == kNoListener ? FromPeer() : FromClient();
}

void Narrator::FromClient() {
  const std::span<const uint8_t> datagram = Datagram();
  if (relay::LooksLikeChannelData(datagram)) return ChannelData(datagram);
  if (!relay::LooksLikeStun(datagram)) {
    return Add(
        "classify",
        fmt::format("From a client, as {} is a listening address; {}.", Destination().ToString(),
                    datagram.empty() ? "the payload is empty"
                                     : fmt::format("the payload, which starts with 0x{:02x}, is "
                                                   "neither ChannelData nor STUN",
                                                   datagram[0])));
  }
  const std::optional<StunMessage> message = StunMessage::Parse(datagram);
  if (!message) {
    return Add("classify", "STUN by its cookie, but its header and attributes don't match.");
  }
  Stun(*message);
}

void Narrator::ChannelData(std::span<const uint8_t> datagram) {
  if (datagram.size() < relay::kChannelDataHeaderSize) {
    return Add("classify",
               fmt::format("ChannelData by its first byte, 0x{:02x}, but its 4-byte header is cut "
                           "off.",
                           datagram[0]));
  }
  const uint16_t number = LoadBe16(datagram.data());
  const uint16_t length = LoadBe16(datagram.data() + 2);
  const size_t holds = datagram.size() - relay::kChannelDataHeaderSize;
  Add("classify",
      fmt::format("ChannelData on channel 0x{:04x}, length {} of the {} bytes that follow its "
                  "header.",
                  number, length, holds));
  if (length > holds) return;

  const Tables& tables = context_.tables;
  const ChannelRecord* channel =
      tables.channels().Find(ClientWords(frame_.data(), parsed_, number, listener_));
  const std::string key = fmt::format("channel 0x{:04x} of {} at {}", number, Source().ToString(),
                                      Destination().ToString());
  if (channel == nullptr) {
    return Add("look up", fmt::format("The table of channels has no {}.", key));
  }
  const ChannelDetails& details = tables.DetailsOf(channel);
  const LegRecord& leg = tables.LegOf(details);
  const auto passes = [&] { return Rates(details.leg, Meters::Side::kClient); };
  const CoarseTime direct = channel->direct_until.load(std::memory_order_acquire);
  if (Alive(direct)) {
    if (channel->out_channel() != 0) {
      Add("look up", fmt::format("Found {}, bound by {}; fused with the other leg's channel "
                                 "0x{:04x}, {}.",
                                 key, Name(leg), channel->out_channel(), Until(direct)));
    } else {
      Add("look up", fmt::format("Found {}, bound by {} to an external peer, {}.", key, Name(leg),
                                 Until(direct)));
    }
    if (passes()) Way(channel->out.next_hop);
    return;
  }
  const CoarseTime ends = channel->ends.load(std::memory_order_acquire);
  if (!Alive(ends) || details.peer_slot == kOutside) {
    return Add("look up", fmt::format("Found {}, bound by {}, {}.", key, Name(leg),
                                      Until(details.peer_slot == kOutside ? direct : ends)));
  }
  Add("look up", fmt::format("Found {}, bound by {} to a relayed address of this relay, {}; not "
                             "fused, so it takes the slow path.",
                             key, Name(leg), Until(ends)));
  if (!passes()) return;
  TransportAddress to;
  to.port = details.peer_port;
  if (details.peer_family == IpFamily::kV6) to.ip = IpAddress::V6(std::array<uint8_t, 16>{});
  ToLeg(leg, details.peer_slot, to);
}

void Narrator::Stun(const StunMessage& message) {
  const std::string name =
      fmt::format("A STUN {} {}", MethodName(message.method()), ClassName(message.message_class()));
  if (message.message_class() == StunClass::kIndication && message.method() == StunMethod::kSend) {
    return Send(message);
  }
  if (message.message_class() != StunClass::kRequest) {
    return Add("classify", name + ", which clients do not send to servers.");
  }
  if (!UdpChecksumHolds(frame_.data(), parsed_)) {
    return Add("classify", name + "; it is for the relay itself, and its UDP checksum is wrong.");
  }
  if (outcome_.punt != nullptr) {
    return Add("classify", name +
                               ", which control answers if the budget of the source prefix allows; "
                               "the answer is not computed here.");
  }
  const bool fingerprint = message.Has(StunAttributeType::kFingerprint);
  if (fingerprint && !relay::VerifyFingerprint(message)) {
    return Add("classify", name + ", whose FINGERPRINT is wrong.");
  }
  Add("classify", name + ", answered by the worker without any state.");
}

void Narrator::Send(const StunMessage& indication) {
  const auto data = indication.Find(StunAttributeType::kData);
  const auto peer = indication.FindXorAddress(StunAttributeType::kXorPeerAddress);
  const auto malformed = [&](std::string_view why) {
    Add("classify", fmt::format("A Send indication, not valid: {}.", why));
  };
  if (!peer) return malformed("it has no valid XOR-PEER-ADDRESS");
  if (peer->port == 0) return malformed("its peer has port 0");
  if (!data) return malformed("it has no DATA");
  if (!indication.AllUnderstood())
    return malformed("it has an unknown comprehension-required attribute");
  if (indication.Has(StunAttributeType::kFingerprint) && !relay::VerifyFingerprint(indication)) {
    return malformed("its FINGERPRINT is wrong");
  }
  Add("classify", fmt::format("A Send indication to {}, {} bytes of data.", peer->ToString(),
                              data->value.size()));
  const std::string key = fmt::format("{} at {}", Source().ToString(), Destination().ToString());
  const LegRecord* leg =
      context_.tables.clients().Find(ClientWords(frame_.data(), parsed_, 0, listener_));
  if (leg == nullptr) return Add("look up", fmt::format("The table of clients has no {}.", key));
  const CoarseTime ends = leg->ends.load(std::memory_order_acquire);
  std::string found = fmt::format("Found {}: {}, {}", key, Name(*leg), Until(ends));
  if (!Alive(ends)) return Add("look up", found + ".");
  if (leg->relayed_port(peer->ip.family()) == 0) {
    return Add("look up", found + ", which has no relayed address of the peer's family.");
  }
  Add("look up", found + ".");
  const PermissionRecord* permission =
      context_.tables.permissions().Find(MakePeerKey(leg->id, peer->ip, 0));
  const CoarseTime until =
      permission == nullptr ? 0 : permission->ends.load(std::memory_order_acquire);
  if (until == 0) {
    return Add("permission", fmt::format("Found none for {}.", peer->ip.ToString()));
  }
  Add("permission", fmt::format("Found one for {}, {}.", peer->ip.ToString(), Until(until)));
  if (!Alive(until)) return;
  if (!Rates(context_.tables.NumberOf(leg), Meters::Side::kClient)) return;

  const RelayedSlot slot = context_.locals.FindRelayed(peer->ip, peer->port);
  if (slot != kOutside) return ToLeg(*leg, slot, *peer);
  if (leg->relayed_local(peer->ip.family()) == kNotLocal) {
    next_hop_ = "A virtual relayed address can't reach an external peer.";
    return;
  }
  Way(permission->next_hop);
}

void Narrator::FromPeer() {
  Add("classify",
      fmt::format("From a peer, as {} is not a listening address.", Destination().ToString()));
  const LegRecord* leg = context_.tables.FindRelayed(
      context_.locals.RelayedSlotOf(parsed_.destination, parsed_.destination_port));
  if (leg == nullptr || context_.locals.virtual_relayed()) {
    return Add("look up",
               fmt::format("No allocation has the relayed address {}.", Destination().ToString()));
  }
  const CoarseTime ends = leg->ends.load(std::memory_order_acquire);
  Add("look up", fmt::format("{} is the relayed address of {}, {}.", Destination().ToString(),
                             Name(*leg), Until(ends)));
  if (!Alive(ends)) return;
  const relay::CallSide call = leg->call.Load();
  if (call.number != 0) {
    return Add("permission",
               fmt::format("It is {}, which accepts packets only from the call's other leg.",
                           Sentence(call)));
  }
  ToClient(*leg, Source());
}

void Narrator::ToLeg(const LegRecord& from, RelayedSlot slot, const TransportAddress& to) {
  const LegRecord* leg = context_.tables.FindRelayed(slot, to.ip.family(), to.port);
  const CoarseTime ends = leg == nullptr ? 0 : leg->ends.load(std::memory_order_acquire);
  if (leg == nullptr) {
    return Add("look up", "The peer's address is this relay's, but not a relayed address.");
  }
  Add("look up", fmt::format("The peer is {} of this relay, {}.", Name(*leg), Until(ends)));
  if (!Alive(ends)) return;
  const uint16_t source_port = from.relayed_port(to.ip.family());
  if (source_port == 0) {
    return Add("permission", "The sender has no relayed address of the peer's family.");
  }
  const relay::CallSide a = from.call.Load(), b = leg->call.Load();
  if (!relay::CallsConnect(a, b)) {
    return Add("permission",
               fmt::format("The sender is {}; the peer is {}.", Sentence(a), Sentence(b)));
  }
  const IpAddress source = context_.locals.RelayedIp(from.id, from.relayed_local(to.ip.family()));
  ToClient(*leg, {source, source_port});
}

void Narrator::ToClient(const LegRecord& leg, const TransportAddress& source) {
  const PermissionRecord* permission =
      context_.tables.permissions().Find(MakePeerKey(leg.id, source.ip, 0));
  const CoarseTime ends =
      permission == nullptr ? 0 : permission->ends.load(std::memory_order_acquire);
  if (ends == 0) {
    return Add("permission",
               fmt::format("{} has no permission for {}.", Name(leg), source.ip.ToString()));
  }
  std::string text =
      fmt::format("{} has a permission for {}, {}", Name(leg), source.ip.ToString(), Until(ends));
  if (!Alive(ends)) return Add("permission", text + ".");
  const BoundChannel channel = FindBound(context_.tables, *permission, source.port);
  if (Alive(channel.ends)) {
    text += fmt::format("; {} has channel 0x{:04x}.", source.ToString(), channel.number);
  } else {
    text += fmt::format("; {} has no channel.", source.ToString());
  }
  Add("permission", text);
  // What comes from another leg has been counted there.
  if (listener_ == kNoListener && !Rates(context_.tables.NumberOf(&leg), Meters::Side::kPeer)) {
    return;
  }
  Way(leg.next_hop);
}

bool Narrator::Rates(RecordNumber leg, Meters::Side side) {
  const Meters& meters = context_.tables.meters();
  if (!meters.on()) return true;
  const bool passes = !meters.Pass(leg, side, parsed_.ip_size, now_ms_, /*spend=*/false);
  Add("rate", passes ? "The rates of its allocation and its user allow it."
                     : "A rate of its allocation or its user is exhausted at the moment.");
  return passes;
}

void Narrator::Way(NextHopId id) {
  next_hop_ = "There is no route to the destination.";
  if (id == kNoNextHop) return;
  const NextHopTable::Hop hop = context_.next_hops.Read(id);
  const Interface& interface = context_.interfaces.at(hop.interface);
  std::string text = interface.name;
  if (interface.vlan != 0) text += fmt::format(", VLAN {}", interface.vlan);
  text += hop.resolved() ? fmt::format(", to {}", hop.mac().ToString())
                         : ", not resolved yet: control holds the packet and asks for the MAC "
                           "address";
  if (out_.drop_reason == DropReason::kTooBig) {
    text += fmt::format("; its MTU is {}, so the sender may send at most {}", interface.mtu,
                        outcome_.punt == nullptr ? 0 : outcome_.punt->mtu);
  }
  next_hop_ = text + ".";
}

void Narrator::Rewrite() {
  const std::span<const uint8_t> frame = outcome_.frame;
  const FrameOutline outline = OutlineOf(frame);
  if (outline.source == nullptr) return;
  const auto address = [&](const uint8_t* ip, uint16_t port) {
    return TransportAddress{outline.v4 ? IpAddress::V4(std::span<const uint8_t, 4>(ip, 4))
                                       : IpAddress::V6(std::span<const uint8_t, 16>(ip, 16)),
                            port};
  };
  const uint8_t* udp = outline.destination + (outline.v4 ? 4 : 16);
  const std::span<const uint8_t> payload(udp + kUdpHeaderSize, frame.data() + frame.size());
  std::string as;
  if (out_.path == PacketPath::kSendToPeer || out_.path == PacketPath::kChannelToPeer) {
    as = "the application's data alone";
  } else if (relay::LooksLikeChannelData(payload)) {
    as = fmt::format("ChannelData on channel 0x{:04x}", LoadBe16(payload.data()));
  } else {
    as = out_.path == PacketPath::kBinding ? "a Binding success response" : "a Data indication";
  }
  Add("rewrite", fmt::format("From {} to {} as {}, {} bytes of payload, UDP checksum 0x{:04x}.",
                             address(outline.source, outline.source_port).ToString(),
                             address(outline.destination, outline.destination_port).ToString(), as,
                             payload.size(), LoadBe16(udp + 6)));
}

void Narrator::Verdict() {
  std::string text;
  switch (out_.verdict) {
    case Explanation::Verdict::kForward:
      text = fmt::format("Sent on {}, counted as {}.", out_.port, dataplane::Name(*out_.path));
      break;
    case Explanation::Verdict::kAnswer:
      text = fmt::format("Answered on {}.", out_.port);
      break;
    case Explanation::Verdict::kControl:
      text = "Handed to control.";
      break;
    case Explanation::Verdict::kDrop:
      text = fmt::format("Dropped as {}. {}", dataplane::Name(*out_.drop_reason),
                         Sentence(*out_.drop_reason));
      break;
  }
  Add("verdict", text);
}

}  // namespace

void AddSteps(const ForwarderContext& context, std::span<const uint8_t> frame, uint16_t port,
              uint64_t now_ms, const FrameExplainer::LegName& leg_name, const Outcome& outcome,
              Explanation& explanation) {
  Narrator(context, frame, port, now_ms, leg_name, outcome, explanation).Run();
}

}  // namespace sotto::dataplane
