// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "tools/signaling_client/identity_minter.h"
#include "tools/signaling_client/keys.h"
#include "tools/sottoctl/command.h"

namespace sotto::tools {
namespace {

struct IdentityOptions {
  std::string account;
  std::string key;
  std::string issuer;
  std::string audience;
  uint64_t lifetime_s = 3600;
};

absl::Status New(CommandContext& context, const IdentityOptions& options) {
  const auto minter = IdentityMinter::Load(options.key);
  if (!minter.ok()) return minter.status();
  const int64_t now_s =
      std::chrono::duration_cast<std::chrono::seconds>(context.around.now().time_since_epoch())
          .count();
  const int64_t lifetime_s = static_cast<int64_t>(options.lifetime_s);
  const std::string token =
      minter->Mint(options.account, now_s, lifetime_s, options.issuer, options.audience);
  context.out.Done(
      token,
      {{"account", options.account}, {"identity", token}, {"expires_unix_s", now_s + lifetime_s}});
  return absl::OkStatus();
}

}  // namespace

void AddIdentity(Commands& commands) {
  CLI::App& group = commands.Group("identity", "Mints the identities that accounts sign in with",
                                   kSignalingHeading);
  const auto options = std::make_shared<IdentityOptions>();
  CLI::App& app = commands.AddTo(
      group, "new", "Prints a JWT for an account, for development, without asking a daemon",
      DaemonKind::kNone, [options](CommandContext& context) { return New(context, *options); });
  AddText(
      app, "ACCOUNT", "",
      [options](const std::string& name) {
        if (!IsAccountName(name)) {
          RefuseOption("ACCOUNT",
                       "a name must have 1 to 64 characters of A-Z a-z 0-9 . _ ~ @ + and -");
        }
        options->account = name;
      },
      "The account that signs in with it");
  Require(app, "ACCOUNT");
  AddFile(app, "--identity-key", options->key,
          "The P-256 private key, in PEM; sotto-signald must have its public key in [identity] "
          "keys");
  Require(app, "--identity-key");
  AddSeconds(
      app, "--valid", [options](uint64_t s) { options->lifetime_s = s; },
      "How long it is valid; default: 1h");
  AddText(
      app, "--issuer", "NAME", [options](const auto& v) { options->issuer = v; }, "Its claim iss");
  AddText(
      app, "--audience", "NAME", [options](const auto& v) { options->audience = v; },
      "Its claim aud");
  SetFooter(app,
            "In production, the system that manages accounts mints identities. To create a key for "
            "development:\n"
            "  openssl ecparam -name prime256v1 -genkey -noout -out identity-key.pem\n"
            "  openssl pkey -in identity-key.pem -pubout -out identity.pem");
}

}  // namespace sotto::tools
