// SPDX-License-Identifier: Apache-2.0
#include "dataplane/l3/reassembly_mbuf.h"

#include <rte_mbuf.h>

#include <algorithm>
#include <cstring>

namespace sotto::dataplane {

uint16_t MaxReassembledPacket(uint16_t data_room_size) {
  constexpr int kTaken = RTE_PKTMBUF_HEADROOM + Reassembler::kMaxLinkHeader;
  return static_cast<uint16_t>(std::max(0, data_room_size - kTaken));
}

rte_mbuf* ReassembleMbuf(Reassembler& reassembler, InterfaceId interface, rte_mbuf* fragment,
                         uint16_t ip_offset, uint64_t now_ms, ReassemblyOutcome& outcome) {
  if (rte_pktmbuf_linearize(fragment) != 0) {
    // A frame of several segments is larger than a buffer, and so is what it is a part of.
    outcome = ReassemblyOutcome::kTooLong;
    rte_pktmbuf_free(fragment);
    return nullptr;
  }
  const Reassembler::Result result = reassembler.Add(
      interface, {rte_pktmbuf_mtod(fragment, const uint8_t*), rte_pktmbuf_data_len(fragment)},
      ip_offset, now_ms);
  outcome = result.outcome;
  if (outcome == ReassemblyOutcome::kComplete &&
      result.frame.size() + RTE_PKTMBUF_HEADROOM > fragment->buf_len) {
    outcome = ReassemblyOutcome::kTooLong;
  }
  if (outcome != ReassemblyOutcome::kComplete) {
    rte_pktmbuf_free(fragment);
    return nullptr;
  }
  fragment->data_off = RTE_PKTMBUF_HEADROOM;
  fragment->data_len = static_cast<uint16_t>(result.frame.size());
  fragment->pkt_len = fragment->data_len;
  fragment->packet_type = RTE_PTYPE_UNKNOWN;
  fragment->ol_flags &= ~(RTE_MBUF_F_RX_IP_CKSUM_MASK | RTE_MBUF_F_RX_L4_CKSUM_MASK |
                          RTE_MBUF_F_RX_OUTER_L4_CKSUM_MASK | RTE_MBUF_F_RX_RSS_HASH);
  std::memcpy(rte_pktmbuf_mtod(fragment, uint8_t*), result.frame.data(), result.frame.size());
  return fragment;
}

}  // namespace sotto::dataplane
