// SPDX-License-Identifier: Apache-2.0
#include "signaling/signald/operator/service_requests.h"

#include <utility>

namespace sotto::signaling {
namespace {

constexpr char kUnavailable[] =
    "the server is stopping or has too many requests waiting; try again";

}  // namespace

grpc::Status ServiceRequests::Unavailable() {
  return {grpc::StatusCode::UNAVAILABLE, kUnavailable};
}

grpc::ServerUnaryReactor* ServiceRequests::Do(grpc::CallbackServerContext* context, Work work) {
  return Begin(context, [work = std::move(work)](const Answer& answer) { answer(work()); });
}

grpc::ServerUnaryReactor* ServiceRequests::Begin(grpc::CallbackServerContext* context,
                                                 LongWork work) {
  grpc::ServerUnaryReactor* const reactor = context->DefaultReactor();
  const bool posted = Post([this, reactor, work = std::move(work)] {
    const auto pending = std::make_shared<Pending>(Pending{.reactor = reactor});
    pending_.insert(pending);
    if (pending_.size() > most_) {
      return Finish(pending, absl::UnavailableError(kUnavailable));
    }
    work([this, pending](const absl::Status& status) { Finish(pending, status); });
  });
  if (!posted) reactor->Finish(Unavailable());
  return reactor;
}

void ServiceRequests::Finish(const std::shared_ptr<Pending>& pending, const absl::Status& status) {
  if (std::exchange(pending->answered, true)) return;
  pending_.erase(pending);
  run_in_grpc_([reactor = pending->reactor, answer = ToGrpc(status)] { reactor->Finish(answer); });
}

void ServiceRequests::Close() {
  tasks_.Close();
  while (!pending_.empty()) {
    const std::shared_ptr<Pending> pending = *pending_.begin();
    Finish(pending, absl::UnavailableError(kUnavailable));
  }
}

}  // namespace sotto::signaling
