// SPDX-License-Identifier: Apache-2.0
#include "dataplane/worker/counters.h"

namespace sotto::dataplane {

std::string_view PacketPathName(PacketPath path) {
  switch (path) {
    case PacketPath::kFused:
      return "fused";
    case PacketPath::kChannelToPeer:
      return "channel_to_peer";
    case PacketPath::kChannelToLeg:
      return "channel_to_leg";
    case PacketPath::kSendToPeer:
      return "send_to_peer";
    case PacketPath::kSendToLeg:
      return "send_to_leg";
    case PacketPath::kPeerToChannel:
      return "peer_to_channel";
    case PacketPath::kPeerToData:
      return "peer_to_data";
    case PacketPath::kBinding:
      return "binding";
    case PacketPath::kControl:
      return "control";
    case PacketPath::kCount:
      break;
  }
  return "";
}

}  // namespace sotto::dataplane
