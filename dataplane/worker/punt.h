// SPDX-License-Identifier: Apache-2.0
// What workers hand to control, and control to workers: an mbuf, with a note in its private area
// that says why.
#pragma once

#include <rte_ether.h>
#include <rte_mbuf.h>

#include <cstdint>

#include "dataplane/l3/interface.h"
#include "dataplane/packet/parse.h"

namespace sotto::dataplane {

enum class PuntKind : uint8_t {
  // To control.
  kStunRequest,   // a request at a listening port, UDP checksum verified
  kNeighborhood,  // ARP, neighbour discovery, ICMP
  kFragment,
  kTooBig,      // as received; the sender is to be told `mtu`
  kUnresolved,  // ready to send, but for the MAC address of its next hop
  // To a worker.
  kTransmit,  // send as it is, on mbuf->port
  kReceive,   // handle as if it had just arrived on mbuf->port
};

struct PuntNote {
  PuntKind kind = PuntKind::kStunRequest;
  InterfaceId interface = 0;
  uint16_t mtu = 0;
  ParsedFrame parsed;  // not with kUnresolved
};

// Every mempool that workers and control share must have this much private space.
constexpr uint16_t kMbufPrivateSize = RTE_ALIGN(sizeof(PuntNote), RTE_MBUF_PRIV_ALIGN);

inline PuntNote& NoteOf(rte_mbuf* mbuf) { return *static_cast<PuntNote*>(rte_mbuf_to_priv(mbuf)); }
inline const PuntNote& NoteOf(const rte_mbuf* mbuf) { return NoteOf(const_cast<rte_mbuf*>(mbuf)); }

// Puts back the 802.1Q tag that a driver took off on receipt, so that an answer made in the same
// buffer goes out as it came. The tag's MAC addresses must be in place already. False: no headroom.
inline bool RestoreVlanTag(rte_mbuf*& mbuf) {
  const bool stripped = (mbuf->ol_flags & RTE_MBUF_F_RX_VLAN_STRIPPED) != 0;
  mbuf->ol_flags = 0;
  return !stripped || (mbuf->vlan_tci & 0x0fff) == 0 || rte_vlan_insert(&mbuf) == 0;
}

}  // namespace sotto::dataplane
