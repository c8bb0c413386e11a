// SPDX-License-Identifier: Apache-2.0
#include <nlohmann/json.hpp>

#include "relay/api/admin.pb.h"
#include "tools/sottoctl/command.h"

namespace sotto::tools {
namespace {

absl::Status Mint(CommandContext& context, const relay::v1::MintCredentialRequest& request) {
  const auto credential =
      context.daemon->Call<relay::v1::Credential>("Admin.MintCredential", request);
  if (!credential.ok()) return credential.status();
  Json server = {{"urls", Json::array()},
                 {"username", credential->username()},
                 {"credential", credential->password()}};
  for (const std::string& url : credential->urls()) server["urls"].push_back(url);
  const Json configuration = {{"iceServers", {server}}};
  // It is for a program whatever the format; there is nothing to align.
  if (context.out.is_table()) {
    context.out.Line(configuration.dump(2));
  } else {
    context.out.Record(configuration, {});
  }
  return absl::OkStatus();
}

}  // namespace

void AddCredential(Commands& commands) {
  CLI::App& group = commands.Group("credential", "Mints time-limited credentials", kAccessHeading);
  const auto request = std::make_shared<relay::v1::MintCredentialRequest>();
  CLI::App& mint = commands.AddTo(
      group, "mint", "Prints what a WebRTC client needs to use the relay: an RTCConfiguration",
      DaemonKind::kRelay, [request](CommandContext& context) { return Mint(context, *request); });
  AddText(
      mint, "NAME", "", [request](const auto& v) { request->set_name(v); },
      "Name of the credential's user; under policy \"call\", CALL/a or CALL/b");
  Require(mint, "NAME");
  AddSeconds(
      mint, "--valid", [request](uint64_t s) { request->set_valid_s(s); },
      "How long it can be used to allocate; default: 24h");
  SetFooter(mint, "  new RTCPeerConnection(<what is printed>)");
}

}  // namespace sotto::tools
