// SPDX-License-Identifier: Apache-2.0
// The requests of a session: checked, done, and answered once the store has made them durable.

#include <sodium.h>

#include <cstring>
#include <utility>

#include "relay/daemon/log.h"
#include "signaling/service/service.h"
#include "signaling/service/stand_in_keys.h"
#include "signaling/token/token.h"

namespace sotto::signaling {
namespace {

constexpr int kMaxSerials = 256;   // of a RevokeTokens
constexpr int kMaxNoticeIds = 64;  // of an AckNotices

template <size_t kSize>
bool Copy(const std::string& text, std::array<uint8_t, kSize>& out) {
  if (text.size() != kSize) return false;
  std::memcpy(out.data(), text.data(), kSize);
  return true;
}

}  // namespace

void Service::OnRequest(Session& session, const api::ClientFrame& frame) {
  const uint64_t request = frame.seq();
  const Now now = CurrentTime().call_time();
  using Body = api::ClientFrame;
  switch (frame.body_case()) {
    case Body::kGoodbye:
      return EndLater(session.id, CloseCode::kDone, "");
    case Body::kRenewIdentity:
      return Handle(session, request, frame.renew_identity());
    case Body::kPutSettings:
      return Handle(session, request, frame.put_settings());
    case Body::kPutAccountKeys:
      return Handle(session, request, frame.put_account_keys());
    case Body::kPutEpochKey:
      return Handle(session, request, frame.put_epoch_key());
    case Body::kRevokeTokens:
      return Handle(session, request, frame.revoke_tokens());
    case Body::kPutBlock:
      return Handle(session, request, frame.put_block());
    case Body::kAckNotices:
      return Handle(session, request, frame.ack_notices());
    case Body::kGetKeys:
      return Handle(session, request, frame.get_keys());
    case Body::kRemoveDevice:
      return Handle(session, request, frame.remove_device());
    case Body::kPlaceCall:
      return switchboard_.Handle(session.id, request, frame.place_call(), now);
    case Body::kAcceptCall:
      return switchboard_.Handle(session.id, request, frame.accept_call(), now);
    case Body::kDeclineCall:
      return switchboard_.Handle(session.id, request, frame.decline_call(), now);
    case Body::kHangUp:
      return switchboard_.Handle(session.id, request, frame.hang_up(), now);
    case Body::kSendToPeer:
      return switchboard_.Handle(session.id, request, frame.send_to_peer(), now);
    case Body::kHello:
    case Body::kPing:
    case Body::BODY_NOT_SET:
      break;  // never here: OnSessionFrame()
  }
}

void Service::Refuse(SessionId session, uint64_t request, api::Refused::Code code,
                     std::string_view text) {
  api::ServerFrame frame;
  frame.set_request(request);
  frame.mutable_refused()->set_code(code);
  frame.mutable_refused()->set_text(text.data(), text.size());
  Send(session, std::move(frame));
}

void Service::Answer(SessionId session, uint64_t request, const absl::Status& status) {
  if (status.ok()) {
    api::ServerFrame frame;
    frame.set_request(request);
    frame.mutable_done();
    return Send(session, std::move(frame));
  }
  if (absl::IsResourceExhausted(status)) {
    const absl::string_view text = status.message();
    return Refuse(session, request, api::Refused::CODE_TOO_MANY,
                  std::string_view(text.data(), text.size()));
  }
  if (absl::IsNotFound(status)) {
    return Refuse(session, request, api::Refused::CODE_NOT_FOUND,
                  "The account has no such device.");
  }
  ++counters_.store_failures;
  Log(LogLevel::kError, "The store failed, so a request was refused.",
      {{"error", std::string(status.message())}});
  Refuse(session, request, api::Refused::CODE_TRY_AGAIN,
         "The server can't store this at the moment.");
}

void Service::Put(Session& session, uint64_t request, StoreClient::Job job,
                  std::function<void()> then) {
  const bool submitted = store_.Submit(
      std::move(job),
      [this, id = session.id, request, then = std::move(then)](const absl::Status& status) {
        Answer(id, request, status);
        if (status.ok() && then) then();
        Settle();
      });
  if (submitted) return;
  ++counters_.store_refusals;
  Refuse(session.id, request, api::Refused::CODE_TRY_AGAIN, "The server is overloaded.");
}

void Service::Handle(Session& session, uint64_t request, const api::PutSettings& message) {
  if (!message.has_settings()) {
    return Refuse(session.id, request, api::Refused::CODE_MALFORMED,
                  "PutSettings has no settings.");
  }
  const AccountSettings settings = {
      .silence_unknown_callers = message.settings().silence_unknown_callers(),
      .protect_ip_address = message.settings().protect_ip_address()};
  const AccountId account = session.account.id();
  Put(
      session, request,
      [account, settings](StoreContext& context) {
        return context.store.PutSettings(account, settings);
      },
      [this, account, by = session.id, settings] {
        for (const SessionId other : sessions_.SessionsOf(account)) {
          if (other == by) continue;
          api::ServerFrame frame;
          api::Settings& changed = *frame.mutable_settings_changed()->mutable_settings();
          changed.set_silence_unknown_callers(settings.silence_unknown_callers);
          changed.set_protect_ip_address(settings.protect_ip_address);
          Send(other, std::move(frame));
        }
      });
}

void Service::Handle(Session& session, uint64_t request, const api::PutAccountKeys& message) {
  AccountPublicKeys keys;
  if (!Copy(message.keys().box(), keys.box) || !Copy(message.keys().sign(), keys.sign)) {
    return Refuse(session.id, request, api::Refused::CODE_MALFORMED,
                  "Each key of an account must have 32 bytes.");
  }
  Put(session, request, [account = session.account.id(), keys](StoreContext& context) {
    return context.store.PutAccountKeys(account, keys);
  });
}

void Service::Handle(Session& session, uint64_t request, const api::PutEpochKey& message) {
  EpochKey key = {.epoch = message.epoch(), .public_key = {}, .uses = 1};
  if (!Copy(message.public_key(), key.public_key)) {
    return Refuse(session.id, request, api::Refused::CODE_MALFORMED,
                  "The key of an epoch must have 32 bytes.");
  }
  if (message.uses() < 1 || message.uses() > kMaxTokenUses) {
    return Refuse(session.id, request, api::Refused::CODE_MALFORMED,
                  "A token must have 1 to 1,000 uses.");
  }
  if (!IsEpochKeyable(key.epoch, CurrentTime().unix_s())) {
    return Refuse(session.id, request, api::Refused::CODE_MALFORMED,
                  "The epoch must be the current one, the one before or the one after.");
  }
  key.uses = static_cast<uint16_t>(message.uses());
  Put(session, request, [account = session.account.id(), key](StoreContext& context) {
    return context.store.PutEpochKey(account, key);
  });
}

void Service::Handle(Session& session, uint64_t request, const api::RevokeTokens& message) {
  if (message.serials_size() < 1 || message.serials_size() > kMaxSerials) {
    return Refuse(session.id, request, api::Refused::CODE_MALFORMED,
                  "The request must have 1 to 256 serials.");
  }
  const Epoch epoch = message.epoch();
  if (!IsEpochKeyable(epoch, CurrentTime().unix_s())) {
    return Refuse(session.id, request, api::Refused::CODE_MALFORMED,
                  "The epoch must be the current one, the one before or the one after.");
  }
  const AccountId account = session.account.id();
  std::vector<Nullifier> nullifiers;
  for (const std::string& bytes : message.serials()) {
    TokenSerial serial;
    if (!Copy(bytes, serial)) {
      return Refuse(session.id, request, api::Refused::CODE_MALFORMED,
                    "The serial of a token must have 16 bytes.");
    }
    nullifiers.push_back(MakeNullifier(account, epoch, serial));
  }
  Put(session, request,
      [account, epoch, nullifiers = std::move(nullifiers)](StoreContext& context) {
        for (const Nullifier& nullifier : nullifiers) {
          if (absl::Status status = context.store.Revoke(account, epoch, nullifier); !status.ok()) {
            return status;
          }
        }
        return absl::OkStatus();
      });
}

void Service::Handle(Session& session, uint64_t request, const api::PutBlock& message) {
  const std::optional<AccountId> blocked = AccountId::Parse(message.account());
  if (!blocked) {
    return Refuse(session.id, request, api::Refused::CODE_MALFORMED,
                  "That is not a valid account name.");
  }
  Put(session, request,
      [account = session.account.id(), blocked = *blocked,
       on = message.blocked()](StoreContext& context) {
        return context.store.PutBlock(account, context.decider.HashBlock(account, blocked), on);
      });
}

void Service::Handle(Session& session, uint64_t request, const api::AckNotices& message) {
  if (message.ids_size() > kMaxNoticeIds) {
    return Refuse(session.id, request, api::Refused::CODE_MALFORMED,
                  "The request must have at most 64 notices.");
  }
  Put(session, request,
      [account = session.account.id(), device = session.device,
       ids = std::vector<NoticeId>(message.ids().begin(), message.ids().end())](
          StoreContext& context) { return context.store.RemoveNotices(account, device, ids); });
}

void Service::Handle(Session& session, uint64_t request, const api::GetKeys& message) {
  const std::optional<AccountId> account = AccountId::Parse(message.account());
  if (!account) {
    return Refuse(session.id, request, api::Refused::CODE_MALFORMED,
                  "That is not a valid account name.");
  }
  const auto keys = std::make_shared<AccountPublicKeys>();
  const bool submitted = store_.Submit(
      [keys, account = *account, key = key_](StoreContext& context) -> absl::Status {
        // Made for each account, so that those that don't need them take no less time.
        const AccountPublicKeys stand_in = StandInKeys(key, account);
        const auto record = context.store.FindAccount(account);
        if (!record.ok()) return record.status();
        *keys = *record && (*record)->keys ? *(*record)->keys : stand_in;
        return absl::OkStatus();
      },
      [this, id = session.id, request, keys, account = *account](const absl::Status& status) {
        if (status.ok()) {
          api::ServerFrame frame;
          frame.set_request(request);
          frame.mutable_keys()->set_account(account.text());
          api::AccountKeys& found = *frame.mutable_keys()->mutable_keys();
          found.set_box(keys->box.data(), keys->box.size());
          found.set_sign(keys->sign.data(), keys->sign.size());
          Send(id, std::move(frame));
        } else {
          Answer(id, request, status);
        }
        Settle();
      });
  if (submitted) return;
  ++counters_.store_refusals;
  Refuse(session.id, request, api::Refused::CODE_TRY_AGAIN, "The server is overloaded.");
}

void Service::Handle(Session& session, uint64_t request, const api::RemoveDevice& message) {
  DeviceId device;
  if (!Copy(message.device(), device) || device == session.device) {
    return Refuse(session.id, request, api::Refused::CODE_MALFORMED,
                  "A device id must have 16 bytes, and a device can't remove itself.");
  }
  const AccountId account = session.account.id();
  Put(
      session, request,
      [account, device](StoreContext& context) {
        return context.store.RemoveDevice(account, device);
      },
      [this, account, device] {
        if (const Session* const removed = sessions_.FindDevice(account, device)) {
          EndLater(removed->id, CloseCode::kRemoved, "another device removed this one");
        }
      });
}

void Service::Handle(Session& session, uint64_t request, const api::RenewIdentity& message) {
  const absl::StatusOr<VerifiedIdentity> identity =
      identities_.Verify(message.identity(), CurrentTime().unix_s());
  if (!identity.ok() || identity->account != session.account) {
    CountIdentityFault(identity.ok() ? IdentityFault::kAccount
                                     : IdentityVerifier::FaultOf(identity.status()));
    const absl::string_view why = identity.status().message();
    return Refuse(session.id, request, api::Refused::CODE_IDENTITY,
                  identity.ok() ? "identity: belongs to another account"
                                : std::string_view(why.data(), why.size()));
  }
  SetIdentityEnd(session, identity->valid_until_unix_s);
  Answer(session.id, request, absl::OkStatus());
}

}  // namespace sotto::signaling
