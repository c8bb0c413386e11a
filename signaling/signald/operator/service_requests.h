// SPDX-License-Identifier: Apache-2.0
// Requests of the operator's gRPC services, which the service's thread answers: some at once, some
// once the store has worked. gRPC is entered on the admin listener's threads alone.
#pragma once

#include <grpcpp/server_context.h>
#include <grpcpp/support/server_callback.h>

#include <cstddef>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/container/flat_hash_set.h"
#include "absl/status/status.h"
#include "relay/base/task_queue.h"
#include "relay/daemon/admin_listener.h"

namespace sotto::signaling {

class ServiceRequests {
 public:
  // On the service's thread; may fill in the response, which lives until the answer.
  using Work = std::function<absl::Status()>;
  // The same, of which the answer comes later, by `answer`, on the same thread. After Close() that
  // does nothing, and the response is gone.
  using Answer = std::function<void(const absl::Status&)>;
  using LongWork = std::function<void(Answer answer)>;

  // `most` at a time. `wake` has the service's thread call RunOne() once, soon; any thread.
  ServiceRequests(size_t most, std::function<void()> wake)
      : most_(most), tasks_(most, std::move(wake)) {}

  // Before the first request.
  void SetRunInGrpc(RunInGrpc run_in_grpc) { run_in_grpc_ = std::move(run_in_grpc); }
  const RunInGrpc& run_in_grpc() const { return run_in_grpc_; }

  // gRPC's threads.
  grpc::ServerUnaryReactor* Do(grpc::CallbackServerContext* context, Work work);
  grpc::ServerUnaryReactor* Begin(grpc::CallbackServerContext* context, LongWork work);

  // Any thread. False, and `task` never runs, if too many wait (unless it goes on with one that
  // ran) or the server stops.
  bool Post(std::function<void()> task, bool goes_on = false) {
    return goes_on ? tasks_.PostMore(std::move(task)) : tasks_.Post(std::move(task));
  }
  static grpc::Status Unavailable();

  // The service's thread.
  void RunOne() { tasks_.Run(1); }
  // At the end: runs what waits, and answers with UNAVAILABLE what isn't answered yet.
  void Close();

 private:
  struct Pending {
    grpc::ServerUnaryReactor* reactor = nullptr;
    bool answered = false;
  };
  void Finish(const std::shared_ptr<Pending>& pending, const absl::Status& status);

  const size_t most_;
  TaskQueue<> tasks_;
  RunInGrpc run_in_grpc_;
  absl::flat_hash_set<std::shared_ptr<Pending>> pending_;  // the service's thread's
};

}  // namespace sotto::signaling
