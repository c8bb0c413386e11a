// SPDX-License-Identifier: Apache-2.0
// Whatever arrives, the relay's IP layer and the reassembler stay within their bounds and send only
// well-formed frames.
//
// Input: one byte that says what to do, then a frame; more than one, each behind its length (two
// bytes), so that a fuzzer can build up state.
#include <cstdint>
#include <cstdlib>
#include <optional>
#include <span>

#include "dataplane/l3/headers.h"
#include "dataplane/l3/l3.h"
#include "dataplane/l3/reassembly.h"
#include "dataplane/l3/test_support.h"
#include "relay/base/byte_cursor.h"

namespace {

using sotto::dataplane::EthernetFrame;
using sotto::dataplane::InterfaceId;
using sotto::dataplane::IpPacket;

void Require(bool holds) {
  if (!holds) std::abort();
}

class CheckingSender : public sotto::dataplane::FrameSender {
 public:
  void SendFrame(InterfaceId interface, std::span<const uint8_t> frame) override {
    Require(interface < 2);
    const std::optional<EthernetFrame> ethernet = sotto::dataplane::ParseEthernet(frame);
    Require(ethernet.has_value());
    if (ethernet->ether_type == sotto::dataplane::kEtherTypeArp) return;
    IpPacket packet;
    Require(sotto::dataplane::ParseIp(ethernet->payload, packet) ==
            sotto::dataplane::L3Event::kNone);
    Require(packet.datagram.size() == ethernet->payload.size());
    Require(sotto::dataplane::IcmpChecksum(packet.source, packet.destination, packet.payload) == 0);
  }
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const auto* interfaces =
      new sotto::dataplane::InterfaceTable(sotto::dataplane::testing::TwoInterfaces());
  CheckingSender sender;
  sotto::dataplane::NextHopTable next_hops(16);
  sotto::dataplane::L3 l3(*interfaces, next_hops, sender, {},
                          [](const sotto::dataplane::IcmpReport& report) {
                            Require(interfaces->FindLocal(report.relayed.ip).has_value());
                          });
  sotto::dataplane::Reassembler reassembler({.max_datagrams = 4, .max_packet = 1600});
  const auto v4 = l3.neighbors().Acquire(sotto::dataplane::testing::Ip("192.0.2.77"));
  const auto v6 = l3.neighbors().Acquire(sotto::dataplane::testing::Ip("2001:db8::77"));
  Require(v4.ok() && v6.ok());

  uint64_t now_ms = 0;
  sotto::ByteReader reader({data, size});
  uint8_t what = 0;
  uint16_t frame_size = 0;
  std::span<const uint8_t> frame;
  while (reader.ReadU8(what) && reader.ReadU16(frame_size) && reader.ReadBytes(frame_size, frame)) {
    now_ms += 1u << (what >> 4);
    const InterfaceId interface = what & 1;
    switch (what >> 1 & 7) {
      case 0:
      case 1:
        l3.Handle(interface, frame, now_ms);
        break;
      case 2:
      case 3:
        l3.PacketTooBig(interface, frame, frame_size, now_ms);
        break;
      case 4:
        // What is held is the relay's own frame: only its size is the fuzzer's.
        l3.neighbors().Hold(interface == 0 ? *v4 : *v6,
                            sotto::dataplane::testing::EthernetOf(
                                sotto::dataplane::testing::Station({}), {}, 0x0806, frame));
        break;
      case 5:
        l3.Tick(now_ms);
        break;
      default: {
        const size_t ip_offset = (what & 2) != 0 ? 14 : 18;
        const auto result = reassembler.Add(interface, frame, ip_offset, now_ms);
        if (result.outcome != sotto::dataplane::ReassemblyOutcome::kComplete) break;
        IpPacket packet;
        Require(sotto::dataplane::ParseIp(result.frame.subspan(ip_offset), packet) ==
                sotto::dataplane::L3Event::kNone);
        Require(!packet.is_fragment());
        Require(packet.datagram.size() == result.frame.size() - ip_offset);
        Require(packet.datagram.size() <= 1600);
        break;
      }
    }
    Require(l3.neighbors().size() == 4);
    Require(l3.neighbors().held() <= 16);
    Require(reassembler.pending() <= 4);
  }
  return 0;
}
