// SPDX-License-Identifier: Apache-2.0
// Requests of gRPC that the thread which owns a daemon's state answers, its owner: what the
// services of both daemons are made of.
//
// gRPC calls services on threads of its own. What touches the state is done by the owner, as tasks
// of its TaskQueue; the answers go out through RunInGrpc, so that the owner never enters gRPC: it
// takes locks, writes to sockets, and starts threads that would inherit what the owner has kept of
// its privileges.
#pragma once

#include <grpcpp/server_context.h>
#include <grpcpp/support/server_callback.h>
#include <grpcpp/support/status.h>

#include <atomic>
#include <cstddef>
#include <functional>
#include <memory>
#include <optional>
#include <string_view>
#include <utility>

#include "absl/container/flat_hash_set.h"
#include "absl/status/status.h"
#include "relay/base/task_queue.h"
#include "relay/daemon/admin_listener.h"

namespace sotto {

// Counts an owner's requests and sends their answers: the part of OwnerRequests that doesn't depend
// on what the owner passes to its tasks.
class OwnerAnswers {
 public:
  // The owner, at its end, once its tasks are closed: answers with UNAVAILABLE what isn't answered
  // yet.
  void Close();

  // What a request gets that the owner won't see.
  grpc::Status Unavailable() const { return ToGrpc(unavailable_); }

  // For what isn't answered once.
  const RunInGrpc& run_in_grpc() const { return run_in_grpc_; }
  std::string_view who() const { return who_; }

 protected:
  // A request that the owner has begun to work on. The owner's.
  struct Pending {
    grpc::ServerUnaryReactor* reactor = nullptr;
    bool answered = false;
  };

  OwnerAnswers(std::string_view who, size_t most, RunInGrpc run_in_grpc);
  ~OwnerAnswers() = default;

  // gRPC's threads. Counts a request. False: there are too many.
  bool Enter() { return waiting_.fetch_add(1) < most_; }
  // Takes it out of the count, whatever Enter() said, and answers with UNAVAILABLE at once.
  void Refuse(grpc::ServerUnaryReactor* reactor);

  // The owner.
  std::shared_ptr<Pending> Accept(grpc::ServerUnaryReactor* reactor);
  // Once; a request that is answered stays as it is.
  void Finish(const std::shared_ptr<Pending>& pending, const absl::Status& status);
  void FinishUnavailable(const std::shared_ptr<Pending>& pending) { Finish(pending, unavailable_); }

 private:
  const std::string_view who_;
  const size_t most_;
  const absl::Status unavailable_;
  const RunInGrpc run_in_grpc_;
  std::atomic<size_t> waiting_ = 0;                        // gRPC's threads and RunInGrpc's
  absl::flat_hash_set<std::shared_ptr<Pending>> pending_;  // the owner's
};

// `Passed` is what the owner passes to each task.
template <typename... Passed>
class OwnerRequests final : public OwnerAnswers {
 public:
  // On the owner's thread; may fill in the response. Requests and responses live until the answer.
  using Work = std::function<absl::Status(Passed...)>;

  // `most` at a time, of all services together, each until its answer is out. `who` is the daemon
  // in messages ("relay"), a literal. `tasks` must outlive the object, and the object must outlive
  // all that `run_in_grpc` runs.
  OwnerRequests(std::string_view who, size_t most, TaskQueue<Passed...>& tasks,
                RunInGrpc run_in_grpc)
      : OwnerAnswers(who, most, std::move(run_in_grpc)), tasks_(tasks) {}

  // gRPC's threads. Has the owner do the work, and then answers with the status that it returned;
  // UNAVAILABLE at once if the owner has too much to do or is stopping.
  grpc::ServerUnaryReactor* Do(grpc::CallbackServerContext* context, Work work) {
    return Begin(context, [work = std::move(work)](Passed... passed, const Answer& answer) {
      answer.With(work(passed...));
    });
  }

  // As Do(), for work that would keep the owner from its other work for long: each step is a task
  // of its own, and there is another one until a step returns the status.
  using Step = std::function<std::optional<absl::Status>(Passed...)>;
  grpc::ServerUnaryReactor* DoInSteps(grpc::CallbackServerContext* context, Step step) {
    return Begin(context,
                 [this, step = std::make_shared<Step>(std::move(step))](
                     Passed... passed, const Answer& answer) { RunStep(step, answer, passed...); });
  }

  // As Do(), for work that waits for something: it answers by one of the two, once, at once or
  // later, on the owner's thread. After Close() both do nothing, and the response is gone.
  class Answer {
   public:
    void With(const absl::Status& status) const { requests_->Finish(pending_, status); }
    // With what steps return, as DoInSteps().
    void InSteps(Step step) const {
      requests_->RunLater(std::make_shared<Step>(std::move(step)), *this);
    }

   private:
    friend OwnerRequests;
    Answer(OwnerRequests& requests, std::shared_ptr<Pending> pending)
        : requests_(&requests), pending_(std::move(pending)) {}
    OwnerRequests* requests_;
    std::shared_ptr<Pending> pending_;
  };
  using LongWork = std::function<void(Passed..., const Answer&)>;
  grpc::ServerUnaryReactor* Begin(grpc::CallbackServerContext* context, LongWork work) {
    grpc::ServerUnaryReactor* const reactor = context->DefaultReactor();
    const bool posted =
        Enter() && tasks_.Post([this, reactor, work = std::move(work)](Passed... passed) {
          work(passed..., Answer(*this, Accept(reactor)));
        });
    if (!posted) Refuse(reactor);
    return reactor;
  }

  // For what isn't answered once.
  TaskQueue<Passed...>& tasks() { return tasks_; }

 private:
  void RunStep(const std::shared_ptr<Step>& step, const Answer& answer, Passed... passed) {
    if (const std::optional<absl::Status> status = (*step)(passed...)) {
      answer.With(*status);
    } else {
      RunLater(step, answer);
    }
  }
  void RunLater(const std::shared_ptr<Step>& step, const Answer& answer) {
    const bool posted = tasks_.PostMore(
        [this, step, answer](Passed... passed) { RunStep(step, answer, passed...); });
    if (!posted) FinishUnavailable(answer.pending_);
  }

  TaskQueue<Passed...>& tasks_;
};

}  // namespace sotto
