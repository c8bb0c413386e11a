// SPDX-License-Identifier: Apache-2.0
// What the abuse tests of the server core share.
#pragma once

#include "relay/turn/server_fixture.h"

namespace sotto::relay {

class RelayAbuse : public ServerTest {
 protected:
  static constexpr std::string_view kSecret = "the-current-secret";

  static ServerOptions AllowAll() {
    ServerOptions options = Options();
    options.peers.allow = {*IpPrefix::Parse("0.0.0.0/0"), *IpPrefix::Parse("::/0")};
    return options;
  }
  static ServerOptions CallOptions() {
    ServerOptions options = Options();
    options.auth.users.clear();
    options.auth.shared_secrets = {std::string(kSecret)};
    options.peers = {.kind = PeerPolicyKind::kCall};
    options.arm_calls_at_once = true;
    return options;
  }
  TestClient Named(std::string_view name) {
    const std::string username = std::to_string(now.unix_s + 1000) + ":" + std::string(name);
    return Client(username, MintTimeLimitedPassword(kSecret, username));
  }
  static void Dual(StunBuilder& b) { b.AddU8(StunAttributeType::kAdditionalAddressFamily, 2); }
  static void EvenAndNext(StunBuilder& b) {
    const uint8_t value[] = {0x80};
    b.Add(StunAttributeType::kEvenPort, value);
  }
  // Refused at CreatePermission, ChannelBind and Send.
  void ExpectUnreachable(TestClient& client, const TransportAddress& peer) {
    EXPECT_EQ(client.Permit(now, {peer}).error, 403) << peer.ToString();
    EXPECT_EQ(client.Bind(now, 0x4fff, peer).error, 403) << peer.ToString();
    EXPECT_EQ(client.Send(now, peer, Bytes{1}).outcome.discard, Discard::kPeerRefused)
        << peer.ToString();
  }
};

}  // namespace sotto::relay
