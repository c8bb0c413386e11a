// SPDX-License-Identifier: Apache-2.0
#include "dataplane/l3/reassembly.h"

#include <algorithm>
#include <cstring>

#include "dataplane/l3/headers.h"
#include "relay/base/big_endian.h"
#include "relay/base/checksum.h"

namespace sotto::dataplane {
namespace {

constexpr size_t kFragmentHeaderSize = 8;
constexpr size_t kMaxIpv4HeaderSize = 60;
// In front of the data: what a link header and an IP header can be at most.
constexpr size_t kHeadRoom = Reassembler::kMaxLinkHeader + kMaxIpv4HeaderSize;
constexpr uint16_t kDontFragmentFlag = 0x4000;

// What shares a bound; the same prefixes as SourceBudget's.
IpAddress PrefixOf(const IpAddress& source) {
  return IpPrefix(source, source.is_v4() ? 24 : 56).address();
}

}  // namespace

Reassembler::Reassembler(const ReassemblyOptions& options)
    : options_([&options] {
        ReassemblyOptions bounded = options;
        bounded.max_fragments = std::clamp(bounded.max_fragments, 2u, kMaxFragments);
        bounded.max_datagrams = std::max(bounded.max_datagrams, 1u);
        return bounded;
      }()),
      budget_(options.fragments_per_second, options.fragments_burst, options.secret),
      slots_(options_.max_datagrams) {
  for (uint32_t i = options_.max_datagrams; i > 0; --i) free_.push_back(i - 1);
}

bool Reassembler::Parse(InterfaceId interface, std::span<const uint8_t> frame, size_t ip_offset,
                        Fragment& out) {
  if (ip_offset > kMaxLinkHeader || ip_offset > frame.size()) return false;
  IpPacket packet;
  if (ParseIp(frame.subspan(ip_offset), packet) != L3Event::kNone) return false;
  out.link_header = frame.first(ip_offset);
  out.key = {
      .source = packet.source, .destination = packet.destination, .id = 0, .interface = interface};
  out.offset = packet.fragment_offset;
  out.more = packet.more_fragments;
  const uint8_t* ip = packet.datagram.data();
  if (packet.source.is_v4()) {
    // The protocol is part of a datagram's name (RFC 791, section 3.2), but only one is taken.
    out.key.id = LoadBe16(ip + 4);
    out.protocol = ip[9];
    out.ip_header = packet.datagram.first(packet.datagram.size() - packet.payload.size());
    out.data = packet.payload;
    if (!packet.is_fragment()) return false;
  } else {
    constexpr size_t kHead = kIpv6HeaderSize + kFragmentHeaderSize;
    if (ip[6] != kProtocolFragment || packet.datagram.size() < kHead) return false;
    out.key.id = LoadBe32(ip + kIpv6HeaderSize + 4);
    out.protocol = ip[kIpv6HeaderSize];
    out.ip_header = packet.datagram.first(kIpv6HeaderSize);
    out.data = packet.datagram.subspan(kHead);
  }
  // All but the last are made of whole units of eight bytes, and none is empty.
  if (out.data.empty() || (out.more && out.data.size() % 8 != 0)) return false;
  // RFC 7112 and RFC 1858: the first holds the UDP header.
  return out.offset != 0 || out.data.size() >= kUdpHeaderSize;
}

Reassembler::Result Reassembler::Add(InterfaceId interface, std::span<const uint8_t> frame,
                                     size_t ip_offset, uint64_t now_ms) {
  Expire(now_ms);
  const Result result = AddCounted(interface, frame, ip_offset, now_ms);
  ++counters_.outcomes[static_cast<size_t>(result.outcome)];
  return result;
}

Reassembler::Result Reassembler::AddCounted(InterfaceId interface, std::span<const uint8_t> frame,
                                            size_t ip_offset, uint64_t now_ms) {
  Fragment fragment;
  if (!Parse(interface, frame, ip_offset, fragment)) return {ReassemblyOutcome::kMalformed, {}};
  // In IPv6 only the first fragment says what the datagram is (RFC 8200, section 4.5).
  const bool names_protocol = fragment.key.source.is_v4() || fragment.offset == 0;
  if (names_protocol && fragment.protocol != kProtocolUdp) return {ReassemblyOutcome::kNotUdp, {}};
  if (!budget_.Spend(fragment.key.source, 1, now_ms)) return {ReassemblyOutcome::kRateLimited, {}};

  if (fragment.offset == 0 && !fragment.more) {
    // An atomic fragment is whole by itself and has nothing to do with others (RFC 6946).
    if (fragment.ip_header.size() + fragment.data.size() > options_.max_packet) {
      return {ReassemblyOutcome::kTooLong, {}};
    }
    finished_.resize(kHeadRoom + fragment.data.size());
    WriteHead(finished_, fragment);
    std::memcpy(&finished_[kHeadRoom], fragment.data.data(), fragment.data.size());
    return {ReassemblyOutcome::kComplete,
            Whole(finished_, fragment.link_header.size() + fragment.ip_header.size(),
                  fragment.link_header.size(), fragment.data.size())};
  }

  Datagram* const datagram = FindOrCreate(fragment, now_ms);
  if (datagram == nullptr) return {ReassemblyOutcome::kSourceFull, {}};
  if (datagram->fate != ReassemblyOutcome::kPending) return {datagram->fate, {}};
  const ReassemblyOutcome outcome = Place(*datagram, fragment);
  if (outcome == ReassemblyOutcome::kComplete) {
    std::swap(finished_, datagram->bytes);
    const std::span<const uint8_t> whole =
        Whole(finished_, datagram->head_size, datagram->link_size, datagram->total);
    End(static_cast<uint32_t>(datagram - slots_.data()));
    return {outcome, whole};
  }
  if (outcome != ReassemblyOutcome::kPending && outcome != ReassemblyOutcome::kDuplicate) {
    datagram->fate = outcome;
  }
  return {outcome, {}};
}

Reassembler::Datagram* Reassembler::FindOrCreate(const Fragment& fragment, uint64_t now_ms) {
  if (const auto it = by_key_.find(fragment.key); it != by_key_.end()) return &slots_[it->second];
  const IpAddress prefix = PrefixOf(fragment.key.source);
  const auto count = by_source_.find(prefix);
  if (count != by_source_.end() && count->second >= options_.max_datagrams_per_source) {
    return nullptr;
  }
  if (free_.empty()) {
    ++counters_.given_up;
    End(by_age_.begin()->second);
  }
  const uint32_t slot = free_.back();
  free_.pop_back();
  Datagram& datagram = slots_[slot];
  std::vector<uint8_t> bytes = std::move(datagram.bytes);
  bytes.resize(kHeadRoom + options_.max_packet);
  datagram = {};
  datagram.bytes = std::move(bytes);
  datagram.key = fragment.key;
  datagram.started_ms = now_ms;
  by_key_.emplace(fragment.key, slot);
  by_age_.emplace(now_ms, slot);
  ++by_source_[prefix];
  return &datagram;
}

// Puts the fragment where it belongs, if it fits what came before.
ReassemblyOutcome Reassembler::Place(Datagram& datagram, const Fragment& fragment) {
  if (fragment.ip_header.size() + fragment.end() > options_.max_packet) {
    return ReassemblyOutcome::kTooLong;
  }
  uint8_t* const place = &datagram.bytes[kHeadRoom + fragment.offset];
  uint32_t furthest = 0;
  for (uint8_t i = 0; i < datagram.fragments; ++i) {
    const Range& range = datagram.ranges[i];
    furthest = std::max<uint32_t>(furthest, range.end);
    if (fragment.offset >= range.end || fragment.end() <= range.begin) continue;
    const bool last = range.end == datagram.total;
    const bool same = fragment.offset == range.begin && fragment.end() == range.end &&
                      fragment.more != last &&
                      std::memcmp(place, fragment.data.data(), fragment.data.size()) == 0;
    return same ? ReassemblyOutcome::kDuplicate : ReassemblyOutcome::kOverlap;
  }
  // The last fragment ends behind all others, and there is one last fragment.
  if (!fragment.more && (datagram.total != 0 || furthest > fragment.end())) {
    return ReassemblyOutcome::kOverlap;
  }
  if (fragment.more && datagram.total != 0 && fragment.end() > datagram.total) {
    return ReassemblyOutcome::kOverlap;
  }
  if (datagram.fragments == options_.max_fragments) return ReassemblyOutcome::kTooManyFragments;

  datagram.ranges[datagram.fragments++] = {static_cast<uint16_t>(fragment.offset),
                                           static_cast<uint16_t>(fragment.end())};
  std::memcpy(place, fragment.data.data(), fragment.data.size());
  datagram.received += static_cast<uint32_t>(fragment.data.size());
  if (!fragment.more) datagram.total = fragment.end();
  if (fragment.offset == 0) {
    WriteHead(datagram.bytes, fragment);
    datagram.link_size = static_cast<uint8_t>(fragment.link_header.size());
    datagram.head_size =
        static_cast<uint16_t>(fragment.link_header.size() + fragment.ip_header.size());
  }
  // As none overlap and none passes the end, as many bytes as the whole has are the whole.
  if (datagram.total == 0 || datagram.received != datagram.total) {
    return ReassemblyOutcome::kPending;
  }
  const size_t packet_size = datagram.head_size - datagram.link_size + datagram.total;
  return packet_size > options_.max_packet ? ReassemblyOutcome::kTooLong
                                           : ReassemblyOutcome::kComplete;
}

// Writes the headers of a first fragment directly in front of the data.
void Reassembler::WriteHead(std::vector<uint8_t>& bytes, const Fragment& fragment) const {
  uint8_t* const ip = &bytes[kHeadRoom - fragment.ip_header.size()];
  std::memcpy(ip, fragment.ip_header.data(), fragment.ip_header.size());
  std::memcpy(ip - fragment.link_header.size(), fragment.link_header.data(),
              fragment.link_header.size());
  if (fragment.key.source.is_v6()) ip[6] = fragment.protocol;
}

// The finished frame: what the headers say of length and fragments is put right.
std::span<const uint8_t> Reassembler::Whole(std::span<uint8_t> bytes, size_t head_size,
                                            size_t link_size, size_t data_size) {
  const std::span<uint8_t> frame = bytes.subspan(kHeadRoom - head_size, head_size + data_size);
  const std::span<uint8_t> ip = frame.subspan(link_size);
  if (ip[0] >> 4 == 6) {
    StoreBe16(&ip[4], static_cast<uint16_t>(data_size));
    return frame;
  }
  StoreBe16(&ip[2], static_cast<uint16_t>(ip.size()));
  StoreBe16(&ip[6], LoadBe16(&ip[6]) & kDontFragmentFlag);
  std::memset(&ip[10], 0, 2);
  const uint16_t checksum = ChecksumOf(SumWords(ip.first(head_size - link_size)));
  std::memcpy(&ip[10], &checksum, sizeof(checksum));
  return frame;
}

void Reassembler::End(uint32_t slot) {
  const Datagram& datagram = slots_[slot];
  by_key_.erase(datagram.key);
  by_age_.erase({datagram.started_ms, slot});
  const auto count = by_source_.find(PrefixOf(datagram.key.source));
  if (--count->second == 0) by_source_.erase(count);
  free_.push_back(slot);
}

void Reassembler::Expire(uint64_t now_ms, uint32_t budget) {
  for (; budget > 0 && !by_age_.empty(); --budget) {
    const auto [started_ms, slot] = *by_age_.begin();
    if (now_ms < started_ms + options_.timeout_ms) return;
    if (slots_[slot].fate == ReassemblyOutcome::kPending) ++counters_.timed_out;
    End(slot);
  }
}

}  // namespace sotto::dataplane
