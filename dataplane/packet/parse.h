// SPDX-License-Identifier: Apache-2.0
// From an Ethernet frame to a UDP payload, or to the reason why not. Pure: bytes in, values out; no
// DPDK, so that it is fuzzed and tested by itself.
#pragma once

#include <cstdint>
#include <span>

#include "dataplane/l3/headers.h"
#include "dataplane/l3/interface.h"
#include "dataplane/packet/drop_reason.h"
#include "dataplane/packet/local_addresses.h"
#include "relay/base/ip_address.h"

namespace sotto::dataplane {

enum class ParseVerdict : uint8_t {
  kUdp,           // a whole UDP datagram for one of the relay's addresses
  kNeighborhood,  // ARP, neighbour discovery, ICMP: control answers
  kFragment,      // of a datagram for one of the relay's addresses: control reassembles
  kDrop,          // see ParsedFrame::drop
};

// Offsets count from the first byte of the frame; ports are in host order.
struct ParsedFrame {
  ParseVerdict verdict = ParseVerdict::kDrop;
  DropReason drop = DropReason::kFrameTruncated;
  InterfaceId interface = 0;
  bool v4 = false;
  LocalIndex destination = kNotLocal;
  uint16_t ip_offset = 0;
  uint16_t ip_size = 0;       // the whole IP packet, by its header
  uint16_t udp_offset = 0;    // with kFragment: of what follows the (IPv6: unfragmentable) header
  uint16_t payload_size = 0;  // of UDP
  uint16_t source_port = 0;
  uint16_t destination_port = 0;

  uint16_t payload_offset() const { return static_cast<uint16_t>(udp_offset + kUdpHeaderSize); }
};

// What a port's hardware or driver has already found out about a frame.
struct FrameHints {
  uint16_t port = 0;
  uint16_t stripped_vlan = 0;     // a tag that the driver took off; 0: none
  bool ip_checksum_good = false;  // verified by hardware
};

// Reads the frame. Lengths are checked at every layer before a byte is read; IPv4 header
// checksums are verified; bytes behind the IP packet (Ethernet padding) are ignored.
// (`parsed` is filled in where it stays: copies of it would wait for its small stores.)
void ParseFrame(std::span<const uint8_t> frame, const FrameHints& hints,
                const InterfaceTable& interfaces, const LocalAddresses& locals,
                ParsedFrame& parsed);

// The source and destination of a parsed packet.
IpAddress SourceOf(const uint8_t* frame, const ParsedFrame& parsed);
IpAddress DestinationOf(const uint8_t* frame, const ParsedFrame& parsed);

// Whether the UDP checksum is right, or absent where it may be (IPv4).
bool UdpChecksumHolds(const uint8_t* frame, const ParsedFrame& parsed);

// A kernel that sends over a virtual link leaves in the checksum field the sum of the
// pseudo-header alone, for hardware to finish. If that is what stands there, finishes it in place.
// One corrupt packet in 65,536 looks the same: only for ports whose other end is a kernel.
void FinishUdpChecksum(uint8_t* frame, const ParsedFrame& parsed);

}  // namespace sotto::dataplane
