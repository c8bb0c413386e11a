// SPDX-License-Identifier: Apache-2.0
// Values of the relay as messages of relay/api, for every service that tells of them.
#pragma once

#include "relay/api/relay.pb.h"
#include "relay/turn/server.h"

namespace sotto::dataplane {

inline void Fill(const TransportAddress& address, relay::v1::TransportAddress& out) {
  const auto bytes = address.ip.bytes();
  out.set_ip(bytes.data(), bytes.size());
  out.set_port(address.port);
}

inline void Fill(std::string_view call, uint8_t side, const std::vector<TransportAddress>& relayed,
                 relay::v1::Leg& out) {
  out.set_call(call.data(), call.size());
  out.set_side(side == 0 ? relay::v1::Leg::SIDE_A : relay::v1::Leg::SIDE_B);
  for (const TransportAddress& address : relayed) Fill(address, *out.add_relayed());
}

inline void Fill(const relay::CallInfo& info, relay::v1::Call& out) {
  out.set_call(info.name);
  out.set_armed(info.armed);
  for (uint8_t side = 0; side < 2; ++side) {
    if (!info.relayed[side].empty()) Fill(info.name, side, info.relayed[side], *out.add_legs());
  }
}

}  // namespace sotto::dataplane
