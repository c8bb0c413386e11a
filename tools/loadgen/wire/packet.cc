// SPDX-License-Identifier: Apache-2.0
#include "tools/loadgen/wire/packet.h"

#include <algorithm>
#include <cstring>

#include "relay/base/big_endian.h"
#include "relay/base/checksum.h"
#include "relay/wire/channel_data.h"

namespace sotto::tools {
namespace {

constexpr size_t kIp = 14;
constexpr size_t kUdp = kIp + 20;
constexpr size_t kChannel = kUdp + 8;
constexpr size_t kPayload = kChannel + 4;
constexpr size_t kStamp = 14;  // leg, sequence, time
static_assert(kPayload == kWireHeaderSize && kStamp == WireMix::kMinPayload);
static_assert(kPayload % 2 == 0, "sums of parts begin at even offsets");
constexpr size_t kArp = 14;

constexpr uint16_t kEtherTypeIpv4 = 0x0800;
constexpr uint16_t kEtherTypeArp = 0x0806;
constexpr uint8_t kProtocolUdp = 17;
constexpr uint8_t kTtl = 64;

void WriteMacs(const WireMac& to, const WireMac& from, uint16_t type, uint8_t* out) {
  std::copy(to.begin(), to.end(), out);
  std::copy(from.begin(), from.end(), out + 6);
  StoreBe16(out + 12, type);
}

// From `leg` to the server, with everything but lengths and checksums.
void WriteHeaders(const WirePlan& plan, uint32_t leg, uint8_t* out) {
  WriteMacs(plan.server_mac, plan.own_mac, kEtherTypeIpv4, out);
  std::memset(out + kIp, 0, 28);
  out[kIp] = 0x45;
  StoreBe16(out + kIp + 6, 0x4000);  // don't fragment: so the id may be zero (RFC 6864)
  out[kIp + 8] = kTtl;
  out[kIp + 9] = kProtocolUdp;
  StoreBe32(out + kIp + 12, plan.IpOf(leg));
  StoreBe32(out + kIp + 16, plan.server_ip);
  StoreBe16(out + kUdp, plan.PortOf(leg));
  StoreBe16(out + kUdp + 2, plan.server_port);
}

// Of addresses, protocol and ports: what lengths and data are added to.
uint64_t PseudoHeaderSum(const uint8_t* frame) {
  return SumWords(frame + kIp + 12, 8) + SumWord(kProtocolUdp) + SumWords(frame + kUdp, 4);
}

void WriteArp(const WireMac& to, uint16_t operation, const WireMac& sender, uint32_t sender_ip,
              const WireMac& target, uint32_t target_ip, uint8_t* out) {
  WriteMacs(to, sender, kEtherTypeArp, out);
  StoreBe16(out + kArp, 1);
  StoreBe16(out + kArp + 2, kEtherTypeIpv4);
  out[kArp + 4] = 6;
  out[kArp + 5] = 4;
  StoreBe16(out + kArp + 6, operation);
  std::copy(sender.begin(), sender.end(), out + kArp + 8);
  StoreBe32(out + kArp + 14, sender_ip);
  std::copy(target.begin(), target.end(), out + kArp + 18);
  StoreBe32(out + kArp + 24, target_ip);
}

bool IsArp(std::span<const uint8_t> frame) {
  return frame.size() >= kArpFrameSize && LoadBe16(&frame[12]) == kEtherTypeArp &&
         LoadBe32(&frame[kArp]) == 0x00010800 && LoadBe16(&frame[kArp + 4]) == 0x0604;
}

WireMac MacAt(const uint8_t* bytes) {
  WireMac mac;
  std::copy_n(bytes, mac.size(), mac.begin());
  return mac;
}

}  // namespace

WirePackets::WirePackets(const WirePlan& plan, const WireMix& mix) : plan_(plan), mix_(mix) {
  uint64_t state = 0x5077;
  for (size_t i = 0; i < fill_.size(); ++i) {
    state = state * 6364136223846793005u + 1442695040888963407u;
    fill_[i] = static_cast<uint8_t>(state >> 56);
  }
  index_of_.fill(kNoSize);
  for (size_t i = 0; i < mix.size_count(); ++i) {
    fill_sum_[i] = SumWords(fill_.data(), mix.payload(i) - kStamp);
    index_of_[mix.payload(i)] = static_cast<uint8_t>(i);
  }
}

WireTemplate WirePackets::TemplateFor(uint32_t leg) const {
  WireTemplate made = {};
  uint8_t* const header = made.header.data();
  WriteHeaders(plan_, leg, header);
  StoreBe16(header + kChannel, WireChannel(leg));
  made.ip_sum = FoldSum(SumWords(header + kIp, 20));
  uint8_t leg_bytes[4];
  StoreBe32(leg_bytes, leg);
  made.udp_sum =
      FoldSum(PseudoHeaderSum(header) + SumWord(WireChannel(leg)) + SumWords(leg_bytes, 4));
  made.leg = leg;
  return made;
}

size_t WirePackets::Write(WireTemplate& from, uint64_t time, uint8_t* out) const {
  const uint32_t sequence = from.sequence;
  const size_t index = mix_.IndexFor(from.leg, sequence);
  const uint16_t payload = mix_.payload(index);
  const auto udp_length = static_cast<uint16_t>(payload + 12);
  const auto ip_length = static_cast<uint16_t>(payload + 32);

  // The whole line in one go; what lies behind the header is written over below. Nothing that was
  // just stored is loaded again in another width, neither here nor for the sums: that would stall.
  std::memcpy(out, &from, sizeof(from));
  from.sequence = sequence + 1;
  StoreBe16(out + kIp + 2, ip_length);
  const uint16_t ip_checksum = ChecksumOf(uint64_t{from.ip_sum} + SumWord(ip_length));
  std::memcpy(out + kIp + 10, &ip_checksum, 2);
  StoreBe16(out + kUdp + 4, udp_length);
  StoreBe16(out + kChannel + 2, payload);
  StoreBe32(out + kPayload, from.leg);
  const uint64_t sequence_and_time =
      ByteSwap(uint64_t{sequence} << 32 | static_cast<uint32_t>(time >> 16));
  const uint16_t time_end = ByteSwap(static_cast<uint16_t>(time));
  std::memcpy(out + kPayload + 4, &sequence_and_time, 8);
  std::memcpy(out + kPayload + 12, &time_end, 2);
  std::memcpy(out + kPayload + kStamp, fill_.data(), payload - kStamp);

  // The UDP length counts twice: in the pseudo-header and in the header.
  const uint64_t sum = uint64_t{from.udp_sum} + 2 * uint64_t{SumWord(udp_length)} +
                       SumWord(payload) + (sequence_and_time & UINT32_MAX) +
                       (sequence_and_time >> 32) + time_end + fill_sum_[index];
  const uint16_t udp_checksum = UdpChecksumField(ChecksumOf(sum));
  std::memcpy(out + kUdp + 6, &udp_checksum, 2);
  return kPayload + payload;
}

WireArrival WirePackets::Read(std::span<const uint8_t> frame) const {
  WireArrival arrival;
  if (frame.size() < kUdp + 8) {
    arrival.verdict = IsArp(frame) ? WireVerdict::kArp : WireVerdict::kForeign;
    return arrival;
  }
  const uint8_t* const f = frame.data();
  if (LoadBe16(f + 12) != kEtherTypeIpv4) {
    if (IsArp(frame)) arrival.verdict = WireVerdict::kArp;
    return arrival;
  }
  if (f[kIp] != 0x45 || f[kIp + 9] != kProtocolUdp || LoadBe32(f + kIp + 12) != plan_.server_ip ||
      LoadBe16(f + kUdp) != plan_.server_port) {
    return arrival;
  }
  arrival.leg = plan_.LegAt(LoadBe32(f + kIp + 16), LoadBe16(f + kUdp + 2));
  if (arrival.leg >= plan_.legs) return arrival;

  arrival.verdict = WireVerdict::kCorrupt;
  const uint16_t ip_length = LoadBe16(f + kIp + 2);
  const uint16_t udp_length = LoadBe16(f + kUdp + 4);
  const bool fragment = (LoadBe16(f + kIp + 6) & 0x3fff) != 0;
  if (kIp + ip_length > frame.size() || udp_length + 20 != ip_length || udp_length < 12 ||
      fragment) {
    return arrival;
  }
  if (FoldSum(SumWords(f + kIp, 20)) != 0xffff) {
    arrival.verdict = WireVerdict::kBadChecksum;
    return arrival;
  }
  if (f[kChannel] < 0x40) {
    arrival.verdict = WireVerdict::kStun;
    arrival.datagram = frame.subspan(kChannel, udp_length - size_t{8});
    return arrival;
  }
  // ChannelData over UDP may be padded to a multiple of four.
  const uint16_t payload = LoadBe16(f + kChannel + 2);
  const uint32_t padding = uint32_t{udp_length} - 12 - payload;
  if (payload > WireMix::kMaxPayload || index_of_[payload] == kNoSize || padding > 3) {
    return arrival;
  }
  const size_t index = index_of_[payload];
  const uint32_t sender = LoadBe32(f + kPayload);
  arrival.sequence = LoadBe32(f + kPayload + 4);
  arrival.time = uint64_t{LoadBe16(f + kPayload + 8)} << 32 | LoadBe32(f + kPayload + 10);
  if (sender >= plan_.legs || index != mix_.IndexFor(sender, arrival.sequence) ||
      std::memcmp(f + kPayload + kStamp, fill_.data(), payload - kStamp) != 0) {
    return arrival;
  }
  uint16_t udp_checksum;
  std::memcpy(&udp_checksum, f + kUdp + 6, 2);
  arrival.no_udp_checksum = udp_checksum == 0;
  // The fill has just been compared, so its sum is known; padding is rare.
  uint64_t sum = PseudoHeaderSum(f) + 2 * uint64_t{SumWord(udp_length)} + udp_checksum +
                 SumWords(f + kChannel, 4 + kStamp) + fill_sum_[index];
  if (padding != 0) {
    const size_t even = (kPayload + payload) & ~size_t{1};
    sum += SumWords(f + even, kPayload + payload + padding - even);
    if (payload % 2 != 0) sum -= f[even];  // the last byte of the fill is in its sum already
  }
  if (udp_checksum != 0 && FoldSum(sum) != 0xffff) {
    arrival.verdict = WireVerdict::kBadChecksum;
    return arrival;
  }
  const bool expected =
      sender == plan_.SenderFor(arrival.leg) && LoadBe16(f + kChannel) == WireChannel(arrival.leg);
  arrival.verdict = expected ? WireVerdict::kIntact : WireVerdict::kMisdelivered;
  return arrival;
}

size_t WriteWireDatagram(const WirePlan& plan, uint32_t leg, std::span<const uint8_t> datagram,
                         std::span<uint8_t> out) {
  const size_t size = kChannel + datagram.size();
  if (size > out.size() || size > UINT16_MAX) return 0;
  uint8_t* const f = out.data();
  WriteHeaders(plan, leg, f);
  StoreBe16(f + kIp + 2, static_cast<uint16_t>(size - kIp));
  const uint16_t ip_checksum = ChecksumOf(SumWords(f + kIp, 20));
  std::memcpy(f + kIp + 10, &ip_checksum, 2);
  const auto udp_length = static_cast<uint16_t>(size - kUdp);
  StoreBe16(f + kUdp + 4, udp_length);
  std::copy(datagram.begin(), datagram.end(), f + kChannel);
  const uint64_t sum = PseudoHeaderSum(f) + 2 * uint64_t{SumWord(udp_length)} + SumWords(datagram);
  const uint16_t udp_checksum = UdpChecksumField(ChecksumOf(sum));
  std::memcpy(f + kUdp + 6, &udp_checksum, 2);
  return size;
}

void WriteArpRequest(const WirePlan& plan, std::span<uint8_t, kArpFrameSize> out) {
  WireMac everyone;
  everyone.fill(0xff);
  WriteArp(everyone, 1, plan.own_mac, plan.first_ip, {}, plan.server_ip, out.data());
}

bool AnswerArp(const WirePlan& plan, std::span<const uint8_t> frame,
               std::span<uint8_t, kArpFrameSize> out) {
  if (!IsArp(frame) || LoadBe16(&frame[kArp + 6]) != 1) return false;
  const uint32_t wanted = LoadBe32(&frame[kArp + 24]);
  const uint32_t asker = LoadBe32(&frame[kArp + 14]);
  // What asks in our own name checks for duplicates or lies; neither is answered.
  if (!plan.Plays(wanted) || plan.Plays(asker)) return false;
  const WireMac mac = MacAt(&frame[kArp + 8]);
  WriteArp(mac, 2, plan.own_mac, wanted, mac, asker, out.data());
  return true;
}

bool LearnServerMac(std::span<const uint8_t> frame, WirePlan& plan) {
  if (!IsArp(frame) || LoadBe16(&frame[kArp + 6]) != 2 ||
      LoadBe32(&frame[kArp + 14]) != plan.server_ip) {
    return false;
  }
  plan.server_mac = MacAt(&frame[kArp + 8]);
  return true;
}

}  // namespace sotto::tools
