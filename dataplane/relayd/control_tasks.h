// What other threads want done by the control thread, the only one that may touch the TURN server.
#pragma once

#include "relay/daemon/task_queue.h"
#include "relay/turn/server.h"

namespace sotto::dataplane {

using ControlTasks = TaskQueue<relay::Server&, const relay::Now&>;

}  // namespace sotto::dataplane
