// SPDX-License-Identifier: Apache-2.0
// The descriptor that becomes readable when a frame waits in a port's receive queue, where the
// driver has one: so a worker can sleep until then.
#pragma once

#include <cstdint>
#include <optional>

#include "dataplane/port/port.h"

namespace sotto::dataplane {

// Of a port that is started. net_af_packet and net_af_xdp have a socket for each queue, but no
// interrupt in DPDK's sense, so it is looked for among the descriptors of this process. The driver
// owns it: it is for poll() alone, and until ClosePort(). Nothing: the queue must be polled.
std::optional<int> FindWakeFd(const Port& port, uint16_t queue);

}  // namespace sotto::dataplane
