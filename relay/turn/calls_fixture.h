// SPDX-License-Identifier: Apache-2.0
// What tests of the peer policy `call` share: parties of calls, with time-limited credentials.
#pragma once

#include <string>
#include <string_view>
#include <utility>

#include "relay/turn/server_fixture.h"

namespace sotto::relay {

class CallsTest : public ServerTest {
 protected:
  static constexpr std::string_view kSecret = "the-current-secret";

  static ServerOptions CallOptions() {
    ServerOptions options = Options();
    options.auth.users.clear();
    options.auth.shared_secrets = {std::string(kSecret)};
    options.peers = {.kind = PeerPolicyKind::kCall};
    return options;
  }
  TestClient Named(std::string_view name) {
    const std::string username = std::to_string(now.unix_s + 1000) + ":" + std::string(name);
    return Client(username, MintTimeLimitedPassword(kSecret, username));
  }
  struct Party {
    TestClient client;
    TransportAddress relayed;
  };
  Party Join(std::string_view name) {
    TestClient client = Named(name);
    const Reply reply = client.Allocate(now);
    EXPECT_TRUE(reply.success()) << name << ": " << reply.error;
    return {client, reply.success() ? reply.relayed().at(0) : TransportAddress()};
  }
  // Two parties that have bound each other.
  std::pair<Party, Party> Pair(std::string_view call) {
    Party a = Join(std::string(call) + "/a");
    Party b = Join(std::string(call) + "/b");
    EXPECT_TRUE(a.client.Bind(now, 0x4000, b.relayed).success());
    EXPECT_TRUE(b.client.Bind(now, 0x4000, a.relayed).success());
    return {a, b};
  }
  // Whether what one sends on a channel reaches the other, all the way.
  bool Flows(Party& from, Party& to) {
    const Reply out = from.client.SendChannel(now, 0x4000, Bytes{42});
    if (out.outcome.kind != Outcome::Kind::kToPeer) return false;
    const Reply in = FromPeer(out.outcome.peer, out.outcome.relayed, out.bytes);
    return in.answered() && in.outcome.path == to.client.path();
  }
};

}  // namespace sotto::relay
