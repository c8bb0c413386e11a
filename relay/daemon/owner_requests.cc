// SPDX-License-Identifier: Apache-2.0
#include "relay/daemon/owner_requests.h"

#include <fmt/format.h>

#include <utility>

namespace sotto {

OwnerAnswers::OwnerAnswers(std::string_view who, size_t most, RunInGrpc run_in_grpc)
    : who_(who),
      most_(most),
      unavailable_(absl::UnavailableError(
          fmt::format("the {} is stopping or has too many requests waiting; try again", who))),
      run_in_grpc_(std::move(run_in_grpc)) {}

void OwnerAnswers::Refuse(grpc::ServerUnaryReactor* reactor) {
  waiting_.fetch_sub(1);
  reactor->Finish(Unavailable());
}

std::shared_ptr<OwnerAnswers::Pending> OwnerAnswers::Accept(grpc::ServerUnaryReactor* reactor) {
  auto pending = std::make_shared<Pending>(Pending{.reactor = reactor});
  pending_.insert(pending);
  return pending;
}

void OwnerAnswers::Finish(const std::shared_ptr<Pending>& pending, const absl::Status& status) {
  if (std::exchange(pending->answered, true)) return;
  pending_.erase(pending);
  run_in_grpc_([this, reactor = pending->reactor, answer = ToGrpc(status)] {
    waiting_.fetch_sub(1);
    reactor->Finish(answer);
  });
}

void OwnerAnswers::Close() {
  while (!pending_.empty()) {
    const std::shared_ptr<Pending> pending = *pending_.begin();
    FinishUnavailable(pending);
  }
}

}  // namespace sotto
