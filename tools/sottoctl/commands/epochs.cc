// SPDX-License-Identifier: Apache-2.0
#include <fmt/chrono.h>
#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "signaling/api/admin.pb.h"
#include "tools/sottoctl/command.h"

namespace sotto::tools {
namespace {

std::string UtcMinute(int64_t unix_s) {
  return fmt::format("{:%Y-%m-%d %H:%M}Z", fmt::gmtime(static_cast<time_t>(unix_s)));
}

absl::Status Epochs(CommandContext& context, const std::string& account) {
  signaling::v1::ListEpochsRequest request;
  request.set_account(account);
  const auto response =
      context.daemon->Call<signaling::v1::ListEpochsResponse>("SignalingAdmin.ListEpochs", request);
  if (!response.ok()) return response.status();
  if (!context.out.is_table()) {
    context.out.Record(*response, {});
    return absl::OkStatus();
  }
  context.out.Line(fmt::format("Current epoch: {}\n", response->current()));
  Output::List list(context.out, {{"EPOCH", "epoch"},
                                  {"BEGINS", "begins"},
                                  {"TOKENS END", "ends"},
                                  {"USES", "uses", Unit::kCount},
                                  {"PUBLIC KEY", "public_key"}});
  for (const auto& epoch : response->epochs()) {
    Json record = ToJson(epoch);
    record["begins"] = UtcMinute(epoch.begins_unix_s());
    record["ends"] = UtcMinute(epoch.ends_unix_s());
    list.Add(record);
  }
  return absl::OkStatus();
}

}  // namespace

void AddEpochs(Commands& commands) {
  const auto account = std::make_shared<std::string>();
  CLI::App& epochs =
      commands.Add("epochs", "Lists the epochs for which an account has registered a token key",
                   kSignalingHeading, DaemonKind::kSignaling,
                   [account](CommandContext& context) { return Epochs(context, *account); });
  AddArgument(epochs, "ACCOUNT", *account, "The account's name");
}

}  // namespace sotto::tools
