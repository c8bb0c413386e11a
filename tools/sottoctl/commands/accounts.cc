// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "signaling/api/admin.pb.h"
#include "tools/sottoctl/command.h"

namespace sotto::tools {
namespace {

absl::Status Show(CommandContext& context, const std::string& account) {
  signaling::v1::GetAccountRequest request;
  request.set_account(account);
  const auto info =
      context.daemon->Call<signaling::v1::AccountInfo>("SignalingAdmin.GetAccount", request);
  if (!info.ok()) return info.status();
  constexpr Column kColumns[] = {
      {"Account", "account"},
      {"Blocked", "blocked", Unit::kYesNo},
      {"Silences unknown callers", "silence_unknown_callers", Unit::kYesNo},
      {"Protects IP address", "protect_ip_address", Unit::kYesNo},
      {"Devices", "devices"},
      {"Sessions", "sessions", Unit::kCount},
      {"Epoch keys", "epochs", Unit::kCount},
      {"Notices waiting", "notices_waiting", Unit::kCount},
      {"Calls placed", "placed", Unit::kCount},
      {"Calls silenced", "silenced", Unit::kCount},
  };
  context.out.Record(*info, kColumns);
  return absl::OkStatus();
}

absl::Status SetBlocked(CommandContext& context, const std::string& account, bool blocked) {
  signaling::v1::SetAccountBlockedRequest request;
  request.set_account(account);
  request.set_blocked(blocked);
  const auto set = context.daemon->Call<signaling::v1::SetAccountBlockedResponse>(
      "SignalingAdmin.SetAccountBlocked", request);
  if (!set.ok()) return set.status();
  context.out.Done(
      blocked ? fmt::format("Blocked account {}; {} of its sessions ended.", account,
                            set->sessions_ended())
              : fmt::format("Account {} is not blocked.", account),
      {{"account", account}, {"blocked", blocked}, {"sessions_ended", set->sessions_ended()}});
  return absl::OkStatus();
}

}  // namespace

void AddAccounts(Commands& commands) {
  CLI::App& group =
      commands.Group("accounts", "Shows, blocks and unblocks accounts", kSignalingHeading);
  const auto account = std::make_shared<std::string>();
  const auto add = [&](const char* name, const char* about,
                       absl::Status (*run)(CommandContext&, const std::string&)) {
    CLI::App& app =
        commands.AddTo(group, name, about, DaemonKind::kSignaling,
                       [account, run](CommandContext& context) { return run(context, *account); });
    AddArgument(app, "ACCOUNT", *account, "The account's name");
  };
  add("show", "Shows an account's settings, devices and standing, but not whom it calls", Show);
  add("block", "Prevents an account from signing in, and ends its sessions",
      [](CommandContext& context, const std::string& name) {
        return SetBlocked(context, name, true);
      });
  add("unblock", "Lets a blocked account sign in again",
      [](CommandContext& context, const std::string& name) {
        return SetBlocked(context, name, false);
      });
}

}  // namespace sotto::tools
