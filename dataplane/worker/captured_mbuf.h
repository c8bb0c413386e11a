// SPDX-License-Identifier: Apache-2.0
// A packet buffer as a capture sees it.
#pragma once

#include <rte_mbuf.h>

#include "dataplane/worker/capture_ring.h"

namespace sotto::dataplane {

inline CapturedPacket CapturedMbuf(const rte_mbuf* mbuf) {
  const bool stripped = (mbuf->ol_flags & RTE_MBUF_F_RX_VLAN_STRIPPED) != 0;
  return {.id = mbuf,
          .frame = {rte_pktmbuf_mtod(mbuf, const uint8_t*), mbuf->data_len},
          .size = mbuf->pkt_len,
          .port = mbuf->port,
          .vlan_tci = stripped ? mbuf->vlan_tci : uint16_t{0}};
}

}  // namespace sotto::dataplane
