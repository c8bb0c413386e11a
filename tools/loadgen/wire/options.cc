// SPDX-License-Identifier: Apache-2.0
#include "tools/loadgen/wire/options.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdio>

namespace sotto::tools {
namespace {

constexpr uint32_t kMaxLegs = 4'000'000;

// Host addresses of a prefix: without those of the network and of broadcasts, where it has any.
uint32_t HostCount(const IpPrefix& prefix) {
  if (prefix.length() >= 31) return 1u << (32 - prefix.length());
  return (1u << std::min(32 - prefix.length(), 30)) - 2;
}

}  // namespace

absl::Status WireOptions::Validate() const {
  const auto wrong = [](const std::string& message) { return absl::InvalidArgumentError(message); };
  if (server.port == 0) return wrong("--server needs a port other than 0; TURN's is 3478");
  if (!server.ip.is_v4() || !clients.address().is_v4()) {
    return wrong("wire supports only IPv4: --server and --clients must be IPv4 addresses");
  }
  if (legs < 2 || legs % 2 != 0 || legs > kMaxLegs) {
    return wrong(fmt::format("--legs must be an even number from 2 to {}", kMaxLegs));
  }
  if (queues < 1 || queues > 64) return wrong("--queues must be from 1 to 64");
  if (legs % (2u * queues) != 0) {
    return wrong(fmt::format("--legs must be a multiple of {}, twice --queues", 2 * queues));
  }
  if (first_port < 1) return wrong("--first-port must be from 1 to 65535");
  const uint64_t places = uint64_t{HostCount(clients)} * (65'536u - first_port);
  if (legs > places) {
    return wrong(fmt::format(
        "--legs {}: --clients {} with ports from {} has room for {}; give a shorter prefix", legs,
        clients.ToString(), first_port, places));
  }
  if (MakePlan().Plays(*IpToHostOrder(server.ip))) {
    return wrong(fmt::format("--clients {} must not hold the address of --server {}",
                             clients.ToString(), server.ToString()));
  }
  if (!mirror) {
    if (secret.empty() == user.empty()) {
      return wrong("give either --user with --password, or --secret, or --mirror");
    }
    if (!user.empty() && password.empty()) return wrong("--user needs --password");
    if (call_policy && secret.empty()) {
      return wrong("--call-policy needs --secret, as each leg has its own credentials");
    }
  } else if (allocate_only) {
    return wrong("--allocate-only and --mirror exclude each other: a mirror allocates nothing");
  }
  if (window < 1 || window > 1'000'000) return wrong("--window must be from 1 to 1000000");
  if (!(rate >= 0 && rate <= 1e9)) return wrong("--rate must be max, or from 1 to 1000000000");
  if (rate != 0 && find_rate) return wrong("--rate and --find-rate exclude each other");
  if (!(seconds > 0 && seconds <= 1e6))
    return wrong("--seconds must be above 0 and at most 1000000");
  if (!(warmup >= 0 && warmup <= 1e5)) return wrong("--warmup must be from 0 to 100000 seconds");
  if (!(search.max_loss >= 0 && search.max_loss < 1)) {
    return wrong("--loss is a share of the packets, from 0 to below 1");
  }
  if (!(search.precision >= 0.001 && search.precision <= 0.5)) {
    return wrong("--precision must be from 0.001 to 0.5");
  }
  if (search.attempts < 1 || search.attempts > 100) return wrong("--attempts: from 1 to 100");
  if (pcap_only && pcap.empty()) return wrong("--pcap-only needs --pcap");
  if (pcap_per_leg < 1 || pcap_per_leg > 100'000)
    return wrong("--pcap-per-leg must be from 1 to 100000");
  if (max_loss_percent > 100) return wrong("--max-loss must be from 0 to 100 percent");
  return absl::OkStatus();
}

WirePlan WireOptions::MakePlan() const {
  WirePlan plan;
  plan.server_ip = *IpToHostOrder(server.ip);
  plan.server_port = server.port;
  plan.server_mac = server_mac.value_or(WireMac{});
  plan.legs = legs;
  plan.first_port = first_port;
  plan.mirror = mirror;
  // As few addresses as have room, but 250 if there are so many: hosts and NICs spread flows by
  // address and port.
  const uint32_t network = *IpToHostOrder(clients.address());
  const uint32_t hosts = HostCount(clients);
  plan.first_ip = network + (clients.length() >= 31 ? 0 : 1);
  const uint32_t ports = 65'536u - first_port;
  plan.address_count =
      std::min(hosts, std::min(legs, std::max<uint32_t>(250, (legs + ports - 1) / ports)));
  return plan;
}

absl::StatusOr<WireMac> ParseWireMac(const std::string& text) {
  WireMac mac;
  unsigned b[6];
  int end = 0;
  if (std::sscanf(text.c_str(), "%2x:%2x:%2x:%2x:%2x:%2x%n", &b[0], &b[1], &b[2], &b[3], &b[4],
                  &b[5], &end) != 6 ||
      static_cast<size_t>(end) != text.size()) {
    return absl::InvalidArgumentError(
        fmt::format("--mac {} isn't a MAC address, such as 02:00:00:00:00:01", text));
  }
  std::copy(std::begin(b), std::end(b), mac.begin());
  return mac;
}

std::string WireMacToString(const WireMac& mac) {
  return fmt::format("{:02x}:{:02x}:{:02x}:{:02x}:{:02x}:{:02x}", mac[0], mac[1], mac[2], mac[3],
                     mac[4], mac[5]);
}

}  // namespace sotto::tools
