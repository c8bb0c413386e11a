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
      Fail("turn.lifetimes.default",
           "[turn.lifetimes] default: {} is above max, which is {}; lower it, or raise max.",
           config_.server.lifetimes.default_s, config_.server.lifetimes.max_s);
    }
    if (config_.server.arm_calls_at_once &&
        config_.server.peers.kind != relay::PeerPolicyKind::kCall) {
      Fail("turn.calls.arm",
           "[turn.calls] arm: only applies to [turn.peers] policy \"call\"; set that policy, or "
           "remove this key.");
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
      Fail(path + ".addresses", "[interface] addresses: {} needs at least one address.",
           Quoted(interface.port));
    }
    for (size_t i = 0; i < interface.addresses.size(); ++i) {
      const InterfaceConfig::Address& address = interface.addresses[i];
      const std::string element = fmt::format("{}.addresses#{}", path, i);
      if (IsUnusable(address.ip) || IsSubnetOrBroadcast(address)) {
        Fail(element, "[interface] addresses: {} in {} can't be the address of a host.",
             address.ip.ToString(), address.subnet.ToString());
      }
      if (!addresses_.insert(address.ip).second) {
        Fail(element,
             "[interface] addresses: {} occurs twice; an address belongs to one interface.",
             address.ip.ToString());
      }
      if (address.ip.is_v6() && interface.mtu != 0 && interface.mtu < 1280) {
        Fail(path + ".mtu", "[interface] mtu: {} is too small for IPv6, which needs at least 1280.",
             interface.mtu);
      }
    }
    for (size_t i = 0; i < interface.gateways.size(); ++i) {
      const IpAddress& gateway = interface.gateways[i];
      const std::string element = fmt::format("{}.gateways#{}", path, i);
      bool on_link = false;
      for (const InterfaceConfig::Address& address : interface.addresses) {
        if (address.ip == gateway) {
          Fail(element, "[interface] gateways: {} is the relay's own address; name the router's.",
               gateway.ToString());
        }
        on_link |= address.subnet.Contains(gateway);
      }
      if (!on_link) {
        Fail(element,
             "[interface] gateways: {} is not in a subnet of this interface; add an address of the "
             "gateway's subnet to addresses.",
             gateway.ToString());
      }
    }
    if (!vlans_.insert({interface.port, interface.vlan}).second) {
      Fail(path,
           "[interface] port: {} with VLAN {} occurs twice; list all its addresses in one "
           "[[interface]].",
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
             "[interface] mac: all interfaces of port {} must have the same value.",
             Quoted(interface.port));
      }
    }
  }

  void CheckListen() {
    std::set<TransportAddress> seen;
    if (config_.server.listen.empty()) {
      Fail("turn.listen", "[turn] listen: must have at least one address.");
    }
    for (size_t i = 0; i < config_.server.listen.size(); ++i) {
      const TransportAddress& listen = config_.server.listen[i];
      const std::string element = fmt::format("turn.listen#{}", i);
      if (listen.port == 0) {
        Fail(element, "[turn] listen: {} has port 0; the standard port of TURN is 3478.",
             listen.ToString());
      }
      if (!addresses_.contains(listen.ip)) {
        Fail(element,
             "[turn] listen: {} is not on an interface; add it to the addresses of an "
             "[[interface]].",
             listen.ip.ToString());
      }
      if (!seen.insert(listen).second) {
        Fail(element, "[turn] listen: {} occurs twice; remove one.", listen.ToString());
      }
      const auto& relays = config_.server.relay_addresses;
      if (listen.port >= config_.server.relay_ports.first &&
          listen.port <= config_.server.relay_ports.second &&
          std::find(relays.begin(), relays.end(), listen.ip) != relays.end()) {
        Fail(element,
             "[turn] listen: {} is a relayed address too; choose a port outside relay_ports.",
             listen.ToString());
      }
    }
  }

  void CheckRelayAddresses() {
    std::set<IpAddress> seen;
    if (config_.server.relay_addresses.empty() && !config_.server.virtual_prefix) {
      Fail("turn.relay_addresses",
           "[turn] relay_addresses: must have at least one address, unless virtual_prefix is "
           "set.");
    }
    for (size_t i = 0; i < config_.server.relay_addresses.size(); ++i) {
      const IpAddress& ip = config_.server.relay_addresses[i];
      const std::string element = fmt::format("turn.relay_addresses#{}", i);
      if (!addresses_.contains(ip)) {
        Fail(element,
             "[turn] relay_addresses: {} is not on an interface; add it to the addresses of an "
             "[[interface]].",
             ip.ToString());
      }
      if (!seen.insert(ip).second) {
        Fail(element, "[turn] relay_addresses: {} occurs twice; remove one.", ip.ToString());
      }
    }
  }

  void CheckAuth() {
    const relay::AuthOptions& auth = config_.server.auth;
    if (auth.users.empty() && auth.shared_secrets.empty() && !auth.may_be_empty) {
      errors_.Add(0,
                  "no client could authenticate; set users, shared_secrets or file in "
                  "[turn.auth].");
    }
    for (const auto& [name, password] : auth.users) {
      const std::string element = "turn.auth.users#" + name;
      if (name.empty()) Fail(element, "[turn.auth] users: a user needs a name.");
      if (password.size() < relay::kMinSecretSize) {
        Fail(element,
             "[turn.auth] users: the password of {} is too short; must have at least {} bytes.",
             Quoted(name), relay::kMinSecretSize);
      }
    }
    std::set<std::string> seen;
    for (size_t i = 0; i < auth.shared_secrets.size(); ++i) {
      const std::string element = fmt::format("turn.auth.shared_secrets#{}", i);
      if (auth.shared_secrets[i].size() < relay::kMinSecretSize) {
        Fail(element,
             "[turn.auth] shared_secrets: secret {} is too short; must have at least {} bytes.",
             i + 1, relay::kMinSecretSize);
      }
      if (!seen.insert(auth.shared_secrets[i]).second) {
        Fail(element, "[turn.auth] shared_secrets: secret {} occurs twice; remove one.", i + 1);
      }
    }
  }

  void CheckAdmin() {
    const AdminConfig& admin = config_.admin;
    sotto::CheckAdmin(admin, errors_);
    if (admin.listen && addresses_.contains(admin.listen->ip)) {
      Fail("admin.listen",
           "[admin] listen: {} is an address of the relay, which the kernel does not have; use an "
           "address of the host.",
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
