// SPDX-License-Identifier: Apache-2.0
#include "signaling/signald/operator/admin_service.h"

#include <fmt/format.h>

#include <algorithm>
#include <memory>
#include <optional>
#include <string_view>
#include <utility>

#include "relay/daemon/list_stream.h"
#include "relay/daemon/log.h"
#include "signaling/token/token.h"

namespace sotto::signaling {
namespace {

constexpr size_t kMaxLists = 8;

std::string Hex(std::span<const uint8_t> bytes) {
  std::string text;
  for (const uint8_t byte : bytes) text += fmt::format("{:02x}", byte);
  return text;
}

std::string_view Bytes(std::span<const uint8_t> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

absl::StatusOr<AccountId> ParseAccount(const std::string& name) {
  if (std::optional<AccountId> account = AccountId::Parse(name)) return *std::move(account);
  return absl::InvalidArgumentError(fmt::format(
      "account: \"{}\" is not a valid name; must have 1 to {} characters of A-Z a-z 0-9 . _ ~ @ + "
      "and -",
      EscapeText(name.substr(0, kMaxAccountSize)), kMaxAccountSize));
}

absl::Status UnknownAccount(const AccountId& account) {
  return absl::NotFoundError(fmt::format(
      "there is no account {}: no device has ever signed in with that name", account.text()));
}

void Fill(const signaling::Service::SessionView& view, v1::SessionInfo& out) {
  out.set_id(view.id);
  out.set_account(view.account.text());
  out.set_device(Hex(view.device));
  out.set_connected(view.connected);
  out.set_age_s(view.age_s);
  out.set_identity_ends_in_s(view.identity_ends_in_s);
  out.set_frames_waiting(view.frames_waiting);
}

// Why a token would ring or not, and what could be done.
std::string_view SentenceOf(const v1::TokenInfo& info, const AccountRecord& record,
                            const EpochKey* key, const TokenUse& use) {
  if (!info.epoch_registered()) {
    return info.epoch_current()
               ? "The account has no key registered for the token's epoch: the token belongs to "
                 "another account, or the account has not signed in since the epoch began."
               : "The token's epoch is over and its key was deleted; the account must give out a "
                 "new token.";
  }
  if (!info.epoch_current()) {
    return "The token's epoch is over or has not begun; check the clocks.";
  }
  if (!info.signature_valid()) {
    return "The signature was not made with the account's key of that epoch: the token belongs to "
           "another account or was altered, or the key was replaced, which revokes its tokens.";
  }
  if (use.revoked) return "The account has revoked this token.";
  if (use.used >= key->uses) return "It has no uses left: it has rung as often as it may.";
  if (record.barred) return "It is valid, but the operator blocks the account.";
  return "It would ring, unless the account blocks the caller, or the caller has made too many "
         "calls.";
}

}  // namespace

AdminService::Reactor* AdminService::Refuse(Context* context, const absl::Status& status) {
  Reactor* const reactor = context->DefaultReactor();
  reactor->Finish(ToGrpc(status));
  return reactor;
}

AdminService::Reactor* AdminService::AskStore(Context* context, StoreClient::Job job,
                                              std::function<void()> then) {
  return requests_.Begin(context, [this, job = std::move(job),
                                   then = std::move(then)](const OwnerRequests<>::Answer& answer) {
    const bool submitted =
        server_.store_client.Submit(job, [answer, then](const absl::Status& status) {
          if (status.ok() && then) then();
          answer.With(status);
        });
    if (!submitted) answer.With(absl::UnavailableError("the store is overloaded; try again"));
  });
}

AdminService::AdminService(const LiveServer& server, OwnerRequests<>& requests)
    : server_(server), requests_(requests) {}
AdminService::~AdminService() = default;

AdminService::Reactor* AdminService::GetStatus(Context* context,
                                               const v1::GetSignalingStatusRequest*,
                                               v1::SignalingStatus* response) {
  return requests_.Do(context, [this, response] {
    const signaling::Service::Counters sessions = server_.service.counters();
    const Switchboard::Counters calls = server_.service.call_counters();
    const StoreThread::Counters store = server_.store.counters();
    response->set_version(server_.version);
    response->set_uptime_s((server_.clock().monotonic_ms - server_.started_ms) / 1000);
    response->set_connections(server_.listener.connections());
    response->set_sessions(sessions.sessions);
    response->set_calls(calls.calls);
    response->set_connected_calls(calls.connected_calls);
    for (const RelayReport& relay : server_.relays.Reports()) {
      v1::SignalingStatus::RelayState& out = *response->add_relays();
      out.set_name(relay.name);
      out.set_up(relay.health.well);
      out.set_allocations(relay.health.allocations);
      out.set_max_allocations(relay.health.max_allocations);
      out.set_problem(relay.health.problem);
    }
    response->set_store_queue(static_cast<uint32_t>(store.queued));
    response->set_store_queue_capacity(static_cast<uint32_t>(store.max_queue));
    return absl::OkStatus();
  });
}

grpc::ServerWriteReactor<v1::SessionInfo>* AdminService::ListSessions(
    Context*, const v1::SessionFilter* request) {
  using Stream = ListStream<v1::SessionInfo>;
  std::optional<AccountId> only;
  if (!request->account().empty()) {
    absl::StatusOr<AccountId> account = ParseAccount(request->account());
    if (!account.ok()) return Stream::Refuse(requests_, lists_, account.status());
    only = *std::move(account);
  }
  auto find = [this, only](uint64_t first, uint32_t places,
                           std::vector<v1::SessionInfo>& out) -> std::optional<uint64_t> {
    std::vector<signaling::Service::SessionView> views;
    uint64_t next = 0;
    if (only) {  // never more than SessionTableOptions::max_per_account
      views = server_.service.SessionsOf(*only);
    } else {
      next = server_.service.ListSessions(first, places, views);
    }
    for (const signaling::Service::SessionView& view : views) Fill(view, out.emplace_back());
    return next == 0 ? std::nullopt : std::optional(next);
  };
  return Stream::Start(requests_, lists_, kMaxLists, 1, request->limit(), std::move(find));
}

AdminService::Reactor* AdminService::GetAccount(Context* context,
                                                const v1::GetAccountRequest* request,
                                                v1::AccountInfo* response) {
  absl::StatusOr<AccountId> parsed = ParseAccount(request->account());
  if (!parsed.ok()) return Refuse(context, parsed.status());
  const AccountId account = *std::move(parsed);
  struct Found {
    AccountRecord record;
    Standing standing;
    size_t notices = 0;
  };
  const auto found = std::make_shared<Found>();
  return AskStore(
      context,
      [account, found](StoreContext& in) -> absl::Status {
        auto record = in.store.FindAccount(account);
        if (!record.ok()) return record.status();
        if (!*record) return UnknownAccount(account);
        found->record = **std::move(record);
        const absl::StatusOr<Standing> standing = in.store.GetStanding(account);
        if (!standing.ok()) return standing.status();
        found->standing = *standing;
        for (const Device& device : found->record.devices) {
          const absl::StatusOr<size_t> notices = in.store.CountNotices(account, device.id);
          if (!notices.ok()) return notices.status();
          found->notices += *notices;
        }
        return absl::OkStatus();
      },
      [this, account, found, response] {
        response->set_account(account.text());
        response->set_blocked(found->record.barred);
        response->set_silence_unknown_callers(found->record.settings.silence_unknown_callers);
        response->set_protect_ip_address(found->record.settings.protect_ip_address);
        for (const Device& device : found->record.devices) response->add_devices(Hex(device.id));
        response->set_sessions(static_cast<uint32_t>(server_.service.SessionsOf(account).size()));
        response->set_epochs(static_cast<uint32_t>(found->record.epoch_keys.size()));
        response->set_notices_waiting(static_cast<uint32_t>(found->notices));
        const int64_t age = server_.clock().unix_s() - found->standing.window_began_unix_s;
        if (age >= 0 && age < int64_t{server_.standing_window_s}) {
          response->set_placed(found->standing.placed);
          response->set_silenced(found->standing.silenced);
        }
      });
}

AdminService::Reactor* AdminService::ListEpochs(Context* context,
                                                const v1::ListEpochsRequest* request,
                                                v1::ListEpochsResponse* response) {
  absl::StatusOr<AccountId> parsed = ParseAccount(request->account());
  if (!parsed.ok()) return Refuse(context, parsed.status());
  const auto keys = std::make_shared<std::vector<EpochKey>>();
  return AskStore(
      context,
      [account = *std::move(parsed), keys](StoreContext& in) -> absl::Status {
        auto record = in.store.FindAccount(account);
        if (!record.ok()) return record.status();
        if (!*record) return UnknownAccount(account);
        *keys = std::move((*record)->epoch_keys);
        return absl::OkStatus();
      },
      [this, keys, response] {
        response->set_current(EpochAt(server_.clock().unix_s()));
        for (const EpochKey& key : *keys) {
          v1::ListEpochsResponse::Epoch& epoch = *response->add_epochs();
          epoch.set_epoch(key.epoch);
          epoch.set_begins_unix_s(int64_t{key.epoch} * kEpochSeconds);
          // Its tokens ring throughout the epoch after it, too.
          epoch.set_ends_unix_s((int64_t{key.epoch} + 2) * kEpochSeconds);
          epoch.set_public_key(std::string(Bytes(key.public_key)));
          epoch.set_uses(key.uses);
        }
      });
}

AdminService::Reactor* AdminService::InspectToken(Context* context,
                                                  const v1::InspectTokenRequest* request,
                                                  v1::TokenInfo* response) {
  absl::StatusOr<AccountId> parsed = ParseAccount(request->account());
  if (!parsed.ok()) return Refuse(context, parsed.status());
  const std::string& bytes = request->token();
  const std::optional<Token> token =
      Token::Parse({reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size()});
  if (!token) {
    return Refuse(context, absl::InvalidArgumentError(fmt::format(
                               "token: not a token; a token has {} bytes and begins with version "
                               "1",
                               kTokenSize)));
  }
  struct Found {
    AccountRecord record;
    TokenUse use;
  };
  const auto found = std::make_shared<Found>();
  return AskStore(
      context,
      [account = *parsed, token = *token, found](StoreContext& in) -> absl::Status {
        auto record = in.store.FindAccount(account);
        if (!record.ok()) return record.status();
        if (!*record) return UnknownAccount(account);
        found->record = **std::move(record);
        const absl::StatusOr<TokenUse> use =
            in.store.FindTokenUse(MakeNullifier(account, token.epoch, token.serial));
        if (!use.ok()) return use.status();
        found->use = *use;
        return absl::OkStatus();
      },
      [this, account = *parsed, token = *token, found, response] {
        const std::vector<EpochKey>& keys = found->record.epoch_keys;
        const auto key = std::ranges::find(keys, token.epoch, &EpochKey::epoch);
        response->set_version(1);
        response->set_epoch(token.epoch);
        response->set_serial(std::string(Bytes(token.serial)));
        response->set_epoch_registered(key != keys.end());
        response->set_epoch_current(IsEpochLive(token.epoch, server_.clock().unix_s()));
        response->set_signature_valid(key != keys.end() &&
                                      VerifyToken(token, account, key->public_key));
        response->set_would_ring(response->signature_valid() && response->epoch_current() &&
                                 !found->use.revoked && found->use.used < key->uses &&
                                 !found->record.barred);
        response->set_sentence(std::string(
            SentenceOf(*response, found->record, key == keys.end() ? nullptr : &*key, found->use)));
      });
}

AdminService::Reactor* AdminService::EndSession(Context* context,
                                                const v1::EndSessionRequest* request,
                                                v1::EndSessionResponse*) {
  return requests_.Do(context, [this, id = request->id()]() -> absl::Status {
    if (server_.service.EndSession(id)) return absl::OkStatus();
    return absl::NotFoundError(
        fmt::format("there is no session {}; it may have ended: list the sessions again", id));
  });
}

AdminService::Reactor* AdminService::SetAccountBlocked(Context* context,
                                                       const v1::SetAccountBlockedRequest* request,
                                                       v1::SetAccountBlockedResponse* response) {
  absl::StatusOr<AccountId> parsed = ParseAccount(request->account());
  if (!parsed.ok()) return Refuse(context, parsed.status());
  return requests_.Begin(context, [this, account = *std::move(parsed), blocked = request->blocked(),
                                   response](const OwnerRequests<>::Answer& answer) {
    server_.service.SetBlocked(
        account, blocked,
        [account, blocked, response, answer](const absl::StatusOr<uint32_t>& ended) {
          if (ended.ok()) {
            response->set_sessions_ended(*ended);
            Log(LogLevel::kInfo,
                blocked ? "An operator blocked an account." : "An operator unblocked an account.",
                {{"account", account.text()}});
          }
          answer.With(absl::IsNotFound(ended.status()) ? UnknownAccount(account) : ended.status());
        });
  });
}

}  // namespace sotto::signaling
