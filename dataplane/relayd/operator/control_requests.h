// SPDX-License-Identifier: Apache-2.0
// Requests of gRPC that the control thread answers: what every service of the relay is made of.
//
// gRPC calls services on threads of its own. What touches the TURN server is done by the control
// thread, as relay::ServerTasks; the answers go out through RunInGrpc, so that control never enters
// gRPC: it takes locks, writes to sockets, and starts threads that would inherit what control has
// kept of its privileges.
#pragma once

#include <grpcpp/impl/service_type.h>
#include <grpcpp/server_context.h>
#include <grpcpp/support/server_callback.h>

#include <atomic>
#include <functional>
#include <memory>
#include <optional>
#include <utility>

#include "absl/status/status.h"
#include "relay/daemon/admin_listener.h"
#include "relay/turn/server_tasks.h"

namespace sotto::dataplane {

// What a request gets that control won't see.
grpc::Status Unavailable();

class ControlRequests {
 public:
  // On the control thread; may fill in the response. Requests and responses live until the answer.
  using Work = std::function<absl::Status(relay::Server& server, const Now& now)>;

  // `most` at a time, of all services together. `tasks` must outlive the object.
  ControlRequests(size_t most, relay::ServerTasks& tasks, RunInGrpc run_in_grpc)
      : most_(most), tasks_(tasks), run_in_grpc_(std::move(run_in_grpc)) {}

  // gRPC's threads. Has control do the work, and then answers with the status that it returned;
  // UNAVAILABLE at once if control has too much to do or is stopping.
  grpc::ServerUnaryReactor* Do(grpc::CallbackServerContext* context, Work work);

  // The same for work that would keep control from its other work for long: each step is a task of
  // its own, and there is another one until a step returns the status.
  using Step = std::function<std::optional<absl::Status>(relay::Server&, const Now&)>;
  grpc::ServerUnaryReactor* DoInSteps(grpc::CallbackServerContext* context, Step step);

  // The same for work that waits for something: it answers by one of the two, once, at once or
  // later. On the control thread, by Detach() at the latest.
  class Answer {
   public:
    void With(const absl::Status& status) const;
    // With what steps return, as DoInSteps().
    void InSteps(Step step) const;

   private:
    friend ControlRequests;
    Answer(ControlRequests& requests, grpc::ServerUnaryReactor* reactor)
        : requests_(&requests), reactor_(reactor) {}
    ControlRequests* requests_;
    grpc::ServerUnaryReactor* reactor_;
  };
  using LongWork = std::function<void(relay::Server& server, const Now& now, const Answer& answer)>;
  grpc::ServerUnaryReactor* Begin(grpc::CallbackServerContext* context, LongWork work);

  // For what isn't answered once.
  relay::ServerTasks& tasks() { return tasks_; }
  const RunInGrpc& run_in_grpc() const { return run_in_grpc_; }

 private:
  void Run(const std::shared_ptr<Step>& step, grpc::ServerUnaryReactor* reactor,
           relay::Server& server, const Now& now);
  void RunLater(const std::shared_ptr<Step>& step, grpc::ServerUnaryReactor* reactor);
  void Finish(grpc::ServerUnaryReactor* reactor, grpc::Status status);

  const size_t most_;
  relay::ServerTasks& tasks_;
  const RunInGrpc run_in_grpc_;
  std::atomic<size_t> waiting_ = 0;  // gRPC's threads and RunInGrpc's
};

// What AdminServer serves.
class ControlService {
 public:
  virtual ~ControlService() = default;
  virtual grpc::Service& grpc_service() = 0;
  // The control thread, before the first request and, once control's tasks are closed, after the
  // last one.
  virtual void Attach(relay::Server&, const Now&) {}
  virtual void Detach(relay::Server&) {}
};

}  // namespace sotto::dataplane
