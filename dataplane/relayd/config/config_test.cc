// SPDX-License-Identifier: Apache-2.0
#include "dataplane/relayd/config/config.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdio>
#include <fstream>

namespace sotto::dataplane {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;
using testing::StartsWith;

// The configuration of the design, as it stands there.
constexpr std::string_view kExample = R"([dataplane]
eal_args = ["--no-pci", "--in-memory", "--vdev=net_af_packet0,iface=eth1"]
workers = 1                # worker lcores
poll = "adaptive"          # or "busy"
max_allocations = 100000

[[interface]]
port = "net_af_packet0"    # ethdev name or PCI address
addresses = ["192.0.2.10/24", "2001:db8::10/64"]
gateways = ["192.0.2.1", "2001:db8::1"]

[turn]
realm = "example.org"
listen = ["192.0.2.10:3478", "[2001:db8::10]:3478"]
relay_addresses = ["192.0.2.10", "2001:db8::10"]
relay_ports = "49152-65535"

[turn.auth]
users = { demo = "a-long-secret" }
shared_secrets = ["current1", "previous"]

[turn.peers]
policy = "public"
allow = ["198.51.100.0/24"]
deny = []

[admin]
socket = "/run/sotto/relayd.sock"
[metrics]
listen = "127.0.0.1:9641"
[log]
level = "info"
format = "text"            # or "json"
)";

// The example with the first occurrence of `from` replaced.
std::string With(std::string_view from, std::string_view to) {
  std::string text(kExample);
  const size_t at = text.find(from);
  EXPECT_NE(at, std::string::npos) << from;
  return at == std::string::npos ? text : text.replace(at, from.size(), to);
}

std::string ErrorOf(std::string_view text) {
  const auto config = ParseConfig(text, "c.toml");
  if (config.ok()) return "(none)";
  return {config.status().message().data(), config.status().message().size()};
}

