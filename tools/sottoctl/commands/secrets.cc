// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include "relay/api/admin.pb.h"
#include "tools/sottoctl/command.h"

namespace sotto::tools {
namespace {

constexpr uint64_t kMostKept = 15;  // RotateSecretRequest.keep

absl::Status Rotate(CommandContext& context, uint32_t keep) {
  relay::v1::RotateSecretRequest request;
  request.set_keep(keep);
  const auto rotated =
      context.daemon->Call<relay::v1::RotateSecretResponse>("Admin.RotateSecret", request);
  if (!rotated.ok()) return rotated.status();
  constexpr Column kColumns[] = {{"New secret", "secret"}, {"Dropped", "dropped"}};
  context.out.Record(*rotated, kColumns);
  return absl::OkStatus();
}

absl::Status List(CommandContext& context) {
  const auto secrets = context.daemon->Call<relay::v1::ListSecretsResponse>(
      "Admin.ListSecrets", relay::v1::ListSecretsRequest());
  if (!secrets.ok()) return secrets.status();
  Output::List list(context.out, {{"ID", "id"},
                                  {"MINTS", "mints", Unit::kYesNo},
                                  {"IN CONFIGURATION", "from_config", Unit::kYesNo}});
  for (const auto& secret : secrets->secrets()) list.Add(secret);
  return absl::OkStatus();
}

}  // namespace

void AddSecrets(Commands& commands) {
  CLI::App& group = commands.Group(
      "secrets", "Rotates and lists the secrets of time-limited credentials", kAccessHeading);
  const auto keep = std::make_shared<uint32_t>(0);
  CLI::App& rotate = commands.AddTo(
      group, "rotate", "Creates a new secret, which mints credentials from then on",
      DaemonKind::kRelay, [keep](CommandContext& context) { return Rotate(context, *keep); });
  AddNumber(
      rotate, "--keep", "N", 1, kMostKept, [keep](uint64_t n) { *keep = static_cast<uint32_t>(n); },
      fmt::format("Number of older secrets that stay valid, at most {}; default: 1", kMostKept));
  SetFooter(
      rotate,
      "The new secret is shown only this once. Give it to all other systems that mint credentials "
      "before the next rotation removes the older ones.");
  commands.AddTo(group, "list", "Lists the ids of secrets, not the secrets themselves",
                 DaemonKind::kRelay, List);
}

}  // namespace sotto::tools
