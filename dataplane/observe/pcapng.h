// SPDX-License-Identifier: Apache-2.0
// Writes pcapng (draft-ietf-opsawg-pcapng): a section header, an interface description for each
// port, and enhanced packet blocks. Each block is whole, in this machine's byte order, and appended
// to `out`; what was written so far is a file at every moment.
//
// Not librte_pcapng, which in DPDK 22.11 is experimental and writes mbufs of its own to
// descriptors.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace sotto::dataplane {

void AppendPcapngSection(std::string_view application, std::string& out);

// Interfaces have the numbers 0, 1, ... in the order in which they are appended. Ethernet without
// FCS; time stamps count nanoseconds. `snap_length`: bytes that are kept of a frame at most.
void AppendPcapngInterface(std::string_view name, uint32_t snap_length, std::string& out);

struct PcapngPacket {
  uint32_t interface = 0;
  uint64_t unix_ns = 0;
  std::span<const uint8_t> bytes;  // as many as were kept, from the Ethernet header on
  uint32_t original_size = 0;      // at least bytes.size()
  bool outbound = false;           // else inbound
  std::string_view comment = {};   // UTF-8; empty: none
};
void AppendPcapngPacket(const PcapngPacket& packet, std::string& out);

}  // namespace sotto::dataplane
