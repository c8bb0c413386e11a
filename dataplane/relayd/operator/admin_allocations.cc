// SPDX-License-Identifier: Apache-2.0
// Allocations and calls that an operator ends.
#include <fmt/format.h>

#include "dataplane/relayd/operator/admin_service.h"
#include "dataplane/relayd/operator/allocation_id.h"
#include "dataplane/relayd/operator/allocation_query.h"
#include "dataplane/relayd/operator/allocation_sweep.h"
#include "relay/daemon/log.h"

namespace sotto::dataplane {
namespace {

namespace api = relay::v1;

// The log tells how many, and never whose.
void LogEnded(uint32_t ended) {
  if (ended > 0) Log(LogLevel::kInfo, "An operator ended allocations.", {{"allocations", ended}});
}

absl::Status RefuseAll() {
  return absl::InvalidArgumentError(
      "filter: is empty, which would end every allocation; name a user, a client, a peer, a "
      "relayed address or an age, or drain the relay to end them all");
}

}  // namespace

grpc::ServerUnaryReactor* AdminService::EndAllocation(Context* context,
                                                      const api::EndAllocationRequest* request,
                                                      api::EndAllocationResponse*) {
  return requests_.Do(context, [=](relay::Server& server, const Now& now) -> absl::Status {
    const auto is_it = [id = request->id()](const relay::AllocationInfo& info, MonotonicMs) {
      return OperatorId(info) == id;
    };
    AllocationSweep sweep({.first = LegIdOf(request->id()), .single = true}, is_it);
    const uint32_t ended = sweep.Step(server, now).value_or(0);
    LogEnded(ended);
    if (ended > 0) return absl::OkStatus();
    return absl::NotFoundError(
        fmt::format("there is no allocation {}; it has ended or never existed", request->id()));
  });
}

grpc::ServerUnaryReactor* AdminService::EndAllocations(Context* context,
                                                       const api::EndAllocationsRequest* request,
                                                       api::EndAllocationsResponse* response) {
  const absl::StatusOr<AllocationQuery> query = AllocationQuery::Parse(request->filter());
  const absl::Status status =
      query.ok() && query->all() ? RefuseAll() : absl::Status(query.status());
  if (!status.ok()) {
    grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
    reactor->Finish(ToGrpc(status));
    return reactor;
  }
  const AllocationSweep::Options options = {.first = query->first(),
                                            .single = query->single(),
                                            .bindings = query->bindings(),
                                            .limit = query->limit(),
                                            .dry_run = request->dry_run()};
  const auto sweep = std::make_shared<AllocationSweep>(
      options, [query = *query](const relay::AllocationInfo& info, MonotonicMs now) {
        return query.Matches(info, now);
      });
  return requests_.DoInSteps(
      context, [=](relay::Server& server, const Now& now) -> std::optional<absl::Status> {
        const std::optional<uint32_t> ended = sweep->Step(server, now);
        if (!ended) return std::nullopt;
        if (!options.dry_run) LogEnded(*ended);
        response->set_ended(*ended);
        return absl::OkStatus();
      });
}

grpc::ServerUnaryReactor* AdminService::EndCall(Context* context,
                                                const api::EndCallRequest* request,
                                                api::EndCallResponse*) {
  return requests_.Do(context, [=](relay::Server& server, const Now& now) -> absl::Status {
    const absl::Status status = server.EndCall(request->call(), now);
    if (status.ok()) Log(LogLevel::kInfo, "An operator ended a call.");
    return absl::IsNotFound(status) ? absl::OkStatus() : status;
  });
}

}  // namespace sotto::dataplane
