// SPDX-License-Identifier: Apache-2.0
// What no key of the configuration can tell by itself.

#include <set>

#include "dataplane/relayd/config/config_reader.h"

namespace sotto::dataplane {
namespace {

bool IsUnusable(const IpAddress& ip) {
  static const IpPrefix kUnusable[] = {
      IpPrefix(IpAddress::V4(0, 0, 0, 0), 8),   IpPrefix(IpAddress::V4(127, 0, 0, 0), 8),
      IpPrefix(IpAddress::V4(224, 0, 0, 0), 3), *IpPrefix::Parse("::/127"),
      *IpPrefix::Parse("::ffff:0:0/96"),        *IpPrefix::Parse("ff00::/8"),
  };
  return std::any_of(std::begin(kUnusable), std::end(kUnusable),
                     [&](const IpPrefix& prefix) { return prefix.Contains(ip); });
}

// Whether an IPv4 address names its whole subnet, or all stations there. Subnets of 31 bits have
// neither (RFC 3021).
bool IsSubnetOrBroadcast(const InterfaceConfig::Address& address) {
  if (!address.ip.is_v4() || address.subnet.length() > 30) return false;
  const auto host_mask = static_cast<uint32_t>((uint64_t{1} << (32 - address.subnet.length())) - 1);
  const uint32_t host = static_cast<uint32_t>(address.ip.ToInteger()) & host_mask;
  return host == 0 || host == host_mask;
}

class Checker {
 public:
  Checker(const RelaydConfig& config, ConfigErrors& errors) : config_(config), errors_(errors) {}

  void Check() {
    for (size_t i = 0; i < config_.interfaces.size(); ++i) CheckInterface(i);
    CheckPorts();
    CheckListen();
    CheckRelayAddresses();
    CheckAuth();
    CheckAdmin();
    if (config_.server.lifetimes.default_s > config_.server.lifetimes.max_s) {
      Fail("turn.lifetimes.default", "[turn.lifetimes] default: {} is above max, which is {}.",
           config_.server.lifetimes.default_s, config_.server.lifetimes.max_s);
    }
    if (config_.server.arm_calls_at_once &&
        config_.server.peers.kind != relay::PeerPolicyKind::kCall) {
      Fail("turn.calls.arm",
           "[turn.calls] arm: there are no calls to arm unless [turn.peers] policy is \"call\".");
    }
    if (!errors_.empty()) return;
    if (const absl::Status valid = config_.server.Validate(); !valid.ok()) {
      errors_.Add(
          0, fmt::format("{}.", std::string_view(valid.message().data(), valid.message().size())));
    }
  }

 private:
  template <typename... Args>
  void Fail(const std::string& path, fmt::format_string<Args...> format, Args&&... args) {
    errors_.Add(errors_.LineOf(path), fmt::format(format, std::forward<Args>(args)...));
  }

  void CheckInterface(size_t index) {
    const InterfaceConfig& interface = config_.interfaces[index];
    const std::string path = fmt::format("interface#{}", index);
    if (interface.addresses.empty()) {
      Fail(path + ".addresses", "[interface] addresses: {} needs one address at least.",
           Quoted(interface.port));
    }
    for (size_t i = 0; i < interface.addresses.size(); ++i) {
      const InterfaceConfig::Address& address = interface.addresses[i];
      const std::string element = fmt::format("{}.addresses#{}", path, i);
      if (IsUnusable(address.ip) || IsSubnetOrBroadcast(address)) {
        Fail(element, "[interface] addresses: {} in {} can't be a station's address.",
             address.ip.ToString(), address.subnet.ToString());
      }
      if (!addresses_.insert(address.ip).second) {
        Fail(element,
             "[interface] addresses: {} stands twice; an address belongs to one interface.",
             address.ip.ToString());
      }
      if (address.ip.is_v6() && interface.mtu != 0 && interface.mtu < 1280) {
        Fail(path + ".mtu", "[interface] mtu: {} is too small for IPv6, which needs 1280.",
             interface.mtu);
      }
    }
    for (size_t i = 0; i < interface.gateways.size(); ++i) {
      const IpAddress& gateway = interface.gateways[i];
      const std::string element = fmt::format("{}.gateways#{}", path, i);
      bool on_link = false;
      for (const InterfaceConfig::Address& address : interface.addresses) {
        if (address.ip == gateway) {
          Fail(element, "[interface] gateways: {} is the relay's own address.", gateway.ToString());
        }
        on_link |= address.subnet.Contains(gateway);
      }
      if (!on_link) {
        Fail(element,
             "[interface] gateways: {} is in no subnet of this interface; add an address of its "
             "subnet to addresses.",
             gateway.ToString());
      }
    }
    if (!vlans_.insert({interface.port, interface.vlan}).second) {
      Fail(path, "[interface] port: {} with VLAN {} stands twice; put all its addresses in one.",
           Quoted(interface.port), interface.vlan);
    }
  }

