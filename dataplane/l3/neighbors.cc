// SPDX-License-Identifier: Apache-2.0
#include "dataplane/l3/neighbors.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>

#include "dataplane/l3/headers.h"
#include "dataplane/l3/neighbor_messages.h"

namespace sotto::dataplane {
namespace {

constexpr uint64_t kAnnounceIntervalMs = 2'000;  // RFC 5227, section 1.1
constexpr uint64_t kDefendIntervalMs = 10'000;
constexpr uint64_t kReportIntervalMs = 1'000;  // between answers to listener queries
// How soon a MAC address that was told unasked is probed.
constexpr uint64_t kStaleDelayMs = 1'000;
// How long a question waits when too many are asked.
constexpr uint64_t kCrowdedDelayMs = 100;

uint64_t Scramble(uint64_t x) {
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ULL;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebULL;
  return x ^ (x >> 31);
}

bool HasMac(NeighborState state) {
  return state != NeighborState::kIncomplete && state != NeighborState::kFailed;
}

}  // namespace

std::string_view NeighborStateName(NeighborState state) {
  constexpr std::string_view kNames[] = {"incomplete", "reachable",   "stale",
                                         "probe",      "unreachable", "failed"};
  return kNames[static_cast<size_t>(state)];
}

Neighbors::Neighbors(const InterfaceTable& interfaces, NextHopTable& next_hops, FrameSender& sender,
                     NeighborOptions options)
    : interfaces_(interfaces), next_hops_(next_hops), sender_(sender), options_(options) {
  entries_.emplace_back();  // kNoNextHop
  // Nothing may be sent before the first Tick: ports aren't up while the daemon is being built.
  for (size_t i = 0; i < interfaces_.size(); ++i) {
    const InterfaceId id = static_cast<InterfaceId>(i);
    bool has_gateway[2] = {false, false};  // IPv4, IPv6
    for (const IpAddress& gateway : interfaces_.at(id).gateways) {
      if (std::exchange(has_gateway[gateway.is_v6()], true)) continue;
      const absl::StatusOr<NextHopId> held = AcquireRoute({id, gateway});
      if (held.ok()) entries_[*held].gateway = true;
    }
  }
  solicitation_tokens_ms_ = uint64_t{options_.solicitations_per_second} * 1000;
}

absl::StatusOr<NextHopId> Neighbors::Acquire(const IpAddress& destination) {
  const std::optional<Route> route = interfaces_.FindRoute(destination);
  if (!route) {
    return absl::NotFoundError(
        fmt::format("no route leads to {}; add a gateway of its family, or an interface in its "
                    "subnet, to the configuration",
                    destination.ToString()));
  }
  const uint32_t known = size();
  absl::StatusOr<NextHopId> id = AcquireRoute(*route);
  if (id.ok() && size() != known) Ask(*id);
  return id;
}

absl::StatusOr<NextHopId> Neighbors::AcquireRoute(const Route& route) {
  const Key key{route.interface, route.next_hop};
  if (const auto it = by_address_.find(key); it != by_address_.end()) {
    ++entries_[it->second].references;
    return it->second;
  }
  NextHopId id = kNoNextHop;
  if (!free_.empty()) {
    id = free_.back();
    free_.pop_back();
  } else if (entries_.size() < next_hops_.capacity()) {
    id = static_cast<NextHopId>(entries_.size());
    entries_.emplace_back();
  } else {
    ++counters_.table_full;
    return absl::ResourceExhaustedError(
        fmt::format("no room for next hop {}: all {} are in use; raise [dataplane] "
                    "max_allocations, or find the clients that reach so many on-link hosts",
                    route.next_hop.ToString(), next_hops_.capacity() - 1));
  }
  entries_[id] = {.ip = route.next_hop,
                  .interface = route.interface,
                  .references = 1,
                  .confirmed_ms = now_ms_,
                  .deadline_ms = now_ms_};
  by_address_.emplace(key, id);
  deadlines_.emplace(now_ms_, id);
  next_hops_.SetUnresolved(id);
  next_hops_.SetInterface(id, route.interface);
  return id;
}

void Neighbors::Release(NextHopId id) {
  if (id == kNoNextHop || id >= entries_.size()) return;
  Entry& entry = entries_[id];
  const uint32_t own = entry.gateway ? 1 : 0;  // a gateway's reference is the table's own
  if (entry.references <= own || --entry.references > 0) return;
  DropHeld(id);
  next_hops_.SetUnresolved(id);
  deadlines_.erase({entry.deadline_ms, id});
  by_address_.erase(Key{entry.interface, entry.ip});
  entry = {};
  free_.push_back(id);
}

bool Neighbors::Hold(NextHopId id, std::span<const uint8_t> frame) {
  if (frame.size() < kEthernetHeaderSize || id == kNoNextHop || id >= entries_.size() ||
      entries_[id].references == 0 || entries_[id].state == NeighborState::kFailed) {
    ++counters_.dropped_unresolved;
    return false;
  }
  const Entry& entry = entries_[id];
  if (HasMac(entry.state)) {
    std::vector<uint8_t> copy(frame.begin(), frame.end());
    std::copy(entry.mac.bytes.begin(), entry.mac.bytes.end(), copy.begin());
    sender_.SendFrame(entry.interface, copy);
    return true;
  }
  const auto it = held_.find(id);
  const bool replace = it != held_.end() && it->second.size() >= options_.max_held_per_hop;
  if (!replace && held_total_ >= options_.max_held) {
    ++counters_.dropped_held_full;
    return false;
  }
  std::deque<std::vector<uint8_t>>& frames = it != held_.end() ? it->second : held_[id];
  if (replace) {
    // RFC 4861, section 7.2.2: the newest are worth most.
    frames.pop_front();
    --held_total_;
    ++counters_.dropped_held_full;
  }
  frames.emplace_back(frame.begin(), frame.end());
  ++held_total_;
  ++counters_.held;
  return true;
}

void Neighbors::SendHeld(NextHopId id) {
  const auto node = held_.extract(id);
  if (node.empty()) return;
  const Entry& entry = entries_[id];
  for (std::vector<uint8_t>& frame : node.mapped()) {
    std::copy(entry.mac.bytes.begin(), entry.mac.bytes.end(), frame.begin());
    sender_.SendFrame(entry.interface, frame);
  }
  held_total_ -= static_cast<uint32_t>(node.mapped().size());
  counters_.held_sent += node.mapped().size();
}

void Neighbors::DropHeld(NextHopId id) {
  const auto node = held_.extract(id);
  if (node.empty()) return;
  held_total_ -= static_cast<uint32_t>(node.mapped().size());
  counters_.dropped_unresolved += node.mapped().size();
}

void Neighbors::Tick(uint64_t now_ms, uint32_t budget) {
  now_ms_ = std::max(now_ms_, now_ms);
  if (announce_again_ms_ != 0 && now_ms_ >= announce_again_ms_) {
    announce_again_ms_ = 0;
    for (size_t i = 0; i < interfaces_.size(); ++i) Announce(static_cast<InterfaceId>(i));
  }
  for (; budget > 0 && !deadlines_.empty() && deadlines_.begin()->first <= now_ms_; --budget) {
    OnDeadline(deadlines_.begin()->second);
  }
}

void Neighbors::OnDeadline(NextHopId id) {
  Entry& entry = entries_[id];
  switch (entry.state) {
    case NeighborState::kReachable:
    case NeighborState::kStale:
      entry.state = NeighborState::kProbe;
      entry.attempts = 0;
      break;
    case NeighborState::kProbe:
      if (entry.attempts < options_.max_unicast) break;
      entry.state = NeighborState::kUnreachable;
      entry.attempts = 0;
      break;
    case NeighborState::kIncomplete:
    case NeighborState::kUnreachable:
      if (entry.attempts < options_.max_multicast) break;
      // A round of questions has just gone unanswered: the next one is due after a pause.
      ++counters_.failed;
      entry.state = NeighborState::kFailed;
      entry.mac = {};
      entry.backoff_ms = options_.retransmit_ms;
      next_hops_.SetUnresolved(id);
      DropHeld(id);
      Schedule(id, now_ms_ + entry.backoff_ms);
      return;
    case NeighborState::kFailed:
      break;
  }
  Ask(id);
}

// Asks once and schedules what comes after it.
void Neighbors::Ask(NextHopId id) {
  Entry& entry = entries_[id];
  if (!Solicit(entry)) {
    Schedule(id, now_ms_ + kCrowdedDelayMs);
    return;
  }
  if (entry.state == NeighborState::kFailed) {
    entry.backoff_ms = std::min(entry.backoff_ms * 2, options_.max_backoff_ms);
    Schedule(id, now_ms_ + entry.backoff_ms);
    return;
  }
  ++entry.attempts;
  Schedule(id, now_ms_ + options_.retransmit_ms);
}

// False if too many questions have been asked of late.
bool Neighbors::Solicit(const Entry& entry) {
  const uint64_t limit_ms = uint64_t{options_.solicitations_per_second} * 1000;
  const uint64_t elapsed = std::min<uint64_t>(now_ms_ - tokens_updated_ms_, 1000);
  solicitation_tokens_ms_ =
      std::min(limit_ms, solicitation_tokens_ms_ + elapsed * options_.solicitations_per_second);
  tokens_updated_ms_ = now_ms_;
  if (solicitation_tokens_ms_ < 1000) return false;
  solicitation_tokens_ms_ -= 1000;

  const Interface& interface = interfaces_.at(entry.interface);
  const std::optional<IpAddress> source = interfaces_.SourceFor(entry.interface, entry.ip);
  if (!source) return true;  // Create() makes sure that there is one
  const bool unicast = entry.state == NeighborState::kProbe;
  ++counters_.solicitations;
  if (entry.ip.is_v6()) {
    sender_.SendFrame(
        entry.interface,
        BuildSolicitation(interface, *source, entry.ip, unicast ? &entry.mac : nullptr).bytes());
    return true;
  }
  const ArpMessage request = {.operation = kArpRequest,
                              .sender_mac = interface.mac,
                              .sender_ip = *source,
                              .target_mac = unicast ? entry.mac : MacAddress{},
                              .target_ip = entry.ip};
  sender_.SendFrame(
      entry.interface,
      BuildArp(interface, unicast ? entry.mac : MacAddress::Broadcast(), request).bytes());
  return true;
}

void Neighbors::Schedule(NextHopId id, uint64_t deadline_ms) {
  Entry& entry = entries_[id];
  deadlines_.erase({entry.deadline_ms, id});
  entry.deadline_ms = deadline_ms;
  deadlines_.emplace(deadline_ms, id);
}

uint64_t Neighbors::ReachableTime(NextHopId id) const {
  const uint64_t half = options_.reachable_ms / 2;
  return half + Scramble(now_ms_ ^ (uint64_t{id} << 32)) % (half + 1);
}

void Neighbors::Enter(NextHopId id, NeighborState state, uint64_t delay_ms) {
  entries_[id].state = state;
  entries_[id].attempts = 0;
  Schedule(id, now_ms_ + delay_ms);
}

void Neighbors::Confirm(NextHopId id) {
  entries_[id].confirmed_ms = now_ms_;
  Enter(id, NeighborState::kReachable, ReachableTime(id));
}

void Neighbors::SetMac(NextHopId id, const MacAddress& mac) {
  Entry& entry = entries_[id];
  if (HasMac(entry.state)) {
    ++counters_.changed;
  } else {
    ++counters_.resolved;
  }
  entry.mac = mac;
  next_hops_.SetResolved(id, mac);
}

// RFC 4861, section 7.2.5 and its appendix C, for ARP too: a reply is a solicited advertisement
// with the override flag, any other ARP packet an unsolicited one (RFC 826's merge).
L3Event Neighbors::Learn(InterfaceId interface, const IpAddress& ip, const Claim& claim) {
  const auto it = by_address_.find(Key{interface, ip});
  if (it == by_address_.end()) return L3Event::kNeighborUnchanged;
  const NextHopId id = it->second;
  Entry& entry = entries_[id];

  if (!HasMac(entry.state)) {
    SetMac(id, claim.mac);
    if (claim.solicited) {
      Confirm(id);
    } else {
      Enter(id, NeighborState::kStale, kStaleDelayMs);
    }
    SendHeld(id);
    return L3Event::kNeighborLearned;
  }
  const bool same = claim.mac == entry.mac;
  if (!same && !claim.override) {
    // Two claim the address, and this one doesn't insist: ask the one that is known.
    if (entry.state == NeighborState::kReachable) Enter(id, NeighborState::kStale, kStaleDelayMs);
    return L3Event::kNeighborUnchanged;
  }
  if (!same) SetMac(id, claim.mac);
  // An answer counts only while a question is open; nobody can prolong a next hop's life unasked.
  const bool asked =
      entry.state == NeighborState::kProbe || entry.state == NeighborState::kUnreachable;
  if (claim.solicited && asked) {
    Confirm(id);
    return L3Event::kNeighborLearned;
  }
  if (same) return L3Event::kNeighborUnchanged;
  // A station that keeps changing its mind doesn't put off the probe.
  if (entry.state != NeighborState::kStale) Enter(id, NeighborState::kStale, kStaleDelayMs);
  return L3Event::kNeighborLearned;
}

L3Event Neighbors::HandleArp(InterfaceId interface_id, const EthernetFrame& frame) {
  const Interface& interface = interfaces_.at(interface_id);
  const std::optional<ArpMessage> message = ParseArp(frame.payload);
  if (!message || !frame.source.is_station()) return L3Event::kMalformedArp;
  if (!frame.destination.is_multicast() && frame.destination != interface.mac) {
    return L3Event::kNotForUs;
  }
  if (message->sender_mac == interface.mac) return L3Event::kNotForUs;  // our own, looped back
  if (interfaces_.FindLocal(message->sender_ip) == interface_id) {
    DefendAddress(interface_id);
    return L3Event::kAddressConflict;
  }
  const bool to_us = interfaces_.FindLocal(message->target_ip) == interface_id;
  const bool reply = message->operation == kArpReply;
  const L3Event learned =
      Learn(interface_id, message->sender_ip,
            {.mac = message->sender_mac,
             .solicited = reply && to_us && frame.destination == interface.mac});
  if (!to_us || reply) return learned;
  // To the station that sent the frame, whatever its sender field says: no reflection.
  const ArpMessage answer = {.operation = kArpReply,
                             .sender_mac = interface.mac,
                             .sender_ip = message->target_ip,
                             .target_mac = message->sender_mac,
                             .target_ip = message->sender_ip};
  sender_.SendFrame(interface_id, BuildArp(interface, frame.source, answer).bytes());
  return L3Event::kArpAnswered;
}

L3Event Neighbors::HandleSolicitation(InterfaceId interface_id, const EthernetFrame& frame,
                                      const IpPacket& packet) {
  const Interface& interface = interfaces_.at(interface_id);
  NeighborMessage message;
  const L3Event event = ParseSolicitation(packet, message);
  if (event != L3Event::kNone) return event;
  if (!frame.source.is_station()) return L3Event::kMalformedFrame;
  if (IsMulticast(packet.source)) return L3Event::kMartianSource;
  if (frame.source == interface.mac) return L3Event::kNotForUs;  // our own, looped back
  if (interfaces_.FindLocal(packet.source)) return L3Event::kMartianSource;
  if (interfaces_.FindLocal(message.target) != interface_id ||
      (packet.destination != message.target &&
       packet.destination != SolicitedNode(message.target))) {
    return L3Event::kNotForUs;
  }
  if (IsUnspecified(packet.source)) {
    sender_.SendFrame(interface_id, BuildAdvertisement(interface, MulticastMac(AllNodes()),
                                                       message.target, AllNodes())
                                        .bytes());
    return L3Event::kSolicitationAnswered;
  }
  if (message.link_layer) Learn(interface_id, packet.source, {.mac = *message.link_layer});
  sender_.SendFrame(
      interface_id,
      BuildAdvertisement(interface, frame.source, message.target, packet.source).bytes());
  return L3Event::kSolicitationAnswered;
}

L3Event Neighbors::HandleAdvertisement(InterfaceId interface_id, const EthernetFrame& frame,
                                       const IpPacket& packet) {
  const Interface& interface = interfaces_.at(interface_id);
  NeighborMessage message;
  const L3Event event = ParseAdvertisement(packet, message);
  if (event != L3Event::kNone) return event;
  if (frame.source == interface.mac) return L3Event::kNotForUs;  // our own, looped back
  if (interfaces_.FindLocal(message.target) == interface_id) {
    DefendAddress(interface_id);
    return L3Event::kAddressConflict;
  }
  if (IsMulticast(packet.destination) ? packet.destination != AllNodes()
                                      : interfaces_.FindLocal(packet.destination) != interface_id) {
    return L3Event::kNotForUs;
  }
  const auto it = by_address_.find(Key{interface_id, message.target});
  if (it == by_address_.end()) return L3Event::kNeighborUnchanged;
  const Entry& entry = entries_[it->second];
  Claim claim = {.solicited = message.solicited, .override = message.override};
  if (message.link_layer) {
    claim.mac = *message.link_layer;
  } else if (HasMac(entry.state)) {
    claim.mac = entry.mac;  // the answer to a unicast question need not repeat it
  } else {
    return L3Event::kNeighborUnchanged;
  }
  return Learn(interface_id, message.target, claim);
}

void Neighbors::DefendAddress(InterfaceId interface) {
  uint64_t& defended_ms = defended_ms_[interface];
  if (defended_ms != 0 && now_ms_ - defended_ms < kDefendIntervalMs) return;
  defended_ms = std::max<uint64_t>(now_ms_, 1);
  Announce(interface);
}

void Neighbors::AnnounceAddresses() {
  for (size_t i = 0; i < interfaces_.size(); ++i) Announce(static_cast<InterfaceId>(i));
  announce_again_ms_ = now_ms_ + kAnnounceIntervalMs;
}

void Neighbors::Announce(InterfaceId id) {
  const Interface& interface = interfaces_.at(id);
  SendListenerReport(id, true);
  for (const Interface::Address& address : interface.addresses) {
    if (address.ip.is_v6()) {
      sender_.SendFrame(
          id,
          BuildAdvertisement(interface, MulticastMac(AllNodes()), address.ip, AllNodes()).bytes());
    } else {
      const ArpMessage announcement = {.operation = kArpRequest,
                                       .sender_mac = interface.mac,
                                       .sender_ip = address.ip,
                                       .target_mac = {},
                                       .target_ip = address.ip};
      sender_.SendFrame(id, BuildArp(interface, MacAddress::Broadcast(), announcement).bytes());
    }
  }
}

bool Neighbors::SendListenerReport(InterfaceId id, bool joining) {
  std::vector<IpAddress> groups;
  for (const Interface::Address& address : interfaces_.at(id).addresses) {
    if (address.ip.is_v6()) groups.push_back(SolicitedNode(address.ip));
  }
  std::sort(groups.begin(), groups.end());
  groups.erase(std::unique(groups.begin(), groups.end()), groups.end());
  for (size_t i = 0; i < groups.size(); i += kMaxGroupsPerReport) {
    sender_.SendFrame(
        id, BuildListenerReport(interfaces_.at(id), std::span(groups).subspan(i), joining).bytes());
  }
  return !groups.empty();
}

L3Event Neighbors::HandleListenerQuery(InterfaceId id, const IpPacket& packet) {
  // RFC 3810, sections 5.1 and 6.2: from a router on the link, and no shorter than MLDv1's.
  constexpr size_t kQuerySize = 24;
  if (packet.payload.size() < kQuerySize) return L3Event::kMalformedIcmp;
  if (packet.hop_limit != 1 || !IsLinkLocal(packet.source)) return L3Event::kMartianSource;
  if (IcmpChecksum(packet.source, packet.destination, packet.payload) != 0) {
    return L3Event::kBadIcmpChecksum;
  }
  uint64_t& reported_ms = reported_ms_[id];
  if (reported_ms != 0 && now_ms_ - reported_ms < kReportIntervalMs) return L3Event::kRateLimited;
  reported_ms = std::max<uint64_t>(now_ms_, 1);
  return SendListenerReport(id, false) ? L3Event::kListenerReportSent : L3Event::kIcmpIgnored;
}

void Neighbors::ForEach(const std::function<void(const NeighborInfo&)>& visit) const {
  for (const auto& [key, id] : by_address_) {
    const Entry& entry = entries_[id];
    visit({.id = id,
           .interface = entry.interface,
           .ip = entry.ip,
           .state = entry.state,
           .mac = entry.mac,
           .age_ms = now_ms_ - entry.confirmed_ms,
           .references = entry.references,
           .gateway = entry.gateway});
  }
}

}  // namespace sotto::dataplane
