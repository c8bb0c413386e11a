// SPDX-License-Identifier: Apache-2.0
// Commands about an account: its keys, tokens, contacts and settings. Each returns an exit code
// (phone_options.h), and says what it did in events.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <cstdint>
#include <optional>
#include <string>

#include "signaling/api/signaling.pb.h"
#include "tools/phone/event_log.h"
#include "tools/phone/session.h"
#include "tools/phone/state_file.h"
#include "tools/signaling_client/call_body.h"

namespace sotto::tools {

// Says an error, and that the command failed.
int Fail(const EventLog& log, const absl::Status& status);

// Puts the account's keys, and those of the current and the next epoch where they are missing.
boost::asio::awaitable<int> Register(Session& session);

struct IssueOptions {
  uint32_t count = 5;
  uint32_t uses = 1;  // of all tokens of the epoch
};
// Registers what is missing, makes tokens, and remembers that they are given away.
boost::asio::awaitable<absl::StatusOr<e2e::Invitation>> MakeInvitation(Session& session,
                                                                       IssueOptions options);
// Prints it.
boost::asio::awaitable<int> IssueTokens(Session& session, IssueOptions options);

struct SettingsChange {
  std::optional<bool> silence_unknown_callers;
  std::optional<bool> protect_ip_address;
};
boost::asio::awaitable<int> ChangeSettings(Session& session, SettingsChange change);

boost::asio::awaitable<int> Block(Session& session, std::string account, bool blocked);

// One token by its serial (hexadecimal), or all tokens of the epochs that count.
boost::asio::awaitable<int> RevokeSerial(Session& session, std::string serial);
boost::asio::awaitable<int> RevokeEpochs(Session& session);

boost::asio::awaitable<int> RemoveDevice(Session& session, std::string device);

// Makes a contact of the account, or adds the tokens to those it has; returns how many it has then.
// FAILED_PRECONDITION if it is known under other keys.
absl::StatusOr<size_t> TakeInvitation(StateFile& state, const e2e::Invitation& invitation);

// Without a server.
int AddContact(StateFile& state, const EventLog& log, const std::string& link);
int CloneState(const StateFile& state, const EventLog& log, const std::string& path);
int Show(const StateFile& state, const EventLog& log);

// Events of frames that any command may get: notices (opened, and acknowledged) and settings that
// another device has changed. False if it was another frame.
boost::asio::awaitable<bool> HandleAccountFrame(Session& session, const api::ServerFrame& frame);

}  // namespace sotto::tools
