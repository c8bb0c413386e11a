// SPDX-License-Identifier: Apache-2.0
// What other threads want done by the thread that owns a Server, the only one that may touch it.
#pragma once

#include "relay/base/task_queue.h"
#include "relay/turn/server.h"

namespace sotto::relay {

using ServerTasks = TaskQueue<Server&, const Now&>;

}  // namespace sotto::relay
