// SPDX-License-Identifier: Apache-2.0
// Ways through the dataplane that a packet can take.
#pragma once

#include "relay/base/named_enum.h"

namespace sotto::dataplane {

// X(symbol, name)
#define SOTTO_PACKET_PATHS(X)                            \
  /* ChannelData, client to client in one rewrite */     \
  X(kFused, "fused")                                     \
  /* ChannelData to a peer outside */                    \
  X(kChannelToPeer, "channel_to_peer")                   \
  /* ChannelData to a leg of this relay, the long way */ \
  X(kChannelToLeg, "channel_to_leg")                     \
  /* Send indication to a peer outside */                \
  X(kSendToPeer, "send_to_peer")                         \
  /* Send indication to a leg of this relay */           \
  X(kSendToLeg, "send_to_leg")                           \
  /* from a peer outside, as ChannelData */              \
  X(kPeerToChannel, "peer_to_channel")                   \
  /* from a peer outside, as a Data indication */        \
  X(kPeerToData, "peer_to_data")                         \
  /* answered in place */                                \
  X(kBinding, "binding")                                 \
  /* handed to control */                                \
  X(kControl, "control")

SOTTO_NAMED_ENUM(PacketPath, SOTTO_PACKET_PATHS);

}  // namespace sotto::dataplane
