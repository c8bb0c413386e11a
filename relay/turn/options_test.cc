// SPDX-License-Identifier: Apache-2.0
#include "relay/turn/options.h"

#include <gtest/gtest.h>

#include <functional>
#include <string>

#include "relay/turn/server_fixture.h"

namespace sotto::relay {
namespace {

class OptionsTest : public ServerTest {
 protected:
  static std::string Complaint(const std::function<void(ServerOptions&)>& spoil) {
    ServerOptions options = Options();
    spoil(options);
    const absl::Status status = options.Validate();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << status;
    return std::string(status.message());
  }
};

TEST_F(OptionsTest, AcceptsWhatIsWhole) { EXPECT_TRUE(Options().Validate().ok()); }

TEST_F(OptionsTest, NamesTheOptionThatIsWrong) {
  using Spoil = std::function<void(ServerOptions&)>;
  const std::pair<std::string_view, Spoil> cases[] = {
      {"[turn] realm", [](auto& o) { o.realm = ""; }},
      {"[turn] realm", [](auto& o) { o.realm = std::string(128, 'x'); }},
      {"[turn] listen", [](auto& o) { o.listen.clear(); }},
      {"[turn] listen", [](auto& o) { o.listen.push_back(At("192.0.2.10:0")); }},
      {"[turn] listen", [](auto& o) { o.listen.push_back(At("0.0.0.0:3478")); }},
      {"[turn] listen", [](auto& o) { o.listen.push_back(At("[ff02::1]:3478")); }},
      {"[turn] listen", [](auto& o) { o.listen.push_back(o.listen[0]); }},
      {"[turn] listen", [](auto& o) { o.listen.push_back(At("192.0.2.10:50000")); }},
      {"[turn] relay_addresses", [](auto& o) { o.relay_addresses.clear(); }},
      {"[turn] relay_addresses", [](auto& o) { o.relay_addresses.push_back(Ip("224.0.0.1")); }},
      {"[turn] relay_addresses",
       [](auto& o) { o.relay_addresses.push_back(o.relay_addresses[0]); }},
      {"[turn] relay_addresses",
       [](auto& o) {
         for (uint8_t i = 0; i < 15; ++i) {
           o.relay_addresses.push_back(IpAddress::V4(198, 51, 100, i));
         }
       }},
      {"[turn] relay_ports",
       [](auto& o) {
         o.relay_ports = {50000, 49999};
       }},
      {"[turn] relay_ports",
       [](auto& o) {
         o.relay_ports = {1023, 2000};
       }},
      {"[turn.auth]", [](auto& o) { o.auth.users.clear(); }},
      {"[turn.auth] users",
       [](auto& o) { o.auth.users["x"] = std::string(kMinSecretSize - 1, 'x'); }},
      {"[turn.auth] users", [](auto& o) { o.auth.users[""] = std::string(kMinSecretSize, 'x'); }},
      {"[turn.auth] users", [](auto& o) { o.peers.kind = PeerPolicyKind::kCall; }},
      {"[turn.auth] shared_secrets",
       [](auto& o) { o.auth.shared_secrets = {std::string(kMinSecretSize - 1, 'x')}; }},
      {"[turn.auth] nonce_lifetime_s", [](auto& o) { o.auth.nonce_lifetime_s = 0; }},
      {"[turn.peers] allow",
       [](auto& o) { o.peers.allow.push_back(*IpPrefix::Parse("127.0.0.0/8")); }},
      {"max_allocations", [](auto& o) { o.limits.max_allocations = 0; }},
      {"max_permissions_per_allocation",
       [](auto& o) { o.limits.max_permissions_per_allocation = 0; }},
      {"unauthenticated_excess_rate", [](auto& o) { o.limits.unauthenticated_excess_rate = 0; }},
      {"max_s", [](auto& o) { o.lifetimes.max_s = 599; }},
      {"permission_s", [](auto& o) { o.lifetimes.permission_s = 0; }},
  };
  for (const auto& [name, spoil] : cases) {
    EXPECT_NE(Complaint(spoil).find(name), std::string::npos) << name << ": " << Complaint(spoil);
  }
}

TEST_F(OptionsTest, NeverRepeatsASecret) {
  const std::string secret = std::string("hunter2").substr(0, kMinSecretSize - 1);
  EXPECT_EQ(Complaint([&](auto& o) { o.auth.users["x"] = secret; }).find(secret),
            std::string::npos);
  EXPECT_EQ(Complaint([&](auto& o) { o.auth.shared_secrets = {secret}; }).find(secret),
            std::string::npos);
}

}  // namespace
}  // namespace sotto::relay
