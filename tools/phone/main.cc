// SPDX-License-Identifier: Apache-2.0
// sotto-phone: a signaling client without a screen, for scripts and probes.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <functional>

#include "tools/phone/account_commands.h"
#include "tools/phone/call_commands.h"
#include "tools/phone/session.h"

namespace sotto::tools {
namespace {

namespace asio = boost::asio;
using Command = std::function<asio::awaitable<int>(Session&)>;

// Runs a command on a connection of its own.
int Run(const PhoneOptions& options, StateFile& state, const EventLog& log,
        const Command& command) {
  asio::io_context io(1);
  Session session(io, options, state, log);
  int code = kFailed;
  asio::co_spawn(
      io,
      [&]() -> asio::awaitable<void> {
        if (auto status = co_await session.Open(); !status.ok()) {
          code = Fail(log, status);
        } else {
          code = co_await command(session);
        }
        co_await session.Close();
        io.stop();
      },
      [](const std::exception_ptr& error) {
        if (error) std::rethrow_exception(error);
      });
  io.run();
  return code;
}

struct Flags {
  PhoneOptions phone;
  std::string silence, protect, name, link, path, device, serial;
  bool epoch = false;
  double seconds = 0;
  IssueOptions issue;
  CallOptions call;
  AnswerOptions answer;
};

std::optional<bool> OnOff(const std::string& text) {
  if (text.empty()) return std::nullopt;
  return text == "on";
}

void AddMedia(CLI::App& command, MediaOptions& media, const char* seconds_help) {
  command.add_option("--seconds", media.seconds, seconds_help)
      ->check(CLI::Range(0.0, 86400.0))
      ->capture_default_str();
  command.add_flag("!--no-media", media.media, "Don't use the relay");
  command.add_option("--pps", media.pps, "Media packets a second")
      ->check(CLI::Range(1u, 10'000u))
      ->capture_default_str();
  command.add_option("--payload", media.payload, "Bytes in each of them")
      ->check(CLI::Range(kMinMediaPayload, 1200u))
      ->capture_default_str();
}

void AddGlobal(CLI::App& app, PhoneOptions& phone) {
  app.add_option("--server", phone.server, "The signaling server: wss://HOST:PORT/v1");
  app.add_option("--ca", phone.tls.ca_file, "PEM file with the CA of the server's certificate");
  app.add_flag("--insecure", phone.tls.insecure, "Take any certificate; for development alone");
  auto* identity = app.add_option("--identity", phone.identity, "The JWT that says who this is");
  auto* file = app.add_option("--identity-file", phone.identity_file, "File with that JWT")
                   ->excludes(identity);
  app.add_option("--development", phone.development,
                 "Account for which the server issues an identity, where it does for development")
      ->excludes(identity)
      ->excludes(file);
  app.add_option("--state", phone.state,
                 "Where this phone keeps its secrets; made if it is missing")
      ->capture_default_str();
  app.add_flag("--trace", phone.trace, "An event for each frame, with its size");
  app.add_option("--drop-after", phone.drop_after_s,
                 "Cut the connection once, so many seconds in, as a failing network does")
      ->check(CLI::Range(0.0, 86400.0));
}

int Main(int argc, char** argv) {
  CLI::App app("A signaling client without a screen: each step is a JSON line.", "sotto-phone");
  app.require_subcommand(1);
  app.fallthrough();
  app.footer(
      "Exit code: 0 if it did what it was told, 1 if not, 2 if the command line is wrong, 3 if the "
      "call was not answered (or none came), 4 if media did not arrive as it was sent.");
  Flags flags;
  AddGlobal(app, flags.phone);
  Command online;
  std::function<int(StateFile&, const EventLog&)> offline;

  app.add_subcommand("register", "Puts the account's keys, and prints them")->callback([&] {
    online = [](Session& s) { return Register(s); };
  });

  auto* issue = app.add_subcommand("issue-tokens", "Makes tokens and an invitation with them");
  issue->add_option("--count", flags.issue.count, "How many")
      ->check(CLI::Range(0u, 128u))
      ->capture_default_str();
  issue
      ->add_option("--uses", flags.issue.uses,
                   "How many calls each token of this epoch rings, earlier ones included")
      ->check(CLI::Range(1u, kMaxTokenUses))
      ->capture_default_str();
  issue->callback([&] { online = [&](Session& s) { return IssueTokens(s, flags.issue); }; });

  auto* add = app.add_subcommand("add-contact", "Takes an invitation");
  add->add_option("link", flags.link, "What issue-tokens printed")->required();
  add->callback([&] {
    offline = [&](StateFile& state, const EventLog& log) {
      return AddContact(state, log, flags.link);
    };
  });

  auto* settings =
      app.add_subcommand("settings", "Changes the account's settings, and prints them");
  settings->add_option("--silence", flags.silence, "Silence unknown callers: on or off")
      ->check(CLI::IsMember({"on", "off"}));
  settings->add_option("--protect", flags.protect, "Protect IP address in calls: on or off")
      ->check(CLI::IsMember({"on", "off"}));
  settings->callback([&] {
    online = [&](Session& s) {
      return ChangeSettings(s, SettingsChange{OnOff(flags.silence), OnOff(flags.protect)});
    };
  });

  for (const bool blocked : {true, false}) {
    auto* block = app.add_subcommand(blocked ? "block" : "unblock",
                                     blocked ? "No call of theirs rings" : "Takes that back");
    block->add_option("account", flags.name, "Whose")->required();
    block->callback([&flags, &online, blocked] {
      online = [&flags, blocked](Session& s) { return Block(s, flags.name, blocked); };
    });
  }

  auto* revoke = app.add_subcommand("revoke", "Tokens that were given away ring no more");
  auto* one = revoke->add_option("--serial", flags.serial, "One of them, by its serial");
  auto* all = revoke->add_flag("--epoch", flags.epoch, "All of them")->excludes(one);
  revoke->callback([&, one, all] {
    if (one->empty() && all->empty()) throw CLI::RequiredError("--serial or --epoch");
    online = [&](Session& s) {
      return flags.epoch ? RevokeEpochs(s) : RevokeSerial(s, flags.serial);
    };
  });

  auto* remove =
      app.add_subcommand("remove-device", "Another device of the account is none any more");
  remove->add_option("device", flags.device, "As register printed it")->required();
  remove->callback([&] { online = [&](Session& s) { return RemoveDevice(s, flags.device); }; });

  auto* clone =
      app.add_subcommand("clone", "Writes a state file for another device of the account");
  clone->add_option("file", flags.path, "Where to")->required();
  clone->callback([&] {
    offline = [&](StateFile& state, const EventLog& log) {
      return CloneState(state, log, flags.path);
    };
  });

  app.add_subcommand("show", "Prints what the state file holds, secrets excepted")->callback([&] {
    offline = [](StateFile& state, const EventLog& log) { return Show(state, log); };
  });

  auto* call = app.add_subcommand("call", "Makes a call");
  call->add_option("account", flags.call.recipient, "Whom to")->required();
  call->add_option("--token", flags.call.token,
                   "auto: one of the contact's, if there is one; none; or a token in hexadecimal")
      ->capture_default_str();
  call->add_flag("--invite", flags.call.invite, "Lets the recipient call back with tokens");
  AddMedia(*call, flags.call.media, "How long to talk");
  call->callback([&] { online = [&](Session& s) { return MakeCall(s, flags.call); }; });

  flags.answer.media.seconds = 0;
  auto* answer = app.add_subcommand("answer", "Waits for calls and takes them");
  answer->add_option("--calls", flags.answer.calls, "How many; 0: until it is interrupted")
      ->capture_default_str();
  answer->add_option("--wait", flags.answer.wait_s, "Seconds to wait for the first; 0: for ever")
      ->capture_default_str();
  answer->add_option("--ring", flags.answer.ring_s, "Seconds to let it ring before")
      ->capture_default_str();
  answer->add_flag("--decline", flags.answer.decline, "Decline them all");
  AddMedia(*answer, flags.answer.media, "How long to talk; 0: until the caller ends");
  answer->callback([&] { online = [&](Session& s) { return AnswerCalls(s, flags.answer); }; });

  auto* watch = app.add_subcommand("watch", "Says what happens, and takes no call");
  watch->add_option("--seconds", flags.seconds, "How long; 0: until it is interrupted")
      ->capture_default_str();
  watch->callback([&] { online = [&](Session& s) { return Watch(s, flags.seconds); }; });

  const auto wrong = [](const std::string& text) {
    fmt::print(stderr, "sotto-phone: {}\n", text);
    return kBadCommandLine;
  };
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? kDone : kBadCommandLine;
  }
  if (!flags.name.empty() && !IsAccountName(flags.name)) {
    return wrong(fmt::format("\"{}\" is no account's name", flags.name));
  }
  if (*call && !IsAccountName(flags.call.recipient)) {
    return wrong(fmt::format("\"{}\" is no account's name", flags.call.recipient));
  }
  if (online) {
    if (auto endpoint = Endpoint::Parse(flags.phone.server); !endpoint.ok()) {
      return wrong("--server: " + std::string(endpoint.status().message()));
    }
    if (flags.phone.identity.empty() && flags.phone.identity_file.empty() &&
        flags.phone.development.empty()) {
      return wrong("say who you are: --identity JWT, --identity-file FILE or --development NAME");
    }
  }

  const EventLog log;
  auto state = StateFile::Open(flags.phone.state);
  if (!state.ok()) return Fail(log, state.status());
  return online ? Run(flags.phone, *state, log, online) : offline(*state, log);
}

}  // namespace
}  // namespace sotto::tools

int main(int argc, char** argv) { return sotto::tools::Main(argc, argv); }
