// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "relay/api/admin.pb.h"
#include "tools/sottoctl/command.h"

namespace sotto::tools {
namespace {

absl::Status Drops(CommandContext& context, bool all) {
  auto counters = context.daemon->Call<relay::v1::Counters>("Admin.GetCounters",
                                                            relay::v1::GetCountersRequest());
  if (!counters.ok()) return counters.status();
  auto& drops = *counters->mutable_drops();
  std::stable_sort(drops.begin(), drops.end(),
                   [](const auto& a, const auto& b) { return a.count() > b.count(); });
  Output::List list(context.out, {{"REASON", "name"},
                                  {"PACKETS", "count", Unit::kCount},
                                  {"WHAT IT MEANS, AND WHAT TO DO", "sentence"}});
  for (const auto& drop : drops) {
    if (all || drop.count() > 0) list.Add(drop);
  }
  return absl::OkStatus();
}

}  // namespace

void AddDrops(Commands& commands) {
  const auto all = std::make_shared<bool>(false);
  CLI::App& drops = commands.Add(
      "drops", "Lists why packets were dropped, the most frequent reason first", kRelayHeading,
      DaemonKind::kRelay, [all](CommandContext& context) { return Drops(context, *all); });
  AddFlag(drops, "--all", *all, "Also lists reasons for which nothing was dropped");
}

}  // namespace sotto::tools
