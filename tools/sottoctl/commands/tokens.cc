// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <istream>

#include "signaling/api/admin.pb.h"
#include "tools/signaling_client/keys.h"
#include "tools/signaling_client/token.h"
#include "tools/sottoctl/command.h"
#include "tools/sottoctl/hex.h"

namespace sotto::tools {
namespace {

// As hexadecimal, which is how sotto-phone takes it, or as base64url, as invitations have it.
absl::StatusOr<std::string> TokenOf(const std::string& text) {
  if (auto hex = ParseHex(text); hex.ok() && hex->size() == kTokenSize) return hex;
  if (auto base64 = FromBase64Url(text); base64.ok() && base64->size() == kTokenSize) return base64;
  return absl::InvalidArgumentError(
      fmt::format("not a token: a token has {} bytes, in hexadecimal or base64url", kTokenSize));
}

absl::Status Inspect(CommandContext& context, const std::string& account, std::string text) {
  if (text == "-") std::getline(context.around.in, text);
  auto token = TokenOf(text);
  if (!token.ok()) return token.status();
  signaling::v1::InspectTokenRequest request;
  request.set_account(account);
  request.set_token(*std::move(token));
  const auto info =
      context.daemon->Call<signaling::v1::TokenInfo>("SignalingAdmin.InspectToken", request);
  if (!info.ok()) return info.status();
  constexpr Column kColumns[] = {
      {"Would ring", "would_ring", Unit::kYesNo},
      {"Because", "sentence"},
      {"Version", "version"},
      {"Epoch", "epoch"},
      {"Serial", "serial"},
      {"Epoch's key registered", "epoch_registered", Unit::kYesNo},
      {"Epoch valid now", "epoch_current", Unit::kYesNo},
      {"Signature valid", "signature_valid", Unit::kYesNo},
  };
  context.out.Record(*info, kColumns);
  return absl::OkStatus();
}

}  // namespace

void AddTokens(Commands& commands) {
  CLI::App& group = commands.Group("tokens", "Inspects privacy tokens", kSignalingHeading);
  const auto account = std::make_shared<std::string>();
  const auto token = std::make_shared<std::string>();
  CLI::App& inspect = commands.AddTo(
      group, "inspect", "Shows whether a token would ring now, without using it up",
      DaemonKind::kSignaling,
      [account, token](CommandContext& context) { return Inspect(context, *account, *token); });
  AddArgument(inspect, "ACCOUNT", *account, "The account that issued the token");
  AddArgument(inspect, "TOKEN", *token,
              "The token, in hexadecimal or base64url; - reads it from standard input, so that "
              "other users can't see it");
}

}  // namespace sotto::tools
