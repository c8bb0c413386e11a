// SPDX-License-Identifier: Apache-2.0

#include "relay/api/admin.pb.h"
#include "tools/sottoctl/command.h"

namespace sotto::tools {
namespace {

absl::Status Neighbors(CommandContext& context) {
  const auto response = context.daemon->Call<relay::v1::ListNeighborsResponse>(
      "Admin.ListNeighbors", relay::v1::ListNeighborsRequest());
  if (!response.ok()) return response.status();
  Output::List list(context.out, {{"ADDRESS", "ip"},
                                  {"MAC", "mac"},
                                  {"STATE", "state"},
                                  {"PORT", "port"},
                                  {"VLAN", "vlan"},
                                  {"GATEWAY", "gateway", Unit::kYesNo},
                                  {"CONFIRMED AGO", "age_s", Unit::kSeconds},
                                  {"LEGS", "references", Unit::kCount}});
  for (const auto& neighbor : response->neighbors()) list.Add(neighbor);
  return absl::OkStatus();
}

}  // namespace

void AddNeighbors(Commands& commands) {
  CLI::App& neighbors =
      commands.Add("neighbors", "Lists the next hops of the relay and their ARP and ND state",
                   kRelayHeading, DaemonKind::kRelay, Neighbors);
  SetFooter(neighbors,
            "While a gateway is incomplete or failed, packets through it are dropped with reason "
            "no_next_hop.");
}

}  // namespace sotto::tools
