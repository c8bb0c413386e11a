// SPDX-License-Identifier: Apache-2.0
#include "tools/loadgen/wire/command.h"

#include <fmt/format.h>

#include <CLI/App.hpp>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string>

#include "tools/loadgen/wire/wire.h"

namespace sotto::tools {
namespace {

// What was written on the command line, before it is read as addresses and rates.
struct Flags {
  WireOptions options;
  std::string server;
  std::string mac;
  std::string clients;
  std::string mix;
  uint32_t payload = 160;
  std::string rate = "max";
  std::string order = "random";
  bool no_latency = false;
  bool no_release = false;
};

absl::Status Prefixed(std::string_view flag, const absl::Status& status) {
  return absl::InvalidArgumentError(fmt::format("{}: {}", flag, std::string(status.message())));
}

absl::Status Read(Flags& flags) {
  WireOptions& options = flags.options;
  const auto server = TransportAddress::Parse(flags.server);
  if (!server.ok()) return Prefixed("--server", server.status());
  options.server = *server;
  const auto clients = IpPrefix::Parse(flags.clients);
  if (!clients.ok()) return Prefixed("--clients", clients.status());
  options.clients = *clients;
  if (!flags.mac.empty()) {
    const auto mac = ParseWireMac(flags.mac);
    if (!mac.ok()) return mac.status();
    options.server_mac = *mac;
  }
  const auto mix = flags.mix.empty() ? WireMix::Of(flags.payload) : WireMix::Named(flags.mix);
  if (!mix.ok()) return mix.status();
  options.mix = *mix;
  if (flags.rate != "max") {
    char* end = nullptr;
    options.rate = std::strtod(flags.rate.c_str(), &end);
    if (end == flags.rate.c_str() || *end != '\0' || options.rate < 1) {
      return absl::InvalidArgumentError(
          fmt::format("--rate {} must be max, or at least 1 packet per second", flags.rate));
    }
  }
  options.random_order = flags.order == "random";
  options.latency = !flags.no_latency;
  options.release = !flags.no_release;
  return options.Validate();
}

int Run(Flags& flags, const std::atomic<bool>& stop) {
  if (const absl::Status status = Read(flags); !status.ok()) {
    fmt::print(stderr, "sotto-loadgen: {}\n", std::string(status.message()));
    return 2;
  }
  WireReport report;
  const absl::Status status = RunWire(flags.options, stop, report);
  if (flags.options.control) {
    // It has printed everything already.
  } else if (flags.options.json) {
    fmt::print("{}", ToJson(flags.options, report));
  } else if (!report.driver.empty()) {
    fmt::print("{}", ToText(flags.options, report));
  }
  if (status.ok()) return 0;
  fmt::print(stderr, "sotto-loadgen: {}\n", std::string(status.message()));
  return 1;
}

}  // namespace

void AddWireCommand(CLI::App& app, const std::atomic<bool>& stop, std::function<int()>& chosen) {
  auto flags = std::make_shared<Flags>();
  WireOptions& options = flags->options;
  CLI::App* command = app.add_subcommand(
      "wire", "ChannelData over a DPDK port, at full speed or at a rate: loss, order, latency");
  command->add_option("--eal", options.eal,
                      "Arguments for DPDK's EAL, such as \"--vdev=net_memif0,...\"; hugepages are "
                      "used if there are any");
  command->add_option("--port", options.port, "DPDK port: an ethdev name or a PCI address")
      ->required();
  command
      ->add_option("--queues", options.queues, "Number of queue pairs; legs are divided among them")
      ->capture_default_str();
  command
      ->add_option("--descriptors", options.descriptors,
                   "Descriptors per queue, if the device supports it")
      ->capture_default_str();
  command->add_option("--server", flags->server, "TURN server: 192.0.2.1:3478")->required();
  command->add_option("--mac", flags->mac,
                      "MAC address of the server or of the router to it; default: resolve by ARP");
  command
      ->add_option("--clients", flags->clients,
                   "Prefix of client addresses, such as 192.0.2.128/25")
      ->required();
  command->add_option("--first-port", options.first_port, "First port of the legs")
      ->capture_default_str();
  command->add_option("--legs", options.legs, "Number of legs, two per call")
      ->capture_default_str();
  auto* user = command->add_option("--user", options.user, "User name");
  command->add_option("--password", options.password, "Password of the user");
  auto* secret =
      command->add_option("--secret", options.secret, "Shared secret for time-limited credentials");
  secret->excludes(user);
  command->add_flag("--call-policy", options.call_policy,
                    "User names <expiry>:loadgen-<call>/a and /b, for relays with policy \"call\" "
                    "and arm = \"at-once\"");
  command
      ->add_flag("--mirror", options.mirror,
                 "No TURN; the server only swaps addresses, like dpdk-testpmd "
                 "--forward-mode=5tswap")
      ->excludes(user)
      ->excludes(secret);
  command->add_option("--window", options.window, "Number of legs that are set up at a time")
      ->capture_default_str();
  command->add_flag("--allocate-only", options.allocate_only,
                    "Only measure allocations per second, without channels or media");
  auto* payload =
      command->add_option("--payload", flags->payload, "Bytes of payload per packet, 14 to 1468")
          ->capture_default_str();
  command->add_option("--mix", flags->mix, "Payload sizes: opus, video, 64 or imix")
      ->excludes(payload);
  command->add_option("--rate", flags->rate, "Packets per second over all legs, or max")
      ->capture_default_str();
  command
      ->add_option("--seconds", options.seconds,
                   "Seconds to send; with --find-rate, seconds per trial")
      ->capture_default_str();
  command->add_option("--warmup", options.warmup, "Seconds of warm-up, not counted")
      ->capture_default_str();
  command->add_option("--order", flags->order, "Order in which legs send")
      ->check(CLI::IsMember({"random", "round-robin"}))
      ->capture_default_str();
  auto* find = command->add_flag("--find-rate", options.find_rate,
                                 "Find the highest rate without loss (RFC 2544)");
  command
      ->add_option("--loss", options.search.max_loss,
                   "With --find-rate: percentage of packets that may be lost")
      ->needs(find)
      ->capture_default_str();
  command
      ->add_option("--precision", options.search.precision,
                   "With --find-rate: relative precision of the rate")
      ->needs(find)
      ->capture_default_str();
  command
      ->add_option("--attempts", options.search.attempts,
                   "With --find-rate: number of trials before a rate counts as failed")
      ->needs(find)
      ->capture_default_str();
  command->add_option("--max-loss", options.max_loss_percent,
                      "Fail if more than this percentage of the packets is lost");
  command->add_flag("--no-latency", flags->no_latency, "Don't measure latency");
  command->add_flag("--no-release", flags->no_release,
                    "Don't end the allocations; they expire at the end of their lifetime");
  command->add_option("--pcap", options.pcap, "Write packets of all legs to this pcap file first");
  command
      ->add_option("--pcap-per-leg", options.pcap_per_leg,
                   "Number of packets of each leg in the pcap file")
      ->capture_default_str();
  command->add_flag("--pcap-only", options.pcap_only,
                    "Write the pcap file and exit; with --no-release, the allocations stay for a "
                    "replay");
  auto* json = command->add_flag("--json", options.json, "Print one JSON object");
  command
      ->add_flag(
          "--control", options.control,
          "After set-up, run commands from standard input, one per line: run <packets/s or max> "
          "<seconds>, or find <seconds> <loss> <precision> <attempts>; print one JSON object per "
          "line, for the set-up and for each command")
      ->excludes(json)
      ->excludes(find);
  command->callback(
      [flags, &stop, &chosen] { chosen = [flags, &stop] { return Run(*flags, stop); }; });
}

}  // namespace sotto::tools
