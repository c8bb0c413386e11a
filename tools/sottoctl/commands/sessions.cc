// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <nlohmann/json.hpp>
#include <ostream>

#include "signaling/api/admin.pb.h"
#include "tools/sottoctl/command.h"

namespace sotto::tools {
namespace {

absl::Status List(CommandContext& context, const signaling::v1::SessionFilter& filter) {
  Output::List list(context.out, {{"ID", "id"},
                                  {"ACCOUNT", "account"},
                                  {"DEVICE", "device"},
                                  {"CONNECTED", "connected", Unit::kYesNo},
                                  {"AGE", "age_s", Unit::kSeconds},
                                  {"IDENTITY ENDS IN", "identity_ends_in_s", Unit::kSeconds},
                                  {"FRAMES WAITING", "frames_waiting", Unit::kCount}});
  signaling::v1::SessionInfo session;
  return context.daemon->Stream("SignalingAdmin.ListSessions", filter, session, [&] {
    list.Add(session);
    return context.around.out.good();
  });
}

absl::Status End(CommandContext& context, uint64_t id) {
  signaling::v1::EndSessionRequest request;
  request.set_id(id);
  const auto ended =
      context.daemon->Call<signaling::v1::EndSessionResponse>("SignalingAdmin.EndSession", request);
  if (!ended.ok()) return ended.status();
  context.out.Done(fmt::format("Ended session {}.", id), {{"id", id}});
  return absl::OkStatus();
}

}  // namespace

void AddSessions(Commands& commands) {
  const auto filter = std::make_shared<signaling::v1::SessionFilter>();
  CLI::App& sessions =
      commands.Add("sessions", "Lists sessions of clients, connected or waiting to be resumed",
                   kSignalingHeading, DaemonKind::kSignaling,
                   [filter](CommandContext& context) { return List(context, *filter); });
  AddText(
      sessions, "--account", "NAME", [filter](const auto& v) { filter->set_account(v); },
      "Only those of this account");
  AddNumber(
      sessions, "--limit", "N", 1, UINT32_MAX,
      [filter](uint64_t n) { filter->set_limit(static_cast<uint32_t>(n)); }, "At most N entries");
  const auto id = std::make_shared<uint64_t>(0);
  CLI::App& end = commands.AddTo(sessions, "end", "Ends a session; its client may open another",
                                 DaemonKind::kSignaling,
                                 [id](CommandContext& context) { return End(context, *id); });
  AddNumber(
      end, "ID", "", 1, UINT64_MAX, [id](uint64_t value) { *id = value; },
      "The session, as the list names it");
  Require(end, "ID");
}

}  // namespace sotto::tools
