// SPDX-License-Identifier: Apache-2.0
// A thread for what a disk may keep waiting, so that control never is.
#pragma once

#include <functional>
#include <memory>

#include "absl/status/status.h"
#include "relay/turn/server_tasks.h"

namespace sotto::dataplane {

class DiskThread {
 public:
  using Work = std::function<absl::Status()>;
  using Then = std::function<void(relay::Server& server, const absl::Status& status)>;

  // `tasks` must outlive the object. Before privileges are given up: it shall have none.
  explicit DiskThread(relay::ServerTasks& tasks);
  // Waits for what is being done, but a second at most: then it is left to itself, and to the end
  // of the process.
  ~DiskThread();
  DiskThread(const DiskThread&) = delete;
  DiskThread& operator=(const DiskThread&) = delete;

  // Any thread. Does `work`, after what came before it, and then has control do `then` with what
  // came of it, unless control's tasks are closed by then.
  void Do(Work work, Then then);

 private:
  struct Shared;
  static void Run(const std::shared_ptr<Shared>& shared);

  const std::shared_ptr<Shared> shared_;
};

}  // namespace sotto::dataplane
