// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "relay/api/admin.pb.h"
#include "tools/sottoctl/command.h"

namespace sotto::tools {
namespace {

std::string Link(const Json& port) {
  if (!port["link_up"].get<bool>()) return "down";
  const uint32_t mbps = port["link_mbps"];
  if (mbps == 0) return "up";
  return mbps % 1000 == 0 ? fmt::format("{} Gbit/s", mbps / 1000) : fmt::format("{} Mbit/s", mbps);
}

void PrintInterfaces(Output& out, const Json& ports) {
  Output::List list(out, {{"PORT", "port"},
                          {"VLAN", "vlan"},
                          {"MTU", "mtu"},
                          {"ADDRESSES", "addresses"},
                          {"GATEWAYS", "gateways"}});
  for (const Json& port : ports) {
    for (Json interface : port["interfaces"]) {
      interface["port"] = port["name"];
      if (interface["vlan"] == 0) interface["vlan"] = nullptr;
      list.Add(interface);
    }
  }
}

absl::Status Ports(CommandContext& context, bool extended) {
  const auto response = context.daemon->Call<relay::v1::ListPortsResponse>(
      "Admin.ListPorts", relay::v1::ListPortsRequest());
  if (!response.ok()) return response.status();
  Json record = ToJson(*response);
  Output& out = context.out;
  if (!out.is_table()) {
    out.Record(record, {});
    return absl::OkStatus();
  }
  {
    Output::List list(out, {{"PORT", "name"},
                            {"DRIVER", "driver"},
                            {"MAC", "mac"},
                            {"LINK", "link"},
                            {"QUEUES", "queues", Unit::kCount},
                            {"RECEIVED", "rx_packets", Unit::kCount},
                            {"SENT", "tx_packets", Unit::kCount},
                            {"MISSED", "rx_missed", Unit::kCount},
                            {"RX ERR", "rx_errors", Unit::kCount},
                            {"TX ERR", "tx_errors", Unit::kCount},
                            {"NO MBUF", "rx_no_mbuf", Unit::kCount}});
    for (Json& port : record["ports"]) {
      port["link"] = Link(port);
      list.Add(port);
    }
  }
  out.Line("");
  PrintInterfaces(out, record["ports"]);
  out.Line("");
  constexpr Column kBuffers[] = {{"Packet buffers in use", "mbufs_in_use", Unit::kCount},
                                 {"Packet buffers", "mbufs", Unit::kCount}};
  out.Record(record, kBuffers);
  if (!extended) return absl::OkStatus();
  for (const Json& port : record["ports"]) {
    out.Line("");
    Output::List list(out, {{port["name"].get_ref<const std::string&>(), "name"},
                            {"COUNT", "count", Unit::kCount}});
    for (const Json& count : port["extended"]) list.Add(count);
  }
  return absl::OkStatus();
}

}  // namespace

void AddPorts(Commands& commands) {
  const auto extended = std::make_shared<bool>(false);
  CLI::App& ports =
      commands.Add("ports", "Lists ports and their interfaces, links, counters and packet buffers",
                   kRelayHeading, DaemonKind::kRelay,
                   [extended](CommandContext& context) { return Ports(context, *extended); });
  AddFlag(ports, "--extended", *extended,
          "Also prints the drivers' own counters, which JSON and YAML always contain");
  SetFooter(
      ports,
      "MISSED counts packets for which the NIC had no descriptor: the workers are too slow, or too "
      "few.");
}

}  // namespace sotto::tools
