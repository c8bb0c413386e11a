// SPDX-License-Identifier: Apache-2.0
#include "relay/api/admin.pb.h"
#include "tools/sottoctl/command.h"
#ifdef SOTTO_SIGNALING
#include <nlohmann/json.hpp>

#include "signaling/api/admin.pb.h"
#endif

namespace sotto::tools {
namespace {

absl::Status RelayStatus(CommandContext& context) {
  const auto status =
      context.daemon->Call<relay::v1::Status>("Admin.GetStatus", relay::v1::GetStatusRequest());
  if (!status.ok()) return status.status();
  constexpr Column kColumns[] = {
      {"State", "state"},
      {"Drain ends in", "drain_deadline_s", Unit::kSeconds},
      {"Version", "version"},
      {"Uptime", "uptime_s", Unit::kSeconds},
      {"Realm", "realm"},
      {"Policy", "policy"},
      {"Listens at", "listen"},
      {"Relays from", "relay_addresses"},
      {"Virtual prefix", "virtual_prefix"},
      {"Allocations", "allocations", Unit::kCount},
      {"Limit", "max_allocations", Unit::kCount},
      {"Calls", "calls", Unit::kCount},
      {"Armed calls", "armed_calls", Unit::kCount},
      {"Relayed ports", "relayed_ports_in_use", Unit::kCount},
      {"Workers", "workers", Unit::kCount},
      {"Ports", "ports", Unit::kCount},
      {"Users", "users", Unit::kCount},
      {"Secrets", "secrets", Unit::kCount},
  };
  std::vector<Column> columns(std::begin(kColumns), std::end(kColumns));
  // Lines about what there isn't would only be in the way.
  std::erase_if(columns, [&](const Column& column) {
    return (column.key == "drain_deadline_s" && status->drain_deadline_s() == 0) ||
           (column.key == "virtual_prefix" && status->virtual_prefix().empty());
  });
  context.out.Record(*status, columns);
  return absl::OkStatus();
}

#ifdef SOTTO_SIGNALING
absl::Status SignalingStatus(CommandContext& context) {
  const auto status = context.daemon->Call<signaling::v1::SignalingStatus>(
      "SignalingAdmin.GetStatus", signaling::v1::GetSignalingStatusRequest());
  if (!status.ok()) return status.status();
  constexpr Column kColumns[] = {
      {"Version", "version"},
      {"Uptime", "uptime_s", Unit::kSeconds},
      {"Connections", "connections", Unit::kCount},
      {"Sessions", "sessions", Unit::kCount},
      {"Calls", "calls", Unit::kCount},
      {"Connected calls", "connected_calls", Unit::kCount},
      {"Store jobs waiting", "store_queue", Unit::kCount},
      {"Limit", "store_queue_capacity", Unit::kCount},
  };
  const Json record = ToJson(*status);
  context.out.Record(record, kColumns);
  if (!context.out.is_table()) return absl::OkStatus();
  context.out.Line("");
  Output::List relays(context.out, {{"RELAY", "name"},
                                    {"UP", "up", Unit::kYesNo},
                                    {"ALLOCATIONS", "allocations", Unit::kCount},
                                    {"LIMIT", "max_allocations", Unit::kCount},
                                    {"PROBLEM", "problem"}});
  for (const Json& relay : record["relays"]) relays.Add(relay);
  return absl::OkStatus();
}
#endif

absl::Status Status(CommandContext& context) {
#ifdef SOTTO_SIGNALING
  if (context.signaling) return SignalingStatus(context);
#endif
  return RelayStatus(context);
}

}  // namespace

void AddStatus(Commands& commands) {
  CLI::App& status =
      commands.Add("status", "Shows whether the relay serves, for how long, and how full it is",
                   kRelayHeading, DaemonKind::kEither, Status);
  SetFooter(
      status,
      "With --signaling: shows connections, calls and the state of each relay as sotto-signald "
      "sees it.");
}

}  // namespace sotto::tools
