// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "relay/api/admin.pb.h"
#include "tools/sottoctl/command.h"

namespace sotto::tools {
namespace {

using relay::v1::Call;
using relay::v1::CallFilter;

absl::Status List(CommandContext& context, const CallFilter& filter) {
  Output::List list(context.out, {{"CALL", "call"},
                                  {"ARMED", "armed", Unit::kYesNo},
                                  {"LEGS", "sides"},
                                  {"RELAYED", "relayed"}});
  Call call;
  return context.daemon->Stream("Admin.ListCalls", filter, call, [&] {
    Json record = ToJson(call);
    if (context.out.is_table()) {
      record["sides"] = record["relayed"] = Json::array();
      for (const Json& leg : record["legs"]) {
        record["sides"].push_back(leg["side"]);
        for (const Json& address : leg["relayed"]) record["relayed"].push_back(address);
      }
    }
    list.Add(record);
    return context.around.out.good();
  });
}

absl::Status Show(CommandContext& context, const std::string& name) {
  relay::v1::GetCallRequest request;
  request.set_call(name);
  const auto call = context.daemon->Call<Call>("CallControl.GetCall", request);
  if (!call.ok()) return call.status();
  const Json record = ToJson(*call);
  constexpr Column kColumns[] = {{"Call", "call"}, {"Armed", "armed", Unit::kYesNo}};
  context.out.Record(record, kColumns);
  if (!context.out.is_table()) return absl::OkStatus();
  context.out.Line("");
  Output::List legs(context.out, {{"LEG", "side"}, {"RELAYED", "relayed"}});
  for (const Json& leg : record["legs"]) legs.Add(leg);
  return absl::OkStatus();
}

absl::Status End(CommandContext& context, const std::string& name) {
  relay::v1::EndCallRequest request;
  request.set_call(name);
  const auto ended = context.daemon->Call<relay::v1::EndCallResponse>("Admin.EndCall", request);
  if (!ended.ok()) return ended.status();
  context.out.Done(fmt::format("Ended call {}.", name), {{"call", name}});
  return absl::OkStatus();
}

}  // namespace

void AddCalls(Commands& commands) {
  CLI::App& group =
      commands.Group("calls", "Lists, shows and ends calls (policy \"call\" only)", kRelayHeading);

  const auto filter = std::make_shared<CallFilter>();
  CLI::App& list =
      commands.AddTo(group, "list", "Lists calls that have a leg or are armed", DaemonKind::kRelay,
                     [filter](CommandContext& context) { return List(context, *filter); });
  AddText(
      list, "--call", "NAME", [filter](const auto& v) { filter->set_call(v); },
      "Only the call of this name");
  AddFlag(
      list, "--armed", [filter] { filter->set_armed_only(true); },
      "Only armed calls, whose media may flow");
  AddNumber(
      list, "--limit", "N", 1, UINT32_MAX,
      [filter](uint64_t n) { filter->set_limit(static_cast<uint32_t>(n)); }, "At most N entries");

  const auto name = std::make_shared<std::string>();
  const auto add_name = [&name](CLI::App& app) {
    AddArgument(app, "CALL", *name, "The call, as the list names it");
  };
  add_name(commands.AddTo(group, "show", "Shows a call and its legs", DaemonKind::kRelay,
                          [name](CommandContext& context) { return Show(context, *name); }));
  CLI::App& end = commands.AddTo(group, "end", "Ends a call and its legs", DaemonKind::kRelay,
                                 [name](CommandContext& context) { return End(context, *name); });
  add_name(end);
  SetFooter(end, "Ending a call that does not exist is not an error.");
}

}  // namespace sotto::tools
