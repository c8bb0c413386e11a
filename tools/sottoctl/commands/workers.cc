// SPDX-License-Identifier: Apache-2.0
#include <nlohmann/json.hpp>

#include "relay/api/admin.pb.h"
#include "tools/sottoctl/command.h"

namespace sotto::tools {
namespace {

double Percent(uint64_t part, uint64_t rest) {
  const double whole = static_cast<double>(part) + static_cast<double>(rest);
  return whole == 0 ? 0 : 100 * static_cast<double>(part) / whole;
}

absl::Status Workers(CommandContext& context) {
  const auto response = context.daemon->Call<relay::v1::ListWorkersResponse>(
      "Admin.ListWorkers", relay::v1::ListWorkersRequest());
  if (!response.ok()) return response.status();
  Output::List list(context.out, {{"WORKER", "index"},
                                  {"LCORE", "lcore"},
                                  {"NUMA", "numa_node"},
                                  {"RECEIVED", "rx_packets", Unit::kCount},
                                  {"SENT", "tx_packets", Unit::kCount},
                                  {"BUSY", "busy_percent", Unit::kPercent},
                                  {"EMPTY POLLS", "empty_percent", Unit::kPercent},
                                  {"REQUESTS WAITING", "requests_waiting", Unit::kCount},
                                  {"LIMIT", "requests_capacity", Unit::kCount}});
  for (const auto& worker : response->workers()) {
    Json record = ToJson(worker);
    record["busy_percent"] = Percent(worker.busy_cycles(), worker.idle_cycles());
    record["empty_percent"] =
        Percent(worker.empty_polls(),
                worker.polls() > worker.empty_polls() ? worker.polls() - worker.empty_polls() : 0);
    list.Add(record);
  }
  return absl::OkStatus();
}

}  // namespace

void AddWorkers(Commands& commands) {
  CLI::App& workers = commands.Add("workers", "Lists workers with their counters and load",
                                   kRelayHeading, DaemonKind::kRelay, Workers);
  SetFooter(workers,
            "BUSY is the share of time since the start that the worker spent on packets; for the "
            "current value, see sottoctl top.");
}

}  // namespace sotto::tools
