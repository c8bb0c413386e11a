// SPDX-License-Identifier: Apache-2.0
// sotto-phone: a headless signaling client, for scripts and probes.
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
  command.add_flag("!--no-media", media.media, "Send no media, and don't use the relay");
  command.add_option("--pps", media.pps, "Media packets per second")
      ->check(CLI::Range(1u, 10'000u))
      ->capture_default_str();
  command.add_option("--payload", media.payload, "Bytes in each of them")
      ->check(CLI::Range(kMinMediaPayload, 1200u))
      ->capture_default_str();
}

void AddGlobal(CLI::App& app, PhoneOptions& phone) {
  app.add_option("--server", phone.server, "The signaling server: wss://HOST:PORT/v1");
  app.add_option("--ca", phone.tls.ca_file,
                 "PEM file with the CA that issued the server's certificate");
  app.add_flag("--insecure", phone.tls.insecure, "Accept any certificate; only for development");
  auto* identity = app.add_option("--identity", phone.identity, "JWT of the account to sign in as");
  auto* file = app.add_option("--identity-file", phone.identity_file, "File with that JWT")
                   ->excludes(identity);
  app.add_option("--development", phone.development,
                 "Account to sign in as, with an identity that a development server issues")
      ->excludes(identity)
      ->excludes(file);
  app.add_option("--state", phone.state, "File with this phone's secrets; created if it is missing")
      ->capture_default_str();
  app.add_flag("--trace", phone.trace, "Print an event for each frame, with its size");
  app.add_option("--drop-after", phone.drop_after_s,
                 "Cut the connection once after this many seconds, as a failing network does")
      ->check(CLI::Range(0.0, 86400.0));
}

int Main(int argc, char** argv) {
  CLI::App app("A headless signaling client that prints each step as a line of JSON.",
               "sotto-phone");
  app.require_subcommand(1);
  app.fallthrough();
  app.footer(
      "Exit code: 0 on success, 1 on failure, 2 if the command line is wrong, 3 if the call was "
      "not answered or none came, 4 if media did not arrive as it was sent.");
  Flags flags;
  AddGlobal(app, flags.phone);
  Command online;
  std::function<int(StateFile&, const EventLog&)> offline;

  app.add_subcommand("register", "Registers the account's keys, and prints them")->callback([&] {
    online = [](Session& s) { return Register(s); };
  });

  auto* issue =
      app.add_subcommand("issue-tokens", "Issues tokens, and prints an invitation with them");
  issue->add_option("--count", flags.issue.count, "Number of tokens")
      ->check(CLI::Range(0u, 128u))
      ->capture_default_str();
  issue
      ->add_option("--uses", flags.issue.uses,
                   "Number of calls that each token of this epoch rings, including tokens issued "
                   "earlier")
      ->check(CLI::Range(1u, kMaxTokenUses))
      ->capture_default_str();
  issue->callback([&] { online = [&](Session& s) { return IssueTokens(s, flags.issue); }; });

  auto* add = app.add_subcommand("add-contact", "Adds the contact and the tokens of an invitation");
  add->add_option("link", flags.link, "The invitation, as issue-tokens printed it")->required();
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
    auto* block = app.add_subcommand(
        blocked ? "block" : "unblock",
        blocked ? "Blocks an account: its calls never ring" : "Unblocks an account");
    block->add_option("account", flags.name, "The account")->required();
    block->callback([&flags, &online, blocked] {
      online = [&flags, blocked](Session& s) { return Block(s, flags.name, blocked); };
    });
  }

  auto* revoke = app.add_subcommand("revoke",
                                    "Revokes tokens that were given out, so that they no longer "
                                    "ring");
  auto* one = revoke->add_option("--serial", flags.serial, "The serial of one token");
  auto* all =
      revoke->add_flag("--epoch", flags.epoch, "All tokens of the current epoch")->excludes(one);
  revoke->callback([&, one, all] {
    if (one->empty() && all->empty()) throw CLI::RequiredError("--serial or --epoch");
    online = [&](Session& s) {
      return flags.epoch ? RevokeEpochs(s) : RevokeSerial(s, flags.serial);
    };
  });

  auto* remove = app.add_subcommand("remove-device", "Removes another device of the account");
  remove->add_option("device", flags.device, "The device, as register printed it")->required();
  remove->callback([&] { online = [&](Session& s) { return RemoveDevice(s, flags.device); }; });

  auto* clone =
      app.add_subcommand("clone", "Writes a state file for another device of the account");
  clone->add_option("file", flags.path, "The file to write")->required();
  clone->callback([&] {
    offline = [&](StateFile& state, const EventLog& log) {
      return CloneState(state, log, flags.path);
    };
  });

  app.add_subcommand("show", "Prints the content of the state file, without secrets")
      ->callback([&] {
        offline = [](StateFile& state, const EventLog& log) { return Show(state, log); };
      });

  auto* call = app.add_subcommand("call", "Places a call");
  call->add_option("account", flags.call.recipient, "The account to call")->required();
  call->add_option("--token", flags.call.token,
                   "auto: a token of the contact if there is one; none; or a token in "
                   "hexadecimal")
      ->capture_default_str();
  call->add_flag("--invite", flags.call.invite, "Gives the recipient tokens to call back with");
  AddMedia(*call, flags.call.media, "Seconds to talk");
  call->callback([&] { online = [&](Session& s) { return MakeCall(s, flags.call); }; });

  flags.answer.media.seconds = 0;
  auto* answer = app.add_subcommand("answer", "Waits for calls and answers them");
  answer->add_option("--calls", flags.answer.calls, "Number of calls; 0: until interrupted")
      ->capture_default_str();
  answer
      ->add_option("--wait", flags.answer.wait_s, "Seconds to wait for the first call; 0: no limit")
      ->capture_default_str();
  answer->add_option("--ring", flags.answer.ring_s, "Seconds to let it ring before answering")
      ->capture_default_str();
  answer->add_flag("--decline", flags.answer.decline, "Decline all calls");
  AddMedia(*answer, flags.answer.media, "Seconds to talk; 0: until the caller hangs up");
  answer->callback([&] { online = [&](Session& s) { return AnswerCalls(s, flags.answer); }; });

  auto* watch = app.add_subcommand("watch", "Prints what happens, and answers no calls");
  watch->add_option("--seconds", flags.seconds, "Seconds to watch; 0: until interrupted")
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
    return wrong(fmt::format("\"{}\" is not a valid account name", flags.name));
  }
  if (*call && !IsAccountName(flags.call.recipient)) {
    return wrong(fmt::format("\"{}\" is not a valid account name", flags.call.recipient));
  }
  if (online) {
    if (auto endpoint = Endpoint::Parse(flags.phone.server); !endpoint.ok()) {
      return wrong("--server: " + std::string(endpoint.status().message()));
    }
    if (flags.phone.identity.empty() && flags.phone.identity_file.empty() &&
        flags.phone.development.empty()) {
      return wrong("give an identity: --identity JWT, --identity-file FILE or --development NAME");
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
