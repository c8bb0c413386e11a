// SPDX-License-Identifier: Apache-2.0
// sotto-loadgen: makes traffic for relays and signaling servers, and measures what becomes of it.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <atomic>
#include <csignal>
#include <cstdio>
#include <functional>
#include <string>
#include <vector>

#include "tools/loadgen/calls/calls.h"
#ifdef SOTTO_SIGNALING
#include "tools/loadgen/signaling/command.h"
#endif
#ifdef SOTTO_WIRE
#include "tools/loadgen/wire/command.h"
#endif

namespace sotto::tools {
namespace {

std::atomic<bool> stop_requested = false;

void HandleSignals() {
  struct sigaction action = {};
  action.sa_handler = [](int) { stop_requested = true; };
  action.sa_flags = SA_RESETHAND;  // a second signal ends the process at once
  sigaction(SIGINT, &action, nullptr);
  sigaction(SIGTERM, &action, nullptr);
}

// What was written on the command line, before it is read as addresses.
struct CallsFlags {
  std::string server;
  std::vector<std::string> local;
  std::vector<std::string> netns;
  std::string family;
};

void AddCalls(CLI::App& app, CallsOptions& options, CallsFlags& flags) {
  app.add_option("--server", flags.server, "TURN server: 192.0.2.1:3478 or [2001:db8::1]:3478")
      ->required();
  auto* user = app.add_option("--user", options.user, "User name");
  app.add_option("--password", options.password, "Password of the user");
  app.add_option("--secret", options.secret,
                 "Shared secret for time-limited credentials, instead of a user")
      ->excludes(user);
  app.add_option("--name", options.name, "Name in time-limited user names, and prefix of call ids")
      ->capture_default_str();
  app.add_flag("--call-policy", options.call_policy,
               "User names <expiry>:<name>-<call>/a and /b, for relays with policy \"call\"");
  app.add_option("--local", flags.local,
                 "Local address, or two addresses for leg A and leg B, separated by a comma")
      ->delimiter(',')
      ->expected(1, 2);
  app.add_option("--netns", flags.netns,
                 "Network namespaces (ip netns) for leg A and leg B, separated by a comma")
      ->delimiter(',')
      ->expected(1, 2);
  app.add_option("--family", flags.family,
                 "IP version of relayed addresses: 4, 6 or both (packets alternate); default: that "
                 "of --server")
      ->check(CLI::IsMember({"4", "6", "both"}));
  app.add_flag("--send-indications", options.send_indications,
               "Use Send and Data indications instead of channels");
  app.add_option("--calls", options.calls, "Number of calls, two legs each")->capture_default_str();
  app.add_option("--pps", options.pps, "Packets per second, over all calls and both directions")
      ->capture_default_str();
  app.add_option("--payload", options.payload, "Bytes of payload per packet, at least 32")
      ->capture_default_str();
  app.add_option("--seconds", options.seconds, "Seconds to send")->capture_default_str();
  app.add_option("--warmup", options.warmup,
                 "Seconds of warm-up before that, at the same rate, not counted")
      ->capture_default_str();
  app.add_option("--threads", options.threads,
                 "Number of threads; the calls are divided among them")
      ->capture_default_str();
  app.add_option("--max-loss", options.max_loss_percent,
                 "Fail if more than this percentage of the packets is lost")
      ->check(CLI::Range(0.0, 100.0));
  app.add_flag("--json", options.json, "Print one JSON object");
}

absl::Status ReadFlags(const CallsFlags& flags, CallsOptions& options) {
  auto server = TransportAddress::Parse(flags.server);
  if (!server.ok()) {
    return absl::InvalidArgumentError(
        fmt::format("--server: {}", std::string(server.status().message())));
  }
  options.server = *server;
  for (size_t side = 0; side < 2; ++side) {
    const std::string any = server->ip.is_v4() ? "0.0.0.0" : "::";
    const std::string& text =
        flags.local.empty() ? any : flags.local[std::min(side, flags.local.size() - 1)];
    auto local = IpAddress::Parse(text);
    if (!local.ok()) {
      return absl::InvalidArgumentError(
          fmt::format("--local: {}", std::string(local.status().message())));
    }
    options.local[side] = *local;
    if (!flags.netns.empty()) {
      options.netns[side] = flags.netns[std::min(side, flags.netns.size() - 1)];
    }
  }
  if (flags.family == "both") {
    options.families = {IpFamily::kV4, IpFamily::kV6};
  } else if (flags.family.empty()) {
    options.families = {server->ip.family()};
  } else {
    options.families = {flags.family == "4" ? IpFamily::kV4 : IpFamily::kV6};
  }
  return options.Validate();
}

int Calls(CallsOptions& options, const CallsFlags& flags) {
  if (const absl::Status status = ReadFlags(flags, options); !status.ok()) {
    fmt::print(stderr, "sotto-loadgen: {}\n", std::string(status.message()));
    return 2;
  }
  CallsReport report;
  const absl::Status status = RunCalls(options, stop_requested, report);
  if (options.json) {
    fmt::print("{}", ToJson(options, report));
  } else if (report.sent > 0) {
    fmt::print("{}", ToText(options, report));
  }
  if (status.ok()) return 0;
  fmt::print(stderr, "sotto-loadgen: {}\n", std::string(status.message()));
  return 1;
}

}  // namespace
}  // namespace sotto::tools

int main(int argc, char** argv) {
  CLI::App app("Generates traffic for relays and signaling servers, and measures loss and latency.",
               "sotto-loadgen");
  app.require_subcommand(1);
  app.footer(
      "Exit code: 0 if all calls were set up and kept, 1 if not or if a given limit was exceeded, "
      "2 if the command line is wrong.");
  sotto::tools::CallsOptions options;
  sotto::tools::CallsFlags flags;
  CLI::App* calls = app.add_subcommand(
      "calls",
      "Two-party calls over kernel sockets: both legs allocate, and send to each other through the "
      "relay");
  sotto::tools::AddCalls(*calls, options, flags);
  std::function<int()> chosen = [&] { return sotto::tools::Calls(options, flags); };
#ifdef SOTTO_SIGNALING
  sotto::tools::AddSignalingCommand(app, sotto::tools::stop_requested, chosen);
#endif
#ifdef SOTTO_WIRE
  sotto::tools::AddWireCommand(app, sotto::tools::stop_requested, chosen);
#endif
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;
  }
  sotto::tools::HandleSignals();
  return chosen();
}
