// SPDX-License-Identifier: Apache-2.0
// The packets of `sotto-loadgen wire`: ChannelData over UDP, IPv4 and Ethernet, written from a
// template for each leg and read back byte by byte.
//
//   Ethernet 14 | IPv4 20 | UDP 8 | ChannelData 4 | leg 4 | sequence 4 | time 6 | fill ...
//
// Integers are big-endian. Leg and sequence are the sender's; the time is the low 48 bits of the
// sender's clock, in its ticks. The fill is the same pseudo-random stream in every packet. The UDP
// checksum is right, and is put together from sums that are known beforehand: that of the leg's
// headers and that of the fill.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <vector>

#include "tools/loadgen/wire/mix.h"
#include "tools/loadgen/wire/plan.h"

namespace sotto::tools {

constexpr size_t kWireHeaderSize = 14 + 20 + 8 + 4;
constexpr size_t kWireMaxFrame = kWireHeaderSize + WireMix::kMaxPayload;

// What leg `leg` puts into its packets. One cache line.
struct alignas(64) WireTemplate {
  std::array<uint8_t, kWireHeaderSize> header;  // lengths and checksums are zero
  uint16_t ip_sum;                              // of the IPv4 header, folded
  uint16_t udp_sum;  // of the pseudo-header, the UDP header, the channel and the leg, folded
  uint32_t sequence;
  uint32_t leg;
};
static_assert(sizeof(WireTemplate) == 64);

enum class WireVerdict : uint8_t {
  kIntact,
  kStun,          // to a leg, from the server: for its TURN client
  kArp,           // of any kind
  kForeign,       // not from the server to one of the legs
  kCorrupt,       // a byte or the length isn't as it was sent, or can't be
  kBadChecksum,   // that of IPv4 or UDP; no UDP checksum isn't bad
  kMisdelivered,  // intact, but at another leg than it was sent to, or on another channel
};

struct WireArrival {
  WireVerdict verdict = WireVerdict::kForeign;
  uint32_t leg = 0;       // where it arrived; of kStun too
  uint32_t sequence = 0;  // of the sender
  uint64_t time = 0;      // 48 bits
  bool no_udp_checksum = false;
  std::span<const uint8_t> datagram = {};  // of kStun: views the frame
};

class WirePackets {
 public:
  WirePackets(const WirePlan& plan, const WireMix& mix);

  WireTemplate TemplateFor(uint32_t leg) const;

  // Writes the next packet of the template's leg and counts its sequence number up. `out` has room
  // for a frame of the largest size, and 64 bytes at least. Returns the frame's size.
  size_t Write(WireTemplate& from, uint64_t time, uint8_t* out) const;

  // `frame` may hold padding after the IP packet.
  WireArrival Read(std::span<const uint8_t> frame) const;

  const WirePlan& plan() const { return plan_; }
  const WireMix& mix() const { return mix_; }

 private:
  static constexpr uint8_t kNoSize = 0xff;

  WirePlan plan_;
  WireMix mix_;
  std::array<uint8_t, WireMix::kMaxPayload> fill_;            // from its place in the payload on
  std::array<uint64_t, WireMix::kMaxSizes> fill_sum_ = {};    // of each size's fill
  std::array<uint8_t, WireMix::kMaxPayload + 1> index_of_{};  // of a payload size; kNoSize: none
};

// Any UDP datagram of a leg to the server, as a frame; returns its size, or 0 if `out` is too
// small.
size_t WriteWireDatagram(const WirePlan& plan, uint32_t leg, std::span<const uint8_t> datagram,
                         std::span<uint8_t> out);

// ARP (RFC 826) for the addresses that the generator plays. Frames have 42 bytes.
constexpr size_t kArpFrameSize = 42;
// Who has the server's address?
void WriteArpRequest(const WirePlan& plan, std::span<uint8_t, kArpFrameSize> out);
// Answers a request for one of the legs' addresses; false if it isn't one.
bool AnswerArp(const WirePlan& plan, std::span<const uint8_t> frame,
               std::span<uint8_t, kArpFrameSize> out);
// Takes the server's MAC address from an ARP frame of its; false if it is something else.
bool LearnServerMac(std::span<const uint8_t> frame, WirePlan& plan);

// How much later `now` is than the 48-bit time of a packet, in ticks.
constexpr uint64_t WireAge(uint64_t now, uint64_t time) {
  return (now - time) & ((uint64_t{1} << 48) - 1);
}

}  // namespace sotto::tools
