// SPDX-License-Identifier: Apache-2.0
#include "tools/loadgen/signaling/command.h"

#include <fmt/format.h>

#include <CLI/App.hpp>
#include <memory>

#include "tools/loadgen/signaling/signaling.h"

namespace sotto::tools {

void AddSignalingCommand(CLI::App& app, const std::atomic<bool>& stop,
                         std::function<int()>& chosen) {
  struct Flags {
    SignalingOptions options;
    std::string server;
    bool ring_only = false;  // says what is so anyway
  };
  auto flags = std::make_shared<Flags>();
  SignalingOptions& options = flags->options;
  CLI::App* command = app.add_subcommand(
      "signaling", "Devices connected to sotto-signald, half of which call the other half");
  command->add_option("--server", flags->server, "Signaling server: wss://HOST:PORT/v1")
      ->required();
  command->add_option("--ca", options.tls.ca_file,
                      "PEM file with the CA that issued the server's certificate");
  command->add_flag("--insecure", options.tls.insecure,
                    "Accept any certificate; only for development");
  command->add_option("--identity-key", options.identity_key,
                      "PEM file with the P-256 private key to mint identities with; default: ask "
                      "the server for them");
  command->add_option("--issuer", options.issuer, "Issuer of minted identities (iss)");
  command->add_option("--audience", options.audience, "Audience of minted identities (aud)");
  command->add_option("--name", options.name, "Prefix of account names")->capture_default_str();
  command->add_option("--devices", options.devices, "Number of devices, each with its own account")
      ->capture_default_str();
  command
      ->add_option("--connecting", options.connecting, "Number of devices that connect at a time")
      ->capture_default_str();
  command
      ->add_option("--calls-per-second", options.calls_per_second,
                   "Calls per second over all devices; 0: devices stay idle")
      ->capture_default_str();
  command->add_option("--seconds", options.seconds, "Seconds to run")->capture_default_str();
  auto* answer = command->add_flag("--answer", options.answer, "Recipients accept at once");
  command
      ->add_flag("--ring-only", flags->ring_only,
                 "Let each call ring until the caller gives up (default)")
      ->excludes(answer);
  command->add_option("--ring-seconds", options.ring_seconds, "Seconds that a call rings")
      ->check(CLI::Range(0.0, 9.0))
      ->capture_default_str();
  command->add_option("--talk-seconds", options.talk_seconds, "Seconds that an answered call lasts")
      ->check(CLI::Range(0.0, 3600.0))
      ->capture_default_str();
  command->add_flag("--plain", options.plain, "Use no tokens, and don't silence unknown callers");
  command->add_option("--server-pid", options.server_pid,
                      "Process id of the server, to measure its memory");
  command->add_option("--max-ring-p99", options.max_ring_p99_ms,
                      "Fail if the p99 of the time to ring is above this, in milliseconds");
  command->add_flag("--json", options.json, "Print one JSON object");
  command->callback([flags, &stop, &chosen] {
    chosen = [flags, &stop] {
      SignalingOptions& o = flags->options;
      auto endpoint = Endpoint::Parse(flags->server);
      absl::Status status = endpoint.status();
      if (status.ok()) {
        o.server = *std::move(endpoint);
        status = o.Validate();
      }
      if (!status.ok()) {
        fmt::print(stderr, "sotto-loadgen: {}\n", std::string(status.message()));
        return 2;
      }
      SignalingReport report;
      status = RunSignaling(o, stop, report);
      if (o.json) {
        fmt::print("{}", ToJson(o, report));
      } else if (report.connected > 0) {
        fmt::print("{}", ToText(o, report));
      }
      if (status.ok()) return 0;
      fmt::print(stderr, "sotto-loadgen: {}\n", std::string(status.message()));
      return 1;
    };
  });
}

}  // namespace sotto::tools
