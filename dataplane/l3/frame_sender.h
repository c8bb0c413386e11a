// SPDX-License-Identifier: Apache-2.0
// Where the relay's own IP layer sends its frames.
#pragma once

#include <cstdint>
#include <span>

#include "dataplane/l3/interface.h"

namespace sotto::dataplane {

class FrameSender {
 public:
  virtual ~FrameSender() = default;

  // A whole Ethernet frame without FCS, with its 802.1Q tag where the interface has a VLAN, all
  // checksums done, no padding. The bytes are valid during the call only. May drop.
  virtual void SendFrame(InterfaceId interface, std::span<const uint8_t> frame) = 0;
};

}  // namespace sotto::dataplane
