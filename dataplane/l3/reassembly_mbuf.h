// SPDX-License-Identifier: Apache-2.0
// Reassembly on DPDK's packet buffers.
//
// Not librte_ip_frag: it keeps the fragments' own buffers until the last one comes, so that a flood
// empties the port's pool; overlaps it finds only by a sum that doesn't match, and then forgets the
// datagram, so that what comes later starts it anew; and it doesn't tell why it drops.
#pragma once

#include <cstdint>

#include "dataplane/l3/reassembly.h"

struct rte_mbuf;

namespace sotto::dataplane {

// The largest IP packet that a buffer of this size (rte_pktmbuf_data_room_size) can hold behind its
// headroom and the largest link header: what ReassemblyOptions::max_packet should be.
uint16_t MaxReassembledPacket(uint16_t data_room_size);

// Takes over `fragment`, a received frame in a direct buffer that nobody else refers to, and adds
// it to its datagram. When that is complete the same buffer comes back with it: one segment, the
// metadata of reception kept, and no word of checksums or hashes that hardware computed over the
// fragment. Otherwise the buffer is freed and the result is null; `outcome` says why. Control only.
rte_mbuf* ReassembleMbuf(Reassembler& reassembler, InterfaceId interface, rte_mbuf* fragment,
                         uint16_t ip_offset, uint64_t now_ms, ReassemblyOutcome& outcome);

}  // namespace sotto::dataplane