  // A port has one MAC address, however many interfaces share it.
  void CheckPorts() {
    std::map<std::string, std::optional<MacAddress>> macs;
    for (size_t i = 0; i < config_.interfaces.size(); ++i) {
      const InterfaceConfig& interface = config_.interfaces[i];
      const auto [it, added] = macs.emplace(interface.port, interface.mac);
      if (!added && it->second != interface.mac) {
        Fail(fmt::format("interface#{}", i),
             "[interface] mac: the interfaces of port {} must agree on it.",
             Quoted(interface.port));
      }
    }
  }

  void CheckListen() {
    std::set<TransportAddress> seen;
    if (config_.server.listen.empty()) {
      Fail("turn.listen", "[turn] listen: must have one address at least.");
    }
    for (size_t i = 0; i < config_.server.listen.size(); ++i) {
      const TransportAddress& listen = config_.server.listen[i];
      const std::string element = fmt::format("turn.listen#{}", i);
      if (listen.port == 0) {
        Fail(element, "[turn] listen: {} has port 0; TURN's own is 3478.", listen.ToString());
      }
      if (!addresses_.contains(listen.ip)) {
        Fail(element,
             "[turn] listen: {} is on no interface; add it to an [[interface]]'s addresses.",
             listen.ip.ToString());
      }
      if (!seen.insert(listen).second) {
        Fail(element, "[turn] listen: {} stands twice.", listen.ToString());
      }
      const auto& relays = config_.server.relay_addresses;
      if (listen.port >= config_.server.relay_ports.first &&
          listen.port <= config_.server.relay_ports.second &&
          std::find(relays.begin(), relays.end(), listen.ip) != relays.end()) {
        Fail(element,
             "[turn] listen: {} is among the relayed addresses; choose a port outside relay_ports.",
             listen.ToString());
      }
    }
  }

  void CheckRelayAddresses() {
    std::set<IpAddress> seen;
    if (config_.server.relay_addresses.empty() && !config_.server.virtual_prefix) {
      Fail("turn.relay_addresses",
           "[turn] relay_addresses: must have one address at least, or virtual_prefix be given.");
    }
    for (size_t i = 0; i < config_.server.relay_addresses.size(); ++i) {
      const IpAddress& ip = config_.server.relay_addresses[i];
      const std::string element = fmt::format("turn.relay_addresses#{}", i);
      if (!addresses_.contains(ip)) {
        Fail(element,
             "[turn] relay_addresses: {} is on no interface; add it to an [[interface]]'s "
             "addresses.",
             ip.ToString());
      }
      if (!seen.insert(ip).second) {
        Fail(element, "[turn] relay_addresses: {} stands twice.", ip.ToString());
      }
    }
  }

  void CheckAuth() {
    const relay::AuthOptions& auth = config_.server.auth;
    if (auth.users.empty() && auth.shared_secrets.empty() && !auth.may_be_empty) {
      errors_.Add(0, "nobody could log in; give users, shared_secrets or file in [turn.auth].");
    }
    for (const auto& [name, password] : auth.users) {
      const std::string element = "turn.auth.users#" + name;
      if (name.empty()) Fail(element, "[turn.auth] users: a user needs a name.");
      if (password.size() < relay::kMinSecretSize) {
        Fail(element,
             "[turn.auth] users: the password of {} is too short; must have {} bytes at least.",
             Quoted(name), relay::kMinSecretSize);
      }
    }
    std::set<std::string> seen;
    for (size_t i = 0; i < auth.shared_secrets.size(); ++i) {
      const std::string element = fmt::format("turn.auth.shared_secrets#{}", i);
      if (auth.shared_secrets[i].size() < relay::kMinSecretSize) {
        Fail(element,
             "[turn.auth] shared_secrets: secret {} is too short; must have {} bytes at least.",
             i + 1, relay::kMinSecretSize);
      }
      if (!seen.insert(auth.shared_secrets[i]).second) {
        Fail(element, "[turn.auth] shared_secrets: secret {} stands twice.", i + 1);
      }
    }
  }

  void CheckAdmin() {
    const AdminConfig& admin = config_.admin;
    sotto::CheckAdmin(admin, errors_);
    if (admin.listen && addresses_.contains(admin.listen->ip)) {
      Fail("admin.listen",
           "[admin] listen: {} is the relay's own, and the kernel doesn't have it; give an address "
           "of the host.",
           admin.listen->ip.ToString());
    }
  }

  const RelaydConfig& config_;
  ConfigErrors& errors_;
  std::set<IpAddress> addresses_;
  std::set<std::pair<std::string, uint16_t>> vlans_;
};

}  // namespace

void CheckConfig(const RelaydConfig& config, ConfigErrors& errors) {
  Checker(config, errors).Check();
}

}  // namespace sotto::dataplane
