// SPDX-License-Identifier: Apache-2.0
// Drain, and the users and secrets of the relay: looked up and changed.
#include <fmt/format.h>

#include "absl/container/flat_hash_map.h"
#include "dataplane/relayd/operator/admin_service.h"
#include "dataplane/relayd/operator/allocation_sweep.h"
#include "relay/daemon/log.h"

namespace sotto::dataplane {
namespace {

namespace api = relay::v1;

constexpr uint64_t kMaxDeadline = uint64_t{366} * 24 * 3600;
// Places of allocations that one task looks at, so that control's other work isn't kept waiting.
constexpr uint32_t kAllocationsAtOnce = 4096;

// Allocations by whom they are for, counted over several tasks.
struct UserCount {
  relay::LegId next = 0;
  absl::flat_hash_map<std::string, uint32_t> held;
};

// Ends what a user who was removed has allocated; not what one of the same name allocates later.
ControlRequests::Step EndOf(const std::string& name, api::RemoveUserResponse* response) {
  const auto sweep = std::make_shared<std::optional<AllocationSweep>>();
  return [=](relay::Server& server, const Now& now) -> std::optional<absl::Status> {
    if (!*sweep) {
      const MonotonicMs removed_at = now.monotonic_ms;
      sweep->emplace(AllocationSweep::Options(),
                     [=](const relay::AllocationInfo& info, MonotonicMs) {
                       return info.username == name && info.created_at <= removed_at;
                     });
    }
    const std::optional<uint32_t> ended = (*sweep)->Step(server, now);
    if (!ended) return std::nullopt;
    response->set_ended(*ended);
    Log(LogLevel::kInfo, "Ended the allocations of a removed user.", {{"allocations", *ended}});
    return absl::OkStatus();
  };
}

}  // namespace

grpc::ServerUnaryReactor* AdminService::ListUsers(Context* context, const api::ListUsersRequest*,
                                                  api::ListUsersResponse* response) {
  const auto count = std::make_shared<UserCount>();
  return requests_.DoInSteps(
      context, [=, this](relay::Server& server, const Now&) -> std::optional<absl::Status> {
        const auto& users = server.options().auth.users;
        count->next = server.ForEachAllocation(count->next, kAllocationsAtOnce, false,
                                               [&](const relay::AllocationInfo& info) {
                                                 if (users.contains(info.user))
                                                   ++count->held[info.user];
                                               });
        if (count->next != 0) return std::nullopt;
        for (const auto& [name, password] : users) {
          api::ListUsersResponse::User& user = *response->add_users();
          user.set_name(name);
          user.set_from_config(config_.config().server.auth.users.contains(name));
          const auto held = count->held.find(name);
          user.set_allocations(held == count->held.end() ? 0 : held->second);
        }
        return absl::OkStatus();
      });
}

grpc::ServerUnaryReactor* AdminService::ListSecrets(Context* context,
                                                    const api::ListSecretsRequest*,
                                                    api::ListSecretsResponse* response) {
  return requests_.Do(context, [=, this](relay::Server& server, const Now&) {
    const auto& configured = config_.config().server.auth.shared_secrets;
    for (const std::string& secret : server.options().auth.shared_secrets) {
      api::ListSecretsResponse::Secret& out = *response->add_secrets();
      out.set_id(SecretId(secret));
      out.set_from_config(std::ranges::find(configured, secret) != configured.end());
      out.set_mints(response->secrets_size() == 1);
    }
    return absl::OkStatus();
  });
}

grpc::ServerUnaryReactor* AdminService::Drain(Context* context, const api::DrainRequest* request,
                                              api::Status* response) {
  return requests_.Do(context, [=, this](relay::Server& server, const Now& now) {
    if (request->deadline_s() > kMaxDeadline) {
      return absl::InvalidArgumentError(
          fmt::format("the deadline is {} s away; must be at most {} (a year), or 0 for none",
                      request->deadline_s(), kMaxDeadline));
    }
    std::optional<MonotonicMs> deadline = server.drain().deadline;
    if (request->has_deadline_s()) {
      deadline.reset();
      if (request->deadline_s() != 0) deadline = now.monotonic_ms + request->deadline_s() * 1000;
    }
    server.Drain(deadline);
    FillStatus(server, now, *response);
    Log(LogLevel::kInfo, "The relay is draining.",
        {{"allocations", server.allocation_count()}, {"deadline_s", response->drain_deadline_s()}});
    return absl::OkStatus();
  });
}

grpc::ServerUnaryReactor* AdminService::Undrain(Context* context, const api::UndrainRequest*,
                                                api::Status* response) {
  return requests_.Do(context, [=, this](relay::Server& server, const Now& now) {
    if (server.drain().for_good) {
      return absl::FailedPreconditionError(
          "the relay is draining because it was told to stop, which can't be undone; restart it");
    }
    if (server.drain().draining) Log(LogLevel::kInfo, "The relay accepts new allocations again.");
    server.Undrain();
    FillStatus(server, now, *response);
    return absl::OkStatus();
  });
}

grpc::ServerUnaryReactor* AdminService::AddUser(Context* context,
                                                const api::AddUserRequest* request,
                                                api::AddUserResponse* response) {
  return requests_.Begin(
      context, [=, this](relay::Server& server, const Now&, const ControlRequests::Answer& answer) {
        config_.AddUser(server, request->name(), request->password(),
                        [=, &server](absl::StatusOr<std::string> made) {
                          if (!made.ok()) return answer.With(made.status());
                          response->set_password(*std::move(made));
                          Log(LogLevel::kInfo, "An operator added a user.",
                              {{"users", server.options().auth.users.size()}});
                          answer.With(absl::OkStatus());
                        });
      });
}

grpc::ServerUnaryReactor* AdminService::RemoveUser(Context* context,
                                                   const api::RemoveUserRequest* request,
                                                   api::RemoveUserResponse* response) {
  return requests_.Begin(
      context, [=, this](relay::Server& server, const Now&, const ControlRequests::Answer& answer) {
        config_.RemoveUser(server, request->name(), [=, &server](const absl::Status& status) {
          if (!status.ok()) return answer.With(status);
          Log(LogLevel::kInfo, "An operator removed a user.",
              {{"users", server.options().auth.users.size()}});
          if (!request->end_allocations()) return answer.With(status);
          answer.InSteps(EndOf(request->name(), response));
        });
      });
}

grpc::ServerUnaryReactor* AdminService::RotateSecret(Context* context,
                                                     const api::RotateSecretRequest* request,
                                                     api::RotateSecretResponse* response) {
  return requests_.Begin(
      context, [=, this](relay::Server& server, const Now&, const ControlRequests::Answer& answer) {
        config_.RotateSecret(
            server, request->keep(), [=](absl::StatusOr<RunningConfig::Rotation> rotation) {
              if (!rotation.ok()) return answer.With(rotation.status());
              Log(LogLevel::kInfo, "An operator rotated the shared secrets.",
                  {{"newest", SecretId(rotation->secret)}, {"dropped", rotation->dropped.size()}});
              response->set_secret(std::move(rotation->secret));
              for (std::string& id : rotation->dropped) response->add_dropped(std::move(id));
              answer.With(absl::OkStatus());
            });
      });
}

grpc::ServerUnaryReactor* AdminService::MintCredential(Context* context,
                                                       const api::MintCredentialRequest* request,
                                                       api::Credential* response) {
  return requests_.Do(context, [=, this](relay::Server&, const Now& now) {
    absl::StatusOr<RunningConfig::Credential> minted =
        config_.Mint(request->name(), request->valid_s(), now);
    if (!minted.ok()) return minted.status();
    response->set_username(std::move(minted->username));
    response->set_password(std::move(minted->password));
    for (std::string& url : minted->urls) response->add_urls(std::move(url));
    response->set_expires_unix_s(minted->expires_unix_s);
    Log(LogLevel::kInfo, "An operator minted a credential.",
        {{"valid_s", minted->expires_unix_s - now.unix_s}});
    return absl::OkStatus();
  });
}

}  // namespace sotto::dataplane
