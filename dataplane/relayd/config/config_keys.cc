// SPDX-License-Identifier: Apache-2.0
// The table of all keys.

#include <charconv>

#include "dataplane/relayd/config/config_reader.h"

namespace sotto::dataplane {
namespace {

void ReadPortRange(const ConfigValue& value, std::pair<uint16_t, uint16_t>& out) {
  const auto text = value.String();
  if (!text) return;
  const char* end = text->data() + text->size();
  std::pair<uint16_t, uint16_t> range;
  const auto low = std::from_chars(text->data(), end, range.first);
  if (low.ec == std::errc() && low.ptr != end && *low.ptr == '-') {
    const auto high = std::from_chars(low.ptr + 1, end, range.second);
    if (high.ec == std::errc() && high.ptr == end && range.first > 0 &&
        range.first <= range.second) {
      out = range;
      return;
    }
  }
  value.Fail(
      fmt::format("{} is not a port range; must be \"LOW-HIGH\" with 1 <= LOW <= HIGH <= 65535, "
                  "such as {}.",
                  Quoted(*text), value.key().example));
}

// "192.0.2.10/24": unlike a prefix, with host bits.
void ReadInterfaceAddress(const ConfigValue& value, InterfaceConfig& interface) {
  const auto text = value.String();
  if (!text) return;
  const size_t slash = text->find('/');
  int length = -1;
  if (slash != std::string::npos) {
    const char* end = text->data() + text->size();
    const auto parsed = std::from_chars(text->data() + slash + 1, end, length);
    if (parsed.ec != std::errc() || parsed.ptr != end) length = -1;
  }
  const auto ip = IpAddress::Parse(std::string_view(*text).substr(0, slash));
  if (!ip.ok() || length < 0 || length > (ip->is_v4() ? 32 : 128)) {
    return value.Fail(fmt::format("{} is not an address with a prefix length, such as {}.",
                                  Quoted(*text), value.key().example));
  }
  interface.addresses.push_back({*ip, IpPrefix(*ip, length)});
}

// A reader that stores an integer in a member, within bounds.
#define SOTTO_INTEGER(member, least, most) \
  [](const ConfigValue& v, RelaydConfig& c) { v.Read(c.member, least, most); }

constexpr int64_t kMaxU32 = UINT32_MAX;
constexpr int64_t kMaxAllocations = 1 << 20;
constexpr int64_t kMaxUserRate = 1'000'000'000'000;
constexpr int64_t kYear = 366 * 24 * 3600;

const ConfigKeyReader<RelaydConfig> kKeys[] = {
    {{.section = "dataplane",
      .name = "eal_args",
      .type = "an array of strings",
      .standard = "[]",
      .example = R"(["--no-pci", "--vdev=net_af_packet0,iface=eth1"])",
      .meaning = "Arguments for DPDK's EAL. By default, lcores are spread over the CPUs that the "
                 "process may use, hugepages are used if there are any, and nothing is shared with "
                 "other processes. Without any arguments there are no PCI devices."},
     [](const ConfigValue& v, RelaydConfig& c) {
       for (const ConfigValue& element : v.Elements()) {
         const auto argument = element.String();
         if (!argument) continue;
         if (argument->empty() || argument->find('\0') != std::string::npos) {
           element.Fail("an argument must not be empty or contain NUL.");
         }
         c.dataplane.eal_args.push_back(*argument);
       }
     }},
    {{.section = "dataplane",
      .name = "workers",
      .type = "an integer",
      .standard = "1",
      .example = "2",
      .meaning = "Number of worker lcores. Each has a receive and a transmit queue on every port, "
                 "so every port needs as many queue pairs."},
     SOTTO_INTEGER(dataplane.workers, 1, kMaxWorkers)},
    {{.section = "dataplane",
      .name = "poll",
      .type = "a string",
      .standard = "\"adaptive\"",
      .example = "\"busy\"",
      .meaning =
          "`\"adaptive\"`: a worker sleeps briefly when there are no packets; `\"busy\"`: it never "
          "sleeps, for the lowest latency."},
     [](const ConfigValue& v, RelaydConfig& c) {
       v.Read(c.dataplane.poll, {{"adaptive", PollMode::kAdaptive}, {"busy", PollMode::kBusy}});
     }},
    {{.section = "dataplane",
      .name = "max_allocations",
      .type = "an integer",
      .standard = "100000",
      .example = "100000",
      .meaning = "Maximum number of allocations; further ones are answered 508 (Insufficient "
                 "Capacity). Their memory is reserved at start."},
     [](const ConfigValue& v, RelaydConfig& c) {
       v.Read(c.dataplane.max_allocations, 1, kMaxAllocations);
       c.server.limits.max_allocations = c.dataplane.max_allocations;
     }},
    {{.section = "dataplane",
      .name = "memory_mb",
      .type = "an integer",
      .standard = "0",
      .example = "1024",
      .meaning = "Megabytes that DPDK reserves at start when it can't get more later (without "
                 "hugepages). 0: computed from the other settings."},
     [](const ConfigValue& v, RelaydConfig& c) {
       v.Read(c.dataplane.memory_mb, 0, 1'048'576);
       if (c.dataplane.memory_mb != 0 && c.dataplane.memory_mb < 64) {
         v.Fail(fmt::format("{} is too small; must be at least 64, or 0.", c.dataplane.memory_mb));
       }
     }},
    {{.section = "dataplane",
      .name = "mbufs",
      .type = "an integer",
      .standard = "0",
      .example = "65535",
      .meaning = "Number of packet buffers. 0: computed from ports, queues and descriptors."},
     SOTTO_INTEGER(dataplane.mbufs, 0, 16'777'215)},
    {{.section = "dataplane",
      .name = "rx_descriptors",
      .type = "an integer",
      .standard = "1024",
      .example = "2048",
      .meaning = "Number of descriptors of each receive queue, as far as the device allows."},
     SOTTO_INTEGER(dataplane.rx_descriptors, 32, 32'768)},
    {{.section = "dataplane",
      .name = "tx_descriptors",
      .type = "an integer",
      .standard = "1024",
      .example = "2048",
      .meaning = "Number of descriptors of each transmit queue, as far as the device allows."},
     SOTTO_INTEGER(dataplane.tx_descriptors, 32, 32'768)},

    {{.section = "interface",
      .name = "port",
      .type = "a string",
      .standard = "(required)",
      .example = "\"net_af_packet0\"",
      .required = true,
      .meaning = "The DPDK port: an ethdev name, or a PCI address such as `\"0000:01:00.0\"`. "
                 "Several interfaces may share a port if their VLANs differ."},
     [](const ConfigValue& v, RelaydConfig& c) {
       v.Read(c.interfaces.back().port);
       if (v.node().is_string() && c.interfaces.back().port.empty()) v.Fail("must not be empty.");
     }},
    {{.section = "interface",
      .name = "addresses",
      .type = "an array of addresses with prefix lengths",
      .standard = "(required)",
      .example = R"(["192.0.2.10/24", "2001:db8::10/64"])",
      .required = true,
      .meaning = "The addresses of the relay on this interface. The relay itself answers ARP, "
                 "neighbor discovery and echo requests for them; the kernel must not have them."},
     [](const ConfigValue& v, RelaydConfig& c) {
       for (const ConfigValue& element : v.Elements()) {
         ReadInterfaceAddress(element, c.interfaces.back());
       }
     }},
    {{.section = "interface",
      .name = "gateways",
      .type = "an array of addresses",
      .standard = "[]",
      .example = R"(["192.0.2.1", "2001:db8::1"])",
      .meaning = "Next hops of packets to addresses outside all subnets: the first gateway of each "
                 "family, on the first interface that has one."},
     [](const ConfigValue& v, RelaydConfig& c) { v.ReadAll(c.interfaces.back().gateways); }},
    {{.section = "interface",
      .name = "vlan",
      .type = "an integer",
      .standard = "0",
      .example = "42",
      .meaning = "802.1Q VLAN id. 0: untagged."},
     SOTTO_INTEGER(interfaces.back().vlan, 0, 4094)},
    {{.section = "interface",
      .name = "mtu",
      .type = "an integer",
      .standard = "0",
      .example = "1500",
      .meaning = "The largest IP packet, in bytes. 0: the MTU of the device."},
     [](const ConfigValue& v, RelaydConfig& c) {
       v.Read(c.interfaces.back().mtu, 0, 9600);
       if (c.interfaces.back().mtu != 0 && c.interfaces.back().mtu < 576) {
         v.Fail(fmt::format("{} is too small; must be from 576 to 9600, or 0.",
                            c.interfaces.back().mtu));
       }
     }},
    {{.section = "interface",
      .name = "mac",
      .type = "a MAC address",
      .standard = "(the device's)",
      .example = "\"02:00:00:00:00:01\"",
      .meaning = "Overrides the MAC address of the device. Must be a unicast address."},
     [](const ConfigValue& v, RelaydConfig& c) {
       const auto mac = v.Parsed<MacAddress>();
       if (!mac) return;
       if (mac->is_multicast() || *mac == MacAddress{}) {
         return v.Fail("must be a unicast MAC address, such as \"02:00:00:00:00:01\".");
       }
       c.interfaces.back().mac = *mac;
     }},

    {{.section = "turn",
      .name = "realm",
      .type = "a string",
      .standard = "(required)",
      .example = "\"example.org\"",
      .required = true,
      .meaning = "The realm of the long-term credentials (RFC 8489, section 9.2)."},
     [](const ConfigValue& v, RelaydConfig& c) { v.Read(c.server.realm); }},
    {{.section = "turn",
      .name = "listen",
      .type = "an array of addresses with ports",
      .standard = "(required)",
      .example = R"(["192.0.2.10:3478", "[2001:db8::10]:3478"])",
      .required = true,
      .meaning = "Addresses on which the server accepts clients over UDP."},
     [](const ConfigValue& v, RelaydConfig& c) { v.ReadAll(c.server.listen); }},
    {{.section = "turn",
      .name = "relay_addresses",
      .type = "an array of addresses",
      .standard = "(required, or virtual_prefix)",
      .example = R"(["192.0.2.10", "2001:db8::10"])",
      .meaning = "Addresses of relayed transport addresses; at most 16."},
     [](const ConfigValue& v, RelaydConfig& c) { v.ReadAll(c.server.relay_addresses); }},
    {{.section = "turn",
      .name = "virtual_prefix",
      .type = "a string",
      .standard = "(none)",
      .example = "\"100.64.0.0/10\"",
      .meaning = "With policy `\"call\"`, instead of relay_addresses: a prefix that exists only "
                 "inside the relay. Each allocation gets an address of its own from it, so the "
                 "number of ports is no limit. These addresses never appear in a packet on the "
                 "wire."},
     [](const ConfigValue& v, RelaydConfig& c) {
       const auto prefix = v.Parsed<IpPrefix>();
       if (prefix) c.server.virtual_prefix.emplace(*prefix);
     }},
    {{.section = "turn",
      .name = "relay_ports",
      .type = "a string",
      .standard = "\"49152-65535\"",
      .example = "\"49152-65535\"",
      .meaning = "The ports of relayed transport addresses, first and last."},
     [](const ConfigValue& v, RelaydConfig& c) { ReadPortRange(v, c.server.relay_ports); }},

    {{.section = "turn",
      .name = "alternates",
      .type = "an array of addresses with ports",
      .standard = "[]",
      .example = R"(["192.0.2.11:3478", "[2001:db8::11]:3478"])",
      .reloadable = true,
      .meaning =
          "Listening addresses of other relays, at most 16. While this relay drains, it sends "
          "clients there (300, Try Alternate). Clients of a family that is not listed get 508 "
          "(Insufficient Capacity)."},
     [](const ConfigValue& v, RelaydConfig& c) { v.ReadAll(c.server.alternates); }},

    {{.section = "turn.auth",
      .name = "users",
      .type = "a table of passwords",
      .standard = "{}",
      .example = R"({ demo = "a-long-secret" })",
      .reloadable = true,
      .secret = true,
      .meaning = "Static users. Passwords must have at least 6 bytes; use 16 or more."},
     [](const ConfigValue& v, RelaydConfig& c) { ReadUsers(v, c.server.auth.users); }},
    {{.section = "turn.auth",
      .name = "shared_secrets",
      .type = "an array of strings",
      .standard = "[]",
      .example = R"(["current-secret", "previous-secret"])",
      .reloadable = true,
      .secret = true,
      .meaning = "Secrets of time-limited credentials (user name `expiry:name`, password its "
                 "HMAC-SHA1 in base64). All of them are accepted, so that they can be rotated. At "
                 "least 6 bytes; use 32 random ones."},
     [](const ConfigValue& v, RelaydConfig& c) { v.ReadAll(c.server.auth.shared_secrets); }},
    {{.section = "turn.auth",
      .name = "file",
      .type = "a file",
      .standard = "(none)",
      .example = "\"/var/lib/sotto/relayd.auth.toml\"",
      .meaning = "File in which the relay keeps users and secrets that operators add while it runs "
                 "(sottoctl users, sottoctl secrets), in addition to those above. It is created "
                 "with the first of them; the user that the relay runs as must be able to write to "
                 "its folder."},
     [](const ConfigValue& v, RelaydConfig& c) {
       ReadFilePath(v, c.credential_file);
       c.server.auth.may_be_empty = true;
     }},
    {{.section = "turn.auth",
      .name = "nonce_lifetime",
      .type = "an integer",
      .standard = "3600",
      .example = "600",
      .reloadable = true,
      .meaning = "Lifetime of a nonce, in seconds."},
     SOTTO_INTEGER(server.auth.nonce_lifetime_s, 30, 7 * 24 * 3600)},
    {{.section = "turn.auth",
      .name = "require_sha256",
      .type = "a boolean",
      .standard = "false",
      .example = "true",
      .meaning = "Refuse MESSAGE-INTEGRITY (SHA-1). Most of today's clients support nothing "
                 "else."},
     [](const ConfigValue& v, RelaydConfig& c) { v.Read(c.server.auth.require_sha256); }},

    {{.section = "turn.peers",
      .name = "policy",
      .type = "a string",
      .standard = "\"public\"",
      .example = "\"call\"",
      .meaning =
          "Peers that a client may reach. `\"public\"`: all that no rule forbids; `\"relay\"`: "
          "only relayed addresses of this fleet; `\"call\"`: only the other leg of the same "
          "call."},
     [](const ConfigValue& v, RelaydConfig& c) {
       v.Read(c.server.peers.kind, {{"public", relay::PeerPolicyKind::kPublic},
                                    {"relay", relay::PeerPolicyKind::kRelay},
                                    {"call", relay::PeerPolicyKind::kCall}});
     }},
    {{.section = "turn.peers",
      .name = "allow",
      .type = "an array of prefixes",
      .standard = "[]",
      .example = R"(["198.51.100.0/24"])",
      .reloadable = true,
      .meaning = "Allows private and documentation ranges; with `\"relay\"`, the relayed addresses "
                 "of the other relays. Loopback, link-local, multicast and similar ranges are "
                 "always forbidden."},
     [](const ConfigValue& v, RelaydConfig& c) { v.ReadAll(c.server.peers.allow); }},
    {{.section = "turn.peers",
      .name = "deny",
      .type = "an array of prefixes",
      .standard = "[]",
      .example = R"(["203.0.113.0/24"])",
      .reloadable = true,
      .meaning = "Forbids peers, even those in `allow`."},
     [](const ConfigValue& v, RelaydConfig& c) { v.ReadAll(c.server.peers.deny); }},

    {{.section = "turn.calls",
      .name = "arm",
      .type = "a string",
      .standard = "\"on-request\"",
      .example = "\"at-once\"",
      .meaning = "With policy `\"call\"`: whether the call control API arms calls, or each call is "
                 "armed as soon as it exists (for tests and demonstrations)."},
     [](const ConfigValue& v, RelaydConfig& c) {
       v.Read(c.server.arm_calls_at_once, {{"on-request", false}, {"at-once", true}});
     }},

    {{.section = "turn.limits",
      .name = "max_allocations_per_user",
      .type = "an integer",
      .standard = "0",
      .example = "10",
      .reloadable = true,
      .meaning = "Maximum number of allocations of a user; further ones are answered 486 "
                 "(Allocation Quota Reached). 0: no limit."},
     SOTTO_INTEGER(server.limits.max_allocations_per_user, 0, kMaxU32)},
    {{.section = "turn.limits",
      .name = "max_permissions_per_allocation",
      .type = "an integer",
      .standard = "64",
      .example = "16",
      .reloadable = true,
      .meaning = "Maximum number of peers for which an allocation has permissions at a time."},
     SOTTO_INTEGER(server.limits.max_permissions_per_allocation, 1, 4096)},
    {{.section = "turn.limits",
      .name = "max_channels_per_allocation",
      .type = "an integer",
      .standard = "64",
      .example = "16",
      .reloadable = true,
      .meaning = "Maximum number of channels of an allocation at a time."},
     SOTTO_INTEGER(server.limits.max_channels_per_allocation, 1, 4096)},
    {{.section = "turn.limits",
      .name = "max_allocations_per_leg",
      .type = "an integer",
      .standard = "16",
      .example = "4",
      .reloadable = true,
      .meaning = "With policy `\"call\"`: maximum number of allocations of one leg of a call."},
     SOTTO_INTEGER(server.limits.max_allocations_per_leg, 1, 1024)},
    {{.section = "turn.limits",
      .name = "allocations_per_prefix",
      .type = "an integer",
      .standard = "0",
      .example = "50",
      .reloadable = true,
      .meaning = "New allocations per second for clients of one source prefix (IPv4 /24, IPv6 "
                 "/56), and twice as many in a burst; further ones are answered 508 (Insufficient "
                 "Capacity). 0: only requests_per_prefix limits them."},
     SOTTO_INTEGER(server.limits.allocations_per_prefix, 0, 1'000'000)},
    {{.section = "turn.limits",
      .name = "packets_per_allocation",
      .type = "an integer",
      .standard = "0",
      .example = "2000",
      .reloadable = true,
      .meaning = "Packets per second that an allocation accepts from its client, and as many again "
                 "from external peers; twice as many in the first second. Further packets are "
                 "dropped. 0: no limit."},
     SOTTO_INTEGER(server.limits.rates.packets_per_leg, 0, 1'000'000)},
    {{.section = "turn.limits",
      .name = "bytes_per_user",
      .type = "an integer",
      .standard = "0",
      .example = "2_500_000",
      .reloadable = true,
      .meaning =
          "Bytes per second, in IP packets, that all allocations of a user accept from its "
          "clients, and as many again from external peers; twice as many in the first second. With "
          "policy `\"call\"`, each leg of a call is a user. Further packets are dropped. 0: no "
          "limit; otherwise at least 1000."},
     SOTTO_INTEGER(server.limits.rates.bytes_per_user, 0, kMaxUserRate)},
    {{.section = "turn.limits",
      .name = "requests_per_prefix",
      .type = "an integer",
      .standard = "2000",
      .example = "500",
      .reloadable = true,
      .meaning = "STUN requests per second of one source prefix (IPv4 /24, IPv6 /56), and twice as "
                 "many in a burst. Further requests are dropped."},
     SOTTO_INTEGER(server.limits.requests_per_prefix, 1, 1'000'000)},
    {{.section = "turn.limits",
      .name = "unauthenticated_excess_rate",
      .type = "an integer",
      .standard = "65536",
      .example = "16384",
      .reloadable = true,
      .meaning = "Bytes per second by which answers to unauthenticated requests may exceed the "
                 "requests, for each source prefix (IPv4 /24, IPv6 /56). Further answers are not "
                 "sent."},
     SOTTO_INTEGER(server.limits.unauthenticated_excess_rate, 1, kMaxU32)},
    {{.section = "turn.limits",
      .name = "unauthenticated_excess_burst",
      .type = "an integer",
      .standard = "262144",
      .example = "65536",
      .reloadable = true,
      .meaning = "Bytes by which they may exceed them at once after a pause."},
     SOTTO_INTEGER(server.limits.unauthenticated_excess_burst, 1, kMaxU32)},

    {{.section = "turn.lifetimes",
      .name = "default",
      .type = "an integer",
      .standard = "600",
      .example = "600",
      .reloadable = true,
      .meaning = "Lifetime of an allocation, in seconds, if the client does not ask for one; also "
                 "the shortest lifetime that is granted."},
     SOTTO_INTEGER(server.lifetimes.default_s, 1, kYear)},
    {{.section = "turn.lifetimes",
      .name = "max",
      .type = "an integer",
      .standard = "3600",
      .example = "7200",
      .reloadable = true,
      .meaning = "The longest lifetime that is granted, in seconds."},
     SOTTO_INTEGER(server.lifetimes.max_s, 1, kYear)},

    {{.section = "process",
      .name = "user",
      .type = "a string",
      .standard = "(sotto, if that user exists)",
      .example = "\"sotto\"",
      .meaning = "The user to run as after the start, when started as root."},
     [](const ConfigValue& v, RelaydConfig& c) { ReadUserName(v, c.user); }},
    {{.section = "process",
      .name = "drain_s",
      .type = "an integer",
      .standard = "0",
      .example = "600",
      .reloadable = true,
      .meaning =
          "Seconds to drain after SIGTERM: the relay accepts no new allocations, existing ones "
          "continue, and it stops when none is left or the time is over. A second SIGTERM stops it "
          "at once. 0: no drain."},
     SOTTO_INTEGER(drain_s, 0, 7 * 24 * 3600)},
    {{.section = "admin",
      .name = "socket",
      .type = "a string",
      .standard = "(none)",
      .example = "\"/run/sotto/relayd.sock\"",
      .meaning =
          "Unix socket of the admin services, an absolute path. The user that the relay runs as "
          "must be able to write to its folder. Everyone who can open it is a full operator: "
          "calls, users, secrets, credentials, captured packets."},
     [](const ConfigValue& v, RelaydConfig& c) { ReadSocketPath(v, c.admin.socket); }},
    {{.section = "admin",
      .name = "group",
      .type = "a string",
      .standard = "(group of the user that the relay runs as)",
      .example = "\"sotto-admin\"",
      .meaning =
          "The group whose members may open `socket`, and so are full operators. No other user "
          "may."},
     [](const ConfigValue& v, RelaydConfig& c) { ReadUserName(v, c.admin.group); }},
    {{.section = "admin",
      .name = "listen",
      .type = "an address with a port",
      .standard = "(none)",
      .example = "\"192.0.2.20:9640\"",
      .meaning =
          "Address of the admin services over TCP, on a kernel socket. It always uses mutual TLS, "
          "so it needs the next three keys. Every client that is accepted is a full operator."},
     [](const ConfigValue& v, RelaydConfig& c) { ReadServicePort(v, c.admin.listen); }},
    {{.section = "admin",
      .name = "tls_cert",
      .type = "a string",
      .standard = "(none)",
      .example = "\"/etc/sotto/relayd.crt\"",
      .reloadable = true,
      .meaning = "For `listen`: the relay's certificate with its chain, a PEM file."},
     [](const ConfigValue& v, RelaydConfig& c) { ReadFilePath(v, c.admin.tls.cert); }},
    {{.section = "admin",
      .name = "tls_key",
      .type = "a string",
      .standard = "(none)",
      .example = "\"/etc/sotto/relayd.key\"",
      .reloadable = true,
      .meaning = "For `listen`: the certificate's private key, a PEM file."},
     [](const ConfigValue& v, RelaydConfig& c) { ReadFilePath(v, c.admin.tls.key); }},
    {{.section = "admin",
      .name = "tls_ca",
      .type = "a string",
      .standard = "(none)",
      .example = "\"/etc/sotto/signald-ca.crt\"",
      .reloadable = true,
      .meaning = "For `listen`: a PEM file with authorities. Every client with a certificate of "
                 "theirs is accepted, so use an authority that signs nothing else."},
     [](const ConfigValue& v, RelaydConfig& c) { ReadFilePath(v, c.admin.tls.ca); }},
    {{.section = "metrics",
      .name = "listen",
      .type = "an address with a port",
      .standard = "(none)",
      .example = "\"127.0.0.1:9641\"",
      .meaning = "Address on which Prometheus fetches metrics, over HTTP, on a kernel socket."},
     [](const ConfigValue& v, RelaydConfig& c) { ReadServicePort(v, c.metrics_listen); }},
    {{.section = "log",
      .name = "level",
      .type = "a string",
      .standard = "\"info\"",
      .example = "\"warning\"",
      .reloadable = true,
      .meaning = "`\"debug\"`, `\"info\"`, `\"warning\"` or `\"error\"`."},
     [](const ConfigValue& v, RelaydConfig& c) { ReadLogLevel(v, c.log.level); }},
    {{.section = "log",
      .name = "format",
      .type = "a string",
      .standard = "\"text\"",
      .example = "\"json\"",
      .reloadable = true,
      .meaning = "`\"text\"`, or `\"json\"`: one object per line."},
     [](const ConfigValue& v, RelaydConfig& c) { ReadLogFormat(v, c.log.format); }},
};
#undef SOTTO_INTEGER

}  // namespace

void ReadUsers(const ConfigValue& value, std::map<std::string, std::string>& users) {
  const toml::table* table = value.node().as_table();
  if (table == nullptr) return value.FailType();
  for (const auto& [name, password] : *table) {
    const ConfigValue user(password, value.key(), fmt::format("{}#{}", value.path(), name.str()),
                           value.errors());
    if (!password.is_string()) {
      user.Fail(fmt::format("the password of {} must be a string.", Quoted(name.str())));
    } else {
      users.emplace(name.str(), password.as_string()->get());
    }
  }
}

std::span<const ConfigKeyReader<RelaydConfig>> ConfigKeyReaders() { return kKeys; }

}  // namespace sotto::dataplane
