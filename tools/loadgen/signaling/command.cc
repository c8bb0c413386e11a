// SPDX-License-Identifier: Apache-2.0
#include "tools/loadgen/signaling/command.h"

#include <fmt/format.h>

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
      "signaling", "Devices connected to a sotto-signald, half of which call the others");
  command->add_option("--server", flags->server, "Signaling server: wss://HOST:PORT/v1")
      ->required();
  command->add_option("--ca", options.tls.ca_file,
                      "PEM file with the CA of the server's certificate");
  command->add_flag("--insecure", options.tls.insecure,
                    "Take any certificate; for development alone");
  command->add_option("--identity-key", options.identity_key,
                      "PEM file with the P-256 private key that mints identities; without it the "
                      "server is asked for them");
  command->add_option("--issuer", options.issuer, "Who issues minted identities (iss)");
  command->add_option("--audience", options.audience, "Whom they are for (aud)");
  command->add_option("--name", options.name, "The start of account names")->capture_default_str();
  command->add_option("--devices", options.devices, "How many, each of an account of its own")
      ->capture_default_str();
  command->add_option("--connecting", options.connecting, "How many connect at a time")
      ->capture_default_str();
  command
      ->add_option("--calls-per-second", options.calls_per_second,
                   "Calls a second over all; 0: devices stay idle")
      ->capture_default_str();
  command->add_option("--seconds", options.seconds, "How long")->capture_default_str();
  auto* answer = command->add_flag("--answer", options.answer, "Recipients accept at once");
  command
      ->add_flag("--ring-only", flags->ring_only, "It rings, and the caller gives up; the default")
      ->excludes(answer);
  command->add_option("--ring-seconds", options.ring_seconds, "How long it rings")
      ->check(CLI::Range(0.0, 9.0))
      ->capture_default_str();
  command->add_option("--talk-seconds", options.talk_seconds, "How long an answered call lasts")
      ->check(CLI::Range(0.0, 3600.0))
      ->capture_default_str();
  command->add_flag("--plain", options.plain, "No tokens, and nobody silences unknown callers");
  command->add_option("--server-pid", options.server_pid, "Process whose memory to look at");
  command->add_option("--max-ring-p99", options.max_ring_p99_ms,
                      "Fail if 1 % of the calls take longer to ring, in milliseconds");
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
