// SPDX-License-Identifier: Apache-2.0
#include "tools/phone/account_commands.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "tools/signaling_client/call_body.h"
#include "tools/signaling_client/notice.h"

namespace sotto::tools {
namespace {

namespace asio = boost::asio;
using Json = EventLog::Json;

constexpr size_t kMaxTokensOfContact = 1024;

api::ClientFrame PutEpochKeyFrame(const AccountSecret& secret, uint32_t epoch, uint16_t generation,
                                  uint32_t uses) {
  api::ClientFrame frame;
  auto& put = *frame.mutable_put_epoch_key();
  put.set_epoch(epoch);
  put.set_public_key(AsString(secret.EpochKey(epoch, generation).public_key));
  put.set_uses(uses);
  return frame;
}

// Registers the key of an epoch and remembers that it did; nothing if it stands already.
asio::awaitable<absl::Status> RegisterEpoch(Session& session, uint32_t epoch, uint32_t uses) {
  const auto& epochs = session.state().state().epochs;
  const auto known = epochs.find(epoch);
  const EpochRegistration before = known == epochs.end() ? EpochRegistration{} : known->second;
  const auto& held = session.welcome().epochs();
  const bool stands = std::find(held.begin(), held.end(), epoch) != held.end();
  if (stands && before.uses == uses) co_return absl::OkStatus();
  const auto done = co_await session.Ask(
      PutEpochKeyFrame(session.state().state().secret, epoch, before.generation, uses));
  if (!done.ok()) co_return done.status();
  session.log().Write("epoch_key", {{"epoch", epoch}, {"uses", uses}});
  co_return session.state().Update([&](PhoneState& state) {
    state.epochs[epoch] = {before.generation, uses};
    return absl::OkStatus();
  });
}

asio::awaitable<absl::Status> RegisterAccountKeys(Session& session) {
  if (session.welcome().has_account_keys()) co_return absl::OkStatus();
  const AccountPublicKeys keys = session.state().state().secret.PublicKeys();
  api::ClientFrame frame;
  auto& put = *frame.mutable_put_account_keys()->mutable_keys();
  put.set_box(AsString(keys.box));
  put.set_sign(AsString(keys.sign));
  const auto done = co_await session.Ask(std::move(frame));
  co_return done.status();
}

asio::awaitable<int> AskAndSay(Session& session, api::ClientFrame frame, const char* event,
                               Json fields) {
  const auto done = co_await session.Ask(std::move(frame));
  if (!done.ok()) co_return Fail(session.log(), done.status());
  session.log().Write(event, std::move(fields));
  co_return kDone;
}

const char* NameOf(OpenedNotice::Kind kind) {
  switch (kind) {
    case OpenedNotice::Kind::kSilenced:
      return "silenced";
    case OpenedNotice::Kind::kMissed:
      return "missed";
    case OpenedNotice::Kind::kMore:
      return "more";
  }
  return "unknown";
}

}  // namespace

int Fail(const EventLog& log, const absl::Status& status) {
  log.Write("error", {{"text", std::string(status.message())}});
  return kFailed;
}

asio::awaitable<int> Register(Session& session) {
  if (auto status = co_await RegisterAccountKeys(session); !status.ok()) {
    co_return Fail(session.log(), status);
  }
  const uint32_t now = EpochAt(session.ServerUnixS());
  for (uint32_t epoch = now; epoch <= now + 1; ++epoch) {
    const auto& epochs = session.state().state().epochs;
    const auto known = epochs.find(epoch);
    const uint32_t uses = known == epochs.end() ? 0 : known->second.uses;
    if (auto status = co_await RegisterEpoch(session, epoch, std::max(uses, 1u)); !status.ok()) {
      co_return Fail(session.log(), status);
    }
  }
  const PhoneState& state = session.state().state();
  const AccountPublicKeys keys = state.secret.PublicKeys();
  session.log().Write("registered", {{"account", state.account},
                                     {"device", ToHex(state.device)},
                                     {"box", ToHex(keys.box)},
                                     {"sign", ToHex(keys.sign)},
                                     {"epoch", now}});
  co_return kDone;
}

asio::awaitable<absl::StatusOr<e2e::Invitation>> MakeInvitation(Session& session,
                                                                IssueOptions options) {
  if (auto status = co_await RegisterAccountKeys(session); !status.ok()) co_return status;
  const uint32_t epoch = EpochAt(session.ServerUnixS());
  if (auto status = co_await RegisterEpoch(session, epoch, options.uses); !status.ok()) {
    co_return status;
  }
  const PhoneState& state = session.state().state();
  const AccountPublicKeys keys = state.secret.PublicKeys();
  const SignKeyPair epoch_key = state.secret.EpochKey(epoch, state.epochs.at(epoch).generation);
  e2e::Invitation invitation;
  invitation.set_account(state.account);
  invitation.set_box(AsString(keys.box));
  invitation.set_sign(AsString(keys.sign));
  std::vector<TokenSerial> serials;
  for (uint32_t i = 0; i < options.count; ++i) {
    serials.push_back(RandomSerial());
    invitation.add_tokens(IssueToken(epoch_key, state.account, epoch, serials.back()));
  }
  const auto remembered = session.state().Update([&](PhoneState& changed) {
    changed.ForgetBefore(epoch - 1);
    changed.issued[epoch].push_back(serials);
    return absl::OkStatus();
  });
  if (!remembered.ok()) co_return remembered;
  co_return invitation;
}

asio::awaitable<int> IssueTokens(Session& session, IssueOptions options) {
  const auto invitation = co_await MakeInvitation(session, options);
  if (!invitation.ok()) co_return Fail(session.log(), invitation.status());
  Json tokens = Json::array(), serials = Json::array();
  for (const std::string& token : invitation->tokens()) {
    tokens.push_back(ToHex(AsBytes(token)));
    serials.push_back(ToHex(ReadToken(token)->serial));
  }
  session.log().Write("invitation",
                      {{"account", invitation->account()},
                       {"link", InvitationLink(session.endpoint().origin(), *invitation)},
                       {"epoch", EpochAt(session.ServerUnixS())},
                       {"uses", options.uses},
                       {"tokens", std::move(tokens)},
                       {"serials", std::move(serials)}});
  co_return kDone;
}

asio::awaitable<int> ChangeSettings(Session& session, SettingsChange change) {
  api::Settings settings = session.welcome().settings();
  if (change.silence_unknown_callers) {
    settings.set_silence_unknown_callers(*change.silence_unknown_callers);
  }
  if (change.protect_ip_address) settings.set_protect_ip_address(*change.protect_ip_address);
  if (change.silence_unknown_callers || change.protect_ip_address) {
    api::ClientFrame frame;
    *frame.mutable_put_settings()->mutable_settings() = settings;
    const auto done = co_await session.Ask(std::move(frame));
    if (!done.ok()) co_return Fail(session.log(), done.status());
  }
  session.log().Write("settings", {{"silence_unknown_callers", settings.silence_unknown_callers()},
                                   {"protect_ip_address", settings.protect_ip_address()}});
  co_return kDone;
}

asio::awaitable<int> Block(Session& session, std::string account, bool blocked) {
  api::ClientFrame frame;
  frame.mutable_put_block()->set_account(account);
  frame.mutable_put_block()->set_blocked(blocked);
  Json fields = {{"account", account}};
  co_return co_await AskAndSay(session, std::move(frame), blocked ? "blocked" : "unblocked",
                               std::move(fields));
}

asio::awaitable<int> RevokeSerial(Session& session, std::string serial) {
  const auto bytes = FromHex(serial);
  if (!bytes.ok() || bytes->size() != sizeof(TokenSerial)) {
    co_return Fail(session.log(),
                   absl::InvalidArgumentError("--serial must be the 32 hexadecimal digits that "
                                              "issue-tokens printed"));
  }
  uint32_t epoch = EpochAt(session.ServerUnixS());
  for (const auto& [of, invitations] : session.state().state().issued) {
    for (const auto& serials : invitations) {
      const bool has = std::any_of(serials.begin(), serials.end(),
                                   [&](const TokenSerial& s) { return AsString(s) == *bytes; });
      if (has) epoch = of;
    }
  }
  api::ClientFrame frame;
  frame.mutable_revoke_tokens()->set_epoch(epoch);
  frame.mutable_revoke_tokens()->add_serials(*bytes);
  Json fields = {{"epoch", epoch}, {"serial", serial}};
  co_return co_await AskAndSay(session, std::move(frame), "revoked", std::move(fields));
}

asio::awaitable<int> RevokeEpochs(Session& session) {
  // By value: Welcome may come anew while this waits.
  const auto held = session.welcome().epochs();
  for (const uint32_t epoch : held) {
    EpochRegistration next;
    // Remembered first: a generation that is skipped costs nothing, one that is used twice would
    // bring revoked tokens back.
    auto status = session.state().Update([&](PhoneState& state) {
      EpochRegistration& registration = state.epochs[epoch];
      if (registration.generation == UINT16_MAX) {
        return absl::ResourceExhaustedError(fmt::format(
            "the tokens of epoch {} were revoked 65,535 times; wait for the next one", epoch));
      }
      ++registration.generation;
      registration.uses = std::max(registration.uses, 1u);
      next = registration;
      return absl::OkStatus();
    });
    if (!status.ok()) co_return Fail(session.log(), status);
    const auto done = co_await session.Ask(
        PutEpochKeyFrame(session.state().state().secret, epoch, next.generation, next.uses));
    if (!done.ok()) co_return Fail(session.log(), done.status());
    session.log().Write("revoked", {{"epoch", epoch}, {"generation", next.generation}});
  }
  co_return kDone;
}

asio::awaitable<int> RemoveDevice(Session& session, std::string device) {
  const auto bytes = FromHex(device);
  if (!bytes.ok() || bytes->size() != 16) {
    co_return Fail(session.log(), absl::InvalidArgumentError(
                                      "the device must be the 32 hexadecimal digits that register "
                                      "printed"));
  }
  api::ClientFrame frame;
  frame.mutable_remove_device()->set_device(*bytes);
  Json fields = {{"device", device}};
  co_return co_await AskAndSay(session, std::move(frame), "removed", std::move(fields));
}

absl::StatusOr<size_t> TakeInvitation(StateFile& state, const e2e::Invitation& invitation) {
  const auto box = ReadKey(invitation.box(), "the invitation's box key");
  const auto sign = ReadKey(invitation.sign(), "the invitation's sign key");
  if (!box.ok()) return box.status();
  if (!sign.ok()) return sign.status();
  const AccountPublicKeys keys{*box, *sign};
  size_t tokens = 0;
  const auto status = state.Update([&](PhoneState& changed) {
    const auto known = changed.contacts.find(invitation.account());
    if (known != changed.contacts.end() && known->second.keys != keys) {
      return absl::FailedPreconditionError(fmt::format(
          "{0} is already known with other keys; ask {0} in person which are right, and remove the "
          "old ones from the state file",
          invitation.account()));
    }
    Contact& contact = changed.contacts[invitation.account()];
    contact.keys = keys;
    for (const std::string& token : invitation.tokens()) {
      if (contact.tokens.size() >= kMaxTokensOfContact) break;
      if (std::find(contact.tokens.begin(), contact.tokens.end(), token) == contact.tokens.end()) {
        contact.tokens.push_back(token);
      }
    }
    tokens = contact.tokens.size();
    return absl::OkStatus();
  });
  if (!status.ok()) return status;
  return tokens;
}

int AddContact(StateFile& state, const EventLog& log, const std::string& link) {
  const auto invitation = ReadInvitation(link);
  if (!invitation.ok()) return Fail(log, invitation.status());
  const auto tokens = TakeInvitation(state, *invitation);
  if (!tokens.ok()) return Fail(log, tokens.status());
  log.Write("contact", {{"account", invitation->account()}, {"tokens", *tokens}});
  return kDone;
}

int CloneState(const StateFile& state, const EventLog& log, const std::string& path) {
  const PhoneState other = state.state().ForAnotherDevice();
  if (auto status = StateFile::Create(path, other); !status.ok()) return Fail(log, status);
  log.Write("cloned",
            {{"account", other.account}, {"device", ToHex(other.device)}, {"state", path}});
  return kDone;
}

int Show(const StateFile& file, const EventLog& log) {
  const PhoneState& state = file.state();
  Json contacts = Json::object(), epochs = Json::object(), issued = Json::object();
  for (const auto& [name, contact] : state.contacts) {
    contacts[name] = {{"sign", ToHex(contact.keys.sign)}, {"tokens", contact.tokens.size()}};
  }
  for (const auto& [epoch, entry] : state.epochs) {
    epochs[std::to_string(epoch)] = {{"generation", entry.generation}, {"uses", entry.uses}};
  }
  for (const auto& [epoch, invitations] : state.issued) {
    Json lists = Json::array();
    for (const auto& serials : invitations) {
      Json list = Json::array();
      for (const TokenSerial& serial : serials) list.push_back(ToHex(serial));
      lists.push_back(std::move(list));
    }
    issued[std::to_string(epoch)] = std::move(lists);
  }
  log.Write("state", {{"account", state.account},
                      {"device", ToHex(state.device)},
                      {"epochs", std::move(epochs)},
                      {"contacts", std::move(contacts)},
                      {"issued", std::move(issued)}});
  return kDone;
}

asio::awaitable<bool> HandleAccountFrame(Session& session, const api::ServerFrame& frame) {
  if (frame.has_settings_changed()) {
    const auto& settings = frame.settings_changed().settings();
    session.log().Write("settings_changed",
                        {{"silence_unknown_callers", settings.silence_unknown_callers()},
                         {"protect_ip_address", settings.protect_ip_address()}});
    co_return true;
  }
  if (!frame.has_notices()) co_return false;
  const BoxKeyPair key = session.notice_key();
  api::ClientFrame ack;
  for (const api::Notice& notice : frame.notices().notices()) {
    const auto opened = OpenNotice(notice.sealed(), key);
    Json fields = {{"id", notice.id()}, {"bytes", notice.sealed().size()}};
    if (opened.ok()) {
      fields.update({{"kind", NameOf(opened->kind)},
                     {"caller", opened->caller},
                     {"count", opened->count},
                     {"minute", opened->minute}});
    } else {
      fields["kind"] = "unreadable";
      fields["text"] = std::string(opened.status().message());
    }
    session.log().Write("notice", std::move(fields));
    ack.mutable_ack_notices()->add_ids(notice.id());
  }
  if (frame.notices().notices_size() > 0) {
    const auto done = co_await session.Ask(std::move(ack));
    if (!done.ok()) Fail(session.log(), done.status());
  }
  co_return true;
}

}  // namespace sotto::tools