TEST(Config, ReadsTheExampleOfTheDesign) {
  const auto parsed = ParseConfig(kExample, "c.toml");
  ASSERT_TRUE(parsed.ok()) << parsed.status();
  const RelaydConfig& c = *parsed;
  EXPECT_THAT(c.dataplane.eal_args,
              ElementsAre("--no-pci", "--in-memory", "--vdev=net_af_packet0,iface=eth1"));
  EXPECT_EQ(c.dataplane.workers, 1);
  EXPECT_EQ(c.dataplane.poll, PollMode::kAdaptive);
  EXPECT_EQ(c.dataplane.max_allocations, 100'000u);
  EXPECT_EQ(c.server.limits.max_allocations, 100'000u);
  ASSERT_EQ(c.interfaces.size(), 1u);
  EXPECT_EQ(c.interfaces[0].port, "net_af_packet0");
  ASSERT_EQ(c.interfaces[0].addresses.size(), 2u);
  EXPECT_EQ(c.interfaces[0].addresses[0].ip.ToString(), "192.0.2.10");
  EXPECT_EQ(c.interfaces[0].addresses[0].subnet.ToString(), "192.0.2.0/24");
  EXPECT_EQ(c.interfaces[0].addresses[1].subnet.ToString(), "2001:db8::/64");
  ASSERT_EQ(c.interfaces[0].gateways.size(), 2u);
  EXPECT_EQ(c.interfaces[0].gateways[1].ToString(), "2001:db8::1");
  EXPECT_EQ(c.server.realm, "example.org");
  ASSERT_EQ(c.server.listen.size(), 2u);
  EXPECT_EQ(c.server.listen[1].ToString(), "[2001:db8::10]:3478");
  EXPECT_EQ(c.server.relay_addresses.size(), 2u);
  EXPECT_EQ(c.server.relay_ports, (std::pair<uint16_t, uint16_t>(49152, 65535)));
  EXPECT_EQ(c.server.auth.users.at("demo"), "a-long-secret");
  EXPECT_THAT(c.server.auth.shared_secrets, ElementsAre("current1", "previous"));
  EXPECT_EQ(c.server.peers.kind, relay::PeerPolicyKind::kPublic);
  ASSERT_EQ(c.server.peers.allow.size(), 1u);
  EXPECT_EQ(c.server.peers.allow[0].ToString(), "198.51.100.0/24");
  EXPECT_EQ(c.admin.socket, "/run/sotto/relayd.sock");
  EXPECT_EQ(c.metrics_listen->ToString(), "127.0.0.1:9641");
  EXPECT_EQ(c.log, LogOptions());
}

struct Wrong {
  std::string from, to;
  std::vector<std::string> says;  // the first is how the message begins
};

void PrintTo(const Wrong& wrong, std::ostream* out) { *out << wrong.to; }

class ConfigError : public testing::TestWithParam<Wrong> {};

TEST_P(ConfigError, NamesPlaceAndRemedy) {
  const std::string error = ErrorOf(With(GetParam().from, GetParam().to));
  EXPECT_THAT(error, StartsWith(GetParam().says[0]));
  for (const std::string& part : GetParam().says) EXPECT_THAT(error, HasSubstr(part));
  EXPECT_THAT(error, testing::AnyOf(testing::EndsWith("."), testing::EndsWith("?")));
  EXPECT_THAT(error, Not(HasSubstr("a-long-secret")));
}

INSTANTIATE_TEST_SUITE_P(
    Keys, ConfigError,
    testing::Values(
        Wrong{"realm =", "relm =", {"c.toml:13: [turn] has no key \"relm\"; did you mean realm?"}},
        Wrong{"workers = 1",
              "policy = 1",
              {"c.toml:3: [dataplane] has no key \"policy\"; policy belongs in [turn.peers]."}},
        Wrong{"workers = 1",
              "zzz = 1",
              {"c.toml:3: [dataplane] has no key \"zzz\"; valid here: ", "max_allocations"}},
        Wrong{"[metrics]",
              "[metrix]",
              {"c.toml:29: unknown section or key \"metrix\"; did you mean metrics?"}},
        Wrong{"[turn.peers]",
              "[turn.pears]",
              {"c.toml:22: [turn] has no key \"pears\"; did you mean peers?"}},
        Wrong{"workers = 1", "\"w\\u001b[31m\" = 1", {"c.toml:3: ", "\"w\\u001b[31m\""}},
        Wrong{"workers = 1",
              "workers = \"1\"",
              {"c.toml:3: [dataplane] workers: must be an integer, such as 2; found a string"}},
        Wrong{"workers = 1",
              "workers = 0",
              {"c.toml:3: [dataplane] workers: 0 is out of range; must be from 1 to 64"}},
        Wrong{"workers = 1", "workers = 1.0", {"c.toml:3: [dataplane] workers: ", "a fraction"}},
        Wrong{"poll = \"adaptive\"",
              "poll = \"lazy\"",
              {"c.toml:4: [dataplane] poll: \"lazy\" is not known; must be \"adaptive\" or "
               "\"busy\""}},
        Wrong{"max_allocations = 100000",
              "max_allocations = -1",
              {"c.toml:5: [dataplane] max_allocations: -1 is out of range"}},
        Wrong{"max_allocations = 100000",
              "memory_mb = 8",
              {"c.toml:5: [dataplane] memory_mb: 8 is too small"}},
        Wrong{"\"--no-pci\",",
              "\"\",",
              {"c.toml:2: [dataplane] eal_args: an argument must not be empty"}},
        Wrong{"[\"--no-pci\"",
              "[17, \"--no-pci\"",
              {"c.toml:2: [dataplane] eal_args: must be an array of strings, such as ",
               "found an integer"}},
        Wrong{"192.0.2.10/24",
              "192.0.2.10/33",
              {"c.toml:9: [interface] addresses: \"192.0.2.10/33\" is not an address with"}},
        Wrong{"192.0.2.10/24",
              "192.0.2.10",
              {"c.toml:9: [interface] addresses: \"192.0.2.10\" is not an address with"}},
        Wrong{"192.0.2.10/24", "192.0.2.010/24", {"c.toml:9: [interface] addresses: "}},
        Wrong{"\"192.0.2.1\"",
              "\"192.0.2\"",
              {"c.toml:10: [interface] gateways: \"192.0.2\" is not valid"}},
        Wrong{"gateways =",
              "vlan = 4095\ngateways =",
              {"c.toml:10: [interface] vlan: 4095 is out of range; must be from 0 to 4094"}},
        Wrong{"gateways =",
              "mtu = 100\ngateways =",
              {"c.toml:10: [interface] mtu: 100 is too small"}},
        Wrong{"gateways =",
              "mac = \"01:00:5e:00:00:01\"\ngateways =",
              {"c.toml:10: [interface] mac: must be a unicast MAC address"}},
        Wrong{"gateways =",
              "mac = \"nonsense\"\ngateways =",
              {"c.toml:10: [interface] mac: \"nonsense\" is not valid; must be a MAC address"}},
        Wrong{"port = \"net_af_packet0\"", "port = \"\"", {"c.toml:8: [interface] port: "}},
        Wrong{"port = \"net_af_packet0\"",
              "vlan = 3",
              {"c.toml:7: this [[interface]] has no port; must be a string"}},
        Wrong{"[[interface]]",
              "[interface]",
              {"c.toml:7: an interface must be an array of tables: write [[interface]]"}},
        Wrong{
            "\"192.0.2.10:3478\"",
            "\"192.0.2.10\"",
            {"c.toml:14: [turn] listen: \"192.0.2.10\" is not valid; must be an array of addresses "
             "with ports"}},
        Wrong{"49152-65535",
              "65535-49152",
              {"c.toml:16: [turn] relay_ports: \"65535-49152\" is not a port range"}},
        Wrong{"49152-65535", "0-65535", {"c.toml:16: [turn] relay_ports: "}},
        Wrong{"49152-65535", "49152-65536", {"c.toml:16: [turn] relay_ports: "}},
        Wrong{"49152-65535", "49152-65535x", {"c.toml:16: [turn] relay_ports: "}},
        Wrong{"49152-65535", "49152", {"c.toml:16: [turn] relay_ports: "}},
        Wrong{"{ demo = \"a-long-secret\" }",
              "{ demo = 17 }",
              {"c.toml:19: [turn.auth] users: the password of \"demo\" must be a string"}},
        Wrong{"\"public\"",
              "\"open\"",
              {"c.toml:23: [turn.peers] policy: \"open\" is not known; must be \"public\" or "
               "\"relay\" or \"call\""}},
        Wrong{"198.51.100.0/24",
              "198.51.100.1/24",
              {"c.toml:24: [turn.peers] allow: \"198.51.100.1/24\" is not valid"}},
        Wrong{"/run/sotto", "run/sotto", {"c.toml:28: [admin] socket: "}},
        Wrong{"[admin]",
              "[admin]\nlisten = \"127.0.0.1:0\"",
              {"c.toml:28: [admin] listen: port 0 is not possible"}},
        Wrong{"[admin]",
              "[admin]\ntls_cert = \"cert.pem\"",
              {"c.toml:28: [admin] tls_cert: \"cert.pem\" is not an absolute path; must "
               "begin with /"}},
        Wrong{"127.0.0.1:9641", "127.0.0.1:0", {"c.toml:30: [metrics] listen: port 0"}},
        Wrong{"level = \"info\"",
              "level = \"loud\"",
              {"c.toml:32: [log] level: \"loud\" is not known"}},
        Wrong{"workers = 1", "workers = ", {"c.toml:3: is not valid TOML: "}},
        Wrong{"[turn]", "[$turn]", {"c.toml:12: is not valid TOML: "}},
        Wrong{"workers = 1", "workers = \u00e9", {"c.toml:3: is not valid TOML: "}},
        Wrong{"workers = 1", "workers = 1\nworkers = 1", {"c.toml:4: is not valid TOML: "}}));

INSTANTIATE_TEST_SUITE_P(
    Together, ConfigError,
    testing::Values(
        Wrong{"192.0.2.10:3478",
              "192.0.2.11:3478",
              {"c.toml:14: [turn] listen: 192.0.2.11 is not on an interface; add it"}},
        Wrong{"192.0.2.10:3478",
              "192.0.2.10:0",
              {"c.toml:14: [turn] listen: 192.0.2.10:0 has port 0"}},
        Wrong{"192.0.2.10:3478",
              "192.0.2.10:50000",
              {"c.toml:14: [turn] listen: 192.0.2.10:50000 is a relayed address too"}},
        Wrong{"[2001:db8::10]:3478",
              "192.0.2.10:3478",
              {"c.toml:14: [turn] listen: 192.0.2.10:3478 occurs twice"}},
        Wrong{"[\"192.0.2.10\", \"2001:db8::10\"]",
              "[\"192.0.2.11\"]",
              {"c.toml:15: [turn] relay_addresses: 192.0.2.11 is not on an interface"}},
        Wrong{"[\"192.0.2.10\", \"2001:db8::10\"]",
              "[\"192.0.2.10\", \"192.0.2.10\"]",
              {"c.toml:15: [turn] relay_addresses: 192.0.2.10 occurs twice"}},
        Wrong{"[\"192.0.2.10\", \"2001:db8::10\"]",
              "[]",
              {"c.toml:15: [turn] relay_addresses: must have at least one address"}},
        Wrong{"listen = [\"192.0.2.10:3478\", \"[2001:db8::10]:3478\"]",
              "listen = []",
              {"c.toml:14: [turn] listen: must have at least one address"}},
        Wrong{"\"2001:db8::10/64\"",
              "\"192.0.2.10/24\"",
              {"c.toml:9: [interface] addresses: 192.0.2.10 occurs twice"}},
        Wrong{"192.0.2.10/24",
              "192.0.2.0/24",
              {"c.toml:9: [interface] addresses: 192.0.2.0 in 192.0.2.0/24 can't be the address "
               "of a host"}},
        Wrong{"192.0.2.10/24", "192.0.2.255/24", {"c.toml:9: [interface] addresses: 192.0.2.255"}},
        Wrong{"192.0.2.10/24", "127.0.0.1/8", {"c.toml:9: [interface] addresses: 127.0.0.1"}},
        Wrong{"192.0.2.1\"",
              "203.0.113.1\"",
              {"c.toml:10: [interface] gateways: 203.0.113.1 is not in a subnet of this "
               "interface"}},
        Wrong{"192.0.2.1\"",
              "192.0.2.10\"",
              {"c.toml:10: [interface] gateways: 192.0.2.10 is the relay's own"}},
        Wrong{"gateways =",
              "mtu = 1000\ngateways =",
              {"c.toml:10: [interface] mtu: 1000 is too small for IPv6, which needs at "
               "least 1280"}},
        Wrong{"[turn]",
              "[[interface]]\nport = \"net_af_packet0\"\naddresses = [\"10.0.0.1/8\"]\n[turn]",
              {"c.toml:12: [interface] port: \"net_af_packet0\" with VLAN 0 occurs twice"}},
        Wrong{
            "[turn]",
            "[[interface]]\nport = \"net_af_packet0\"\nvlan = 4\nmac = \"02:00:00:00:00:09\"\n"
            "addresses = [\"10.0.0.1/8\"]\n[turn]",
            {"c.toml:12: [interface] mac: all interfaces of port \"net_af_packet0\" must have the "
             "same value"}},
        Wrong{"a-long-secret",
              "short",
              {"c.toml:19: [turn.auth] users: the password of \"demo\" is too short; must "
               "have at least 6"}},
        Wrong{"previous",
              "prev",
              {"c.toml:20: [turn.auth] shared_secrets: secret 2 is too short; must have at "
               "least 6"}},
        Wrong{"previous",
              "current1",
              {"c.toml:20: [turn.auth] shared_secrets: secret 2 occurs twice"}},
        Wrong{"users = { demo = \"a-long-secret\" }\nshared_secrets = [\"current1\", \"previous\"]",
              "",
              {"c.toml: no client could authenticate"}},
        Wrong{"[turn.peers]",
              "[turn.calls]\narm = \"at-once\"\n[turn.peers]",
              {"c.toml:23: [turn.calls] arm: only applies to [turn.peers] policy"}},
        Wrong{"[turn.peers]",
              "[turn.lifetimes]\ndefault = 700\nmax = 600\n[turn.peers]",
              {"c.toml:23: [turn.lifetimes] default: 700 is above max, which is 600"}},
        Wrong{"[admin]",
              "[admin]\nlisten = \"127.0.0.1:9640\"\ntls_cert = \"/c\"\ntls_key = \"/k\"",
              {"c.toml:28: [admin] listen: TCP needs mutual TLS, and tls_ca is missing; set it"}},
        Wrong{"[admin]",
              "[admin]\ntls_key = \"/k\"",
              {"c.toml:28: [admin] tls_key: only applies to listen, which is not set"}},
        Wrong{"[admin]",
              "[admin]\nlisten = \"192.0.2.10:9640\"\ntls_cert = \"/c\"\ntls_key = \"/k\"\n"
              "tls_ca = \"/a\"",
              {"c.toml:28: [admin] listen: 192.0.2.10 is an address of the relay"}},
        Wrong{"socket = \"/run/sotto/relayd.sock\"",
              "group = \"sotto-admin\"",
              {"c.toml:28: [admin] group: only applies to socket, which is not set"}},
        // From relay::ServerOptions::Validate().
        Wrong{"\"example.org\"", "\"\"", {"c.toml: [turn] realm"}},
        Wrong{"198.51.100.0/24", "127.0.0.0/8", {"c.toml: [turn.peers] allow"}}));

TEST(Config, TellsAllErrorsAtOnce) {
  const std::string error =
      ErrorOf("[dataplane]\nworkers = 0\npool = 1\n[[interface]]\nport = 3\n[log]\nlevel = 1\n");
  EXPECT_THAT(error,
              AllOf(HasSubstr("c.toml:2: "), HasSubstr("c.toml:3: "), HasSubstr("c.toml:5: "),
                    HasSubstr("c.toml:4: this [[interface]] has no addresses"),
                    HasSubstr("c.toml:7: "), HasSubstr("c.toml: [turn] realm is missing"),
                    HasSubstr("c.toml: [turn] listen is missing")));
}

TEST(Config, BoundsWhatItSaysAboutAHostileFile) {
  std::string text;
  for (int i = 0; i < 10'000; ++i) text += fmt::format("x{} = 1\n", i);
  EXPECT_LT(ErrorOf(text).size(), 20'000u);
  EXPECT_THAT(ErrorOf(std::string(kMaxConfigSize + 1, ' ')), HasSubstr("is it a configuration"));
  EXPECT_THAT(ErrorOf("x = " + std::string(100'000, '[')),
              StartsWith("c.toml:1: is not valid TOML"));
  EXPECT_THAT(ErrorOf(""), HasSubstr("there is no [[interface]]"));
}

// The reference tells the truth about types, examples and defaults.
TEST(ConfigKeys, ExamplesAndDefaultsAreReadAsWritten) {
  const std::string_view interface_end = "gateways = [\"192.0.2.1\", \"2001:db8::1\"]\n";
  for (const ConfigKey& key : RelaydConfigSchema().keys) {
    // The design's example without the key itself, but for keys that it can't do without.
    const auto with = [&](std::string_view value) {
      std::string text(kExample);
      const std::string assignment = fmt::format("{} = {}\n", key.name, value);
      const std::string header = fmt::format("[{}]\n", key.section);
      if (key.section == "interface") {
        const size_t end = text.find(interface_end) + interface_end.size();
        size_t at = text.rfind(fmt::format("\n{} = ", key.name), end);
        if (at != std::string::npos && at > text.find("[[interface]]")) {
          text.erase(at + 1, text.find('\n', at + 1) - at);
        }
        return text.insert(text.find("[[interface]]\n") + 14, assignment);
      }
      const size_t section = text.find(header);
      if (section == std::string::npos) return text + header + assignment;
      const size_t next = std::min(text.find("\n[", section + 1), text.size());
      const size_t at = text.find(fmt::format("\n{} = ", key.name), section);
      if (at < next) text.erase(at + 1, text.find('\n', at + 1) - at);
      return text.insert(section + header.size(), assignment);
    };
    std::string example = with(key.example);
    const bool needs_calls = key.section == "turn.calls" || key.name == "virtual_prefix";
    if (needs_calls || key.example == "\"call\"") {
      // These belong together, with names of legs for users.
      example.replace(example.find("demo ="), 4, "\"demo/a\"");
      if (needs_calls) example.replace(example.find("\"public\""), 8, "\"call\"");
    }
    if (key.name == "virtual_prefix") {  // instead of:
      const size_t at = example.find("relay_addresses");
      example.erase(at, example.find('\n', at) + 1 - at);
    }
    if (key.section == "admin" && (key.name == "listen" || key.name.starts_with("tls_"))) {
      // These four belong together.
      for (const ConfigKey& other : RelaydConfigSchema().keys) {
        if (other.section != "admin" || other.name == key.name || other.name == "group" ||
            other.name == "socket") {
          continue;
        }
        example.insert(example.find("[admin]\n") + 8,
                       fmt::format("{} = {}\n", other.name, other.example));
      }
    }
    const auto parsed = ParseConfig(example, "c.toml");
    EXPECT_TRUE(parsed.ok()) << key.section << "." << key.name << ": " << parsed.status() << "\n"
                             << example;

    if (key.standard.starts_with('(')) continue;
    std::string text = with(key.standard);
    std::string without = text;
    const std::string line = fmt::format("{} = {}\n", key.name, key.standard);
    without.erase(without.find(line), line.size());
    auto a = ParseConfig(text, "c.toml");
    auto b = ParseConfig(without, "c.toml");
    ASSERT_TRUE(a.ok() && b.ok()) << key.section << "." << key.name << ": " << a.status();
    EXPECT_TRUE(a->dataplane == b->dataplane && a->interfaces == b->interfaces &&
                a->server == b->server && a->admin == b->admin && a->log == b->log &&
                a->drain_s == b->drain_s && a->credential_file == b->credential_file)
        << key.section << "." << key.name << " isn't " << key.standard << " by default";
  }
}

TEST(ConfigKeys, AreAllInTheReference) {
  const std::string reference = ConfigReference();
  for (const ConfigKey& key : RelaydConfigSchema().keys) {
    EXPECT_THAT(reference,
                HasSubstr(fmt::format("| `{}` | {}: `{}` |", key.name, key.type, key.example)));
    EXPECT_THAT(std::string(key.meaning), testing::EndsWith("."));
  }
  EXPECT_THAT(reference, HasSubstr("### `[[interface]]`"));
  EXPECT_THAT(reference, HasSubstr("| `level` | a string: `\"warning\"` | `\"info\"` | on reload"));
}

TEST(Config, KnowsWhatOnlyARestartBringsIntoForce) {
  const auto running = ParseConfig(kExample, "c.toml");
  const auto changed = [&](std::string_view from, std::string_view to) {
    const auto wanted = ParseConfig(With(from, to), "c.toml");
    EXPECT_TRUE(wanted.ok()) << wanted.status();
    return CompareConfigs(RelaydConfigSchema(), running->settings, wanted->settings).init_only;
  };
  EXPECT_THAT(changed("# or \"busy\"", "# comments don't count"), IsEmpty());
  EXPECT_THAT(changed("level = \"info\"", "level = \"debug\""), IsEmpty());
  EXPECT_THAT(changed("workers = 1", "workers = 2"), ElementsAre("[dataplane] workers"));
  EXPECT_THAT(changed("workers = 1 ", ""), ElementsAre("[dataplane] workers"));
  EXPECT_THAT(changed("a-long-secret", "another-secret"), IsEmpty());
  EXPECT_THAT(changed("gateways = [\"192.0.2.1\"", "gateways = [\"192.0.2.2\""),
              ElementsAre("[interface] gateways"));
}

class ConfigFile : public testing::Test {
 protected:
  ConfigFile() : path_(testing::TempDir() + fmt::format("sotto_config_{}.toml", getpid())) {
    std::ofstream(path_) << kExample;
  }
  ~ConfigFile() override { std::remove(path_.c_str()); }
  const std::string path_;
};

TEST_F(ConfigFile, WarnsIfOthersCanReadIt) {
  chmod(path_.c_str(), 0600);
  ASSERT_TRUE(LoadConfig(path_).ok());
  EXPECT_THAT(LoadConfig(path_)->warnings, IsEmpty());
  chmod(path_.c_str(), 0644);
  EXPECT_THAT(LoadConfig(path_)->warnings, ElementsAre(HasSubstr("chmod o-r " + path_)));
}

TEST_F(ConfigFile, SaysWhyItCantBeRead) {
  EXPECT_EQ(LoadConfig(path_ + ".none").status().code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(std::string(LoadConfig("/").status().message()), HasSubstr("is not a regular file"));
  const std::string fifo = path_ + ".fifo";
  ASSERT_EQ(mkfifo(fifo.c_str(), 0600), 0);
  EXPECT_THAT(std::string(LoadConfig(fifo).status().message()), HasSubstr("is not a regular file"));
  std::remove(fifo.c_str());
}

}  // namespace
}  // namespace sotto::dataplane
