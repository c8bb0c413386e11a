// SPDX-License-Identifier: Apache-2.0
// What became of a fragment, or of the datagram that it completed.
#pragma once

#include "relay/base/named_enum.h"

namespace sotto::dataplane {

// X(symbol, name, sentence)
#define SOTTO_REASSEMBLY_OUTCOMES(X)                                                           \
  X(kPending, "pending", "The fragment waits for the rest of its datagram.")                   \
  X(kDuplicate, "duplicate", "A duplicate fragment.")                                          \
  X(kComplete, "complete", "A datagram was reassembled and handled.")                          \
  /* Dropped */                                                                                \
  X(kMalformed, "malformed",                                                                   \
    "The fragment's length or offset is wrong; capture the traffic to find the sender.")       \
  X(kNotUdp, "not_udp",                                                                        \
    "Not UDP; the relay reassembles only UDP. Harmless unless the rate is high.")              \
  X(kOverlap, "overlap",                                                                       \
    "Fragments of one datagram overlap, which only attacks do; the datagram was dropped (RFC " \
    "5722).")                                                                                  \
  /* more than max_fragments */                                                                \
  X(kTooManyFragments, "too_many_fragments",                                                   \
    "The datagram has too many fragments; look for a very small MTU on the path.")             \
  /* more than max_packet */                                                                   \
  X(kTooLong, "too_long",                                                                      \
    "The datagram would be larger than a packet buffer; the client should send smaller ones.") \
  X(kRateLimited, "rate_limited",                                                              \
    "The source prefix exceeded the rate of fragments; make its clients send media packets "   \
    "smaller than the path MTU.")                                                              \
  X(kSourceFull, "source_full",                                                                \
    "The source prefix has too many incomplete datagrams; its fragments get lost, or it is "   \
    "flooding.")

SOTTO_NAMED_ENUM(ReassemblyOutcome, SOTTO_REASSEMBLY_OUTCOMES);
SOTTO_ENUM_SENTENCES(ReassemblyOutcome, SOTTO_REASSEMBLY_OUTCOMES);

}  // namespace sotto::dataplane
