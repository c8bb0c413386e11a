// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "relay/api/admin.pb.h"
#include "tools/sottoctl/command.h"

namespace sotto::tools {
namespace {

using relay::v1::Allocation;
using relay::v1::AllocationFilter;

absl::Status List(CommandContext& context, const AllocationFilter& filter) {
  Output::List list(context.out, {{"ID", "id"},
                                  {"USER", "user"},
                                  {"CLIENT", "client"},
                                  {"RELAYED", "relayed"},
                                  {"AGE", "age_s", Unit::kSeconds},
                                  {"ENDS IN", "expires_in_s", Unit::kSeconds},
                                  {"PERMS", "permissions", Unit::kCount},
                                  {"CHANNELS", "channels", Unit::kCount}});
  Allocation allocation;
  return context.daemon->Stream("Admin.ListAllocations", filter, allocation, [&] {
    list.Add(allocation);
    return context.around.out.good();
  });
}

absl::Status Show(CommandContext& context, uint64_t id) {
  AllocationFilter filter;
  filter.set_id(id);
  filter.set_details(true);
  Allocation allocation;
  bool found = false;
  const absl::Status status = context.daemon->Stream("Admin.ListAllocations", filter, allocation,
                                                     [&found] { return !(found = true); });
  if (!status.ok()) return status;
  if (!found) {
    return absl::NotFoundError(
        fmt::format("there is no allocation {}; it may have ended: sottoctl allocations list", id));
  }
  const Json record = ToJson(allocation);
  constexpr Column kColumns[] = {
      {"Id", "id"},
      {"User", "user"},
      {"Client", "client"},
      {"Server", "server"},
      {"Relayed", "relayed"},
      {"Age", "age_s", Unit::kSeconds},
      {"Ends in", "expires_in_s", Unit::kSeconds},
      {"Permissions", "permissions", Unit::kCount},
      {"Channels", "channels", Unit::kCount},
  };
  Output& out = context.out;
  out.Record(record, kColumns);
  if (!out.is_table()) return absl::OkStatus();
  if (!record["permission"].empty()) {
    out.Line("");
    Output::List permissions(out,
                             {{"PERMISSION", "ip"}, {"ENDS IN", "expires_in_s", Unit::kSeconds}});
    for (const Json& permission : record["permission"]) permissions.Add(permission);
  }
  if (!record["channel"].empty()) {
    out.Line("");
    Output::List channels(out, {{"CHANNEL", "number"},
                                {"PEER", "peer"},
                                {"FUSED", "fused", Unit::kYesNo},
                                {"ENDS IN", "expires_in_s", Unit::kSeconds}});
    for (Json channel : record["channel"]) {
      channel["number"] = fmt::format("{:#06x}", channel["number"].get<uint32_t>());
      channels.Add(channel);
    }
  }
  return absl::OkStatus();
}

absl::Status End(CommandContext& context, uint64_t id) {
  relay::v1::EndAllocationRequest request;
  request.set_id(id);
  const auto ended =
      context.daemon->Call<relay::v1::EndAllocationResponse>("Admin.EndAllocation", request);
  if (!ended.ok()) return ended.status();
  context.out.Done(fmt::format("Ended allocation {}.", id), {{"id", id}});
  return absl::OkStatus();
}

absl::Status EndMatching(CommandContext& context, const relay::v1::EndAllocationsRequest& request) {
  const auto answer =
      context.daemon->Call<relay::v1::EndAllocationsResponse>("Admin.EndAllocations", request);
  if (!answer.ok()) return answer.status();
  const uint32_t count = answer->ended();
  if (count == 0) return absl::NotFoundError("no allocation matches");
  const std::string what = fmt::format("{} allocation{}", count, count == 1 ? "" : "s");
  if (request.dry_run()) {
    context.out.Done(fmt::format("{} would be ended.", what), {{"would_end", count}});
  } else {
    context.out.Done(fmt::format("{} ended.", what), {{"ended", count}});
  }
  return absl::OkStatus();
}

void AddId(CLI::App& app, const std::shared_ptr<uint64_t>& id) {
  AddNumber(
      app, "ID", "", 1, UINT64_MAX, [id](uint64_t value) { *id = value; },
      "The allocation, as the list names it");
}

// Those of AddFilter() that select allocations; one of them must be given where none isn't all.
constexpr const char* kSelecting[] = {"--user", "--client",  "--relayed",
                                      "--peer", "--min-age", "--max-age"};

// The filter must live as long as the tree.
void AddFilter(CLI::App& app, AllocationFilter* filter) {
  AddText(
      app, "--user", "NAME", [filter](const auto& v) { filter->set_user(v); },
      "Only those of this user; for time-limited credentials, the name after the expiry");
  AddAddress(
      app, "--client", AddressForm::kHostOrTransport,
      [filter](const auto& v) { filter->set_client(v); },
      "Only those of clients at this address, prefix or address:port");
  AddAddress(
      app, "--relayed", AddressForm::kHostOrTransport,
      [filter](const auto& v) { filter->set_relayed(v); },
      "Only the one with this relayed address");
  AddAddress(
      app, "--peer", AddressForm::kHostOrTransport,
      [filter](const auto& v) { filter->set_peer(v); },
      "Only those with a permission or a channel for this peer");
  AddSeconds(
      app, "--min-age", [filter](uint64_t s) { filter->set_min_age_s(s); },
      "Only those that are at least this old");
  AddSeconds(
      app, "--max-age", [filter](uint64_t s) { filter->set_max_age_s(s); },
      "Only those that are at most this old");
  AddNumber(
      app, "--limit", "N", 1, UINT32_MAX,
      [filter](uint64_t n) { filter->set_limit(static_cast<uint32_t>(n)); }, "At most N entries");
}

void AddEnd(Commands& commands, CLI::App& group) {
  const auto id = std::make_shared<uint64_t>(0);
  const auto request = std::make_shared<relay::v1::EndAllocationsRequest>();
  CLI::App& end = commands.AddTo(
      group, "end", "Ends one allocation or all that match the options, and their media",
      DaemonKind::kRelay, [id, request](CommandContext& context) {
        return *id != 0 ? End(context, *id) : EndMatching(context, *request);
      });
  AddId(end, id);
  AddFilter(end, request->mutable_filter());
  AddFlag(
      end, "--dry-run", [request] { request->set_dry_run(true); },
      "Prints how many would be ended, and ends none");
  std::vector<std::string> one_of = {"ID"};
  for (const char* name : kSelecting) {
    Excludes(end, name, "ID");
    one_of.emplace_back(name);
  }
  for (const char* name : {"--limit", "--dry-run"}) Excludes(end, name, "ID");
  RequireOneOf(end, one_of, "ID, or --user or another option that selects allocations,");
  SetFooter(
      end,
      "A client notices at its next request and may allocate again; to keep it out, remove its "
      "user or rotate the secret of its credential first. To end all allocations: sottoctl drain "
      "--deadline 1s.\n"
      "  sottoctl allocations end --client 203.0.113.0/24 --dry-run");
}

}  // namespace

void AddAllocations(Commands& commands) {
  CLI::App& group =
      commands.Group("allocations", "Lists, shows and ends allocations", kRelayHeading);

  const auto filter = std::make_shared<AllocationFilter>();
  CLI::App& list = commands.AddTo(
      group, "list", "Lists allocations that match all options, in the order of ids",
      DaemonKind::kRelay, [filter](CommandContext& context) { return List(context, *filter); });
  AddFilter(list, filter.get());
  AddFlag(
      list, "--details", [filter] { filter->set_details(true); },
      "Also prints permissions and channels, in JSON and YAML");
  SetFooter(list,
            "Example, to find who has been talking to an address for an hour:\n"
            "  sottoctl allocations list --peer 198.51.100.7 --min-age 1h");

  const auto id = std::make_shared<uint64_t>(0);
  CLI::App& show = commands.AddTo(
      group, "show", "Shows an allocation with its permissions and channels", DaemonKind::kRelay,
      [id](CommandContext& context) { return Show(context, *id); });
  AddId(show, id);
  Require(show, "ID");
  AddEnd(commands, group);
}

}  // namespace sotto::tools
