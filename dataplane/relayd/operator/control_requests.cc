// SPDX-License-Identifier: Apache-2.0
#include "dataplane/relayd/operator/control_requests.h"

#include <utility>

namespace sotto::dataplane {

grpc::Status Unavailable() {
  return {grpc::StatusCode::UNAVAILABLE,
          "the relay is stopping or has too many requests waiting; try again"};
}

grpc::ServerUnaryReactor* ControlRequests::Do(grpc::CallbackServerContext* context, Work work) {
  return DoInSteps(context, std::move(work));
}

grpc::ServerUnaryReactor* ControlRequests::DoInSteps(grpc::CallbackServerContext* context,
                                                     Step step) {
  return Begin(context, [this, step = std::make_shared<Step>(std::move(step))](
                            relay::Server& server, const Now& now, const Answer& answer) {
    Run(step, answer.reactor_, server, now);
  });
}

grpc::ServerUnaryReactor* ControlRequests::Begin(grpc::CallbackServerContext* context,
                                                 LongWork work) {
  grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
  if (waiting_.fetch_add(1) < most_ &&
      tasks_.Post([this, reactor, work = std::move(work)](relay::Server& server, const Now& now) {
        work(server, now, Answer(*this, reactor));
      })) {
    return reactor;
  }
  waiting_.fetch_sub(1);
  reactor->Finish(Unavailable());
  return reactor;
}

void ControlRequests::Answer::With(const absl::Status& status) const {
  requests_->Finish(reactor_, ToGrpc(status));
}

void ControlRequests::Answer::InSteps(Step step) const {
  requests_->RunLater(std::make_shared<Step>(std::move(step)), reactor_);
}

void ControlRequests::Run(const std::shared_ptr<Step>& step, grpc::ServerUnaryReactor* reactor,
                          relay::Server& server, const Now& now) {
  if (const std::optional<absl::Status> status = (*step)(server, now)) {
    Finish(reactor, ToGrpc(*status));
  } else {
    RunLater(step, reactor);
  }
}

void ControlRequests::RunLater(const std::shared_ptr<Step>& step,
                               grpc::ServerUnaryReactor* reactor) {
  if (!tasks_.PostMore([this, step, reactor](relay::Server& server, const Now& now) {
        Run(step, reactor, server, now);
      })) {
    Finish(reactor, Unavailable());
  }
}

void ControlRequests::Finish(grpc::ServerUnaryReactor* reactor, grpc::Status status) {
  run_in_grpc_([this, reactor, status = std::move(status)] {
    waiting_.fetch_sub(1);
    reactor->Finish(status);
  });
}

}  // namespace sotto::dataplane
