// SPDX-License-Identifier: Apache-2.0
// Drain: nothing new, and what stands goes on until its end or the deadline.
#include <set>

#include "relay/turn/server_fixture.h"

namespace sotto::relay {
namespace {

using enum StunAttributeType;

const TransportAddress kPeer = At("198.51.100.7:5000");
constexpr uint8_t kMedia[] = {1, 2, 3};

class DrainTest : public ServerTest {
 protected:
  static ServerOptions CallOptions() {
    ServerOptions options = Options();
    options.peers = {.kind = PeerPolicyKind::kCall};
    options.auth.users.clear();
    for (const char* leg : {"c/a", "c/b", "d/a", "d/b", "e/a"}) {
      options.auth.users[leg] = kPassword;
    }
    return options;
  }
  uint64_t Refused() const {
    return server->counters().refusals[static_cast<size_t>(Refusal::kDraining)];
  }
  static std::optional<TransportAddress> AlternateOf(const Reply& reply) {
    const auto message = reply.message();
    const auto value = message ? message->Find(kAlternateServer) : std::nullopt;
    if (!value || (value->value.size() != 8 && value->value.size() != 20)) return std::nullopt;
    // In the clear, as MAPPED-ADDRESS.
    const uint8_t* bytes = value->value.data();
    EXPECT_EQ(bytes[0], 0);
    EXPECT_EQ(bytes[1], value->value.size() == 8 ? 1 : 2);
    const IpAddress ip = bytes[1] == 1 ? IpAddress::V4(bytes[4], bytes[5], bytes[6], bytes[7])
                                       : IpAddress::V6(std::span<const uint8_t, 16>(bytes + 4, 16));
    return TransportAddress{ip, LoadBe16(bytes + 2)};
  }
};

TEST_F(DrainTest, RefusesWhatIsNewAndKeepsWhatStands) {
  Start();
  TestClient client = Client();
  const TransactionId id = client.NewId();
  client.Challenge(now);
  const Bytes allocate = client.Build(StunMethod::kAllocate, id, TestClient::AddUdp);
  ASSERT_TRUE(client.SendRaw(allocate, now).success());
  EXPECT_FALSE(server->drain().draining);
  server->Drain(std::nullopt);
  EXPECT_TRUE(server->drain().draining);

  TestClient late = Client();
  const Reply refused = late.Allocate(now);
  EXPECT_EQ(refused.error, 508);
  EXPECT_TRUE(late.Trusts(refused));
  EXPECT_FALSE(refused.message()->Has(kAlternateServer));
  EXPECT_EQ(Refused(), 1u);
  EXPECT_EQ(Client(kUser, "a-wrong-password").Allocate(now).error, 401);

  EXPECT_TRUE(client.SendRaw(allocate, now).success());  // a retransmission
  EXPECT_TRUE(client.Bind(now, 0x4001, kPeer).success());
  EXPECT_TRUE(client.Permit(now, {At("198.51.100.9:1")}).success());
  EXPECT_EQ(client.SendChannel(now, 0x4001, kMedia).outcome.kind, Outcome::Kind::kToPeer);
  for (int i = 0; i < 10; ++i) {
    Pass(500);
    client.Learn(client.Refresh(now));  // a stale nonce, at times
    EXPECT_TRUE(client.Refresh(now).success());
    TickAll();
  }
  EXPECT_EQ(server->allocation_count(), 1u);

  server->Undrain();
  EXPECT_FALSE(server->drain().draining);
  late.Challenge(now);
  EXPECT_TRUE(late.Allocate(now).success());
}

TEST_F(DrainTest, ARefusalIsNotRememberedPastTheDrain) {
  Start();
  server->Drain(std::nullopt);
  TestClient client = Client();
  client.Challenge(now);
  const Bytes allocate = client.Build(StunMethod::kAllocate, client.NewId(), TestClient::AddUdp);
  EXPECT_EQ(Reply(client.SendRaw(allocate, now)).error, 508);
  server->Undrain();
  EXPECT_TRUE(client.SendRaw(allocate, now).success());
}

TEST_F(DrainTest, SendsClientsToAnAlternateOfTheirFamily) {
  ServerOptions options = Options();
  options.alternates = {At("192.0.2.21:3478"), At("192.0.2.22:3479"), At("[2001:db8::21]:3478")};
  Start(options);
  server->Drain(std::nullopt);
  std::set<TransportAddress> seen;
  for (int i = 0; i < 100; ++i) {
    TestClient client = Client();
    const Reply reply = client.Allocate(now);
    ASSERT_EQ(reply.error, 300);
    ASSERT_TRUE(client.Trusts(reply));
    const auto alternate = AlternateOf(reply);
    ASSERT_TRUE(alternate);
    seen.insert(*alternate);
  }
  EXPECT_EQ(seen, (std::set{At("192.0.2.21:3478"), At("192.0.2.22:3479")}));
  TestClient v6(*server, {At("[2001:db8:1::5]:4000"), At("[2001:db8::10]:3478")},
                std::string(kUser), std::string(kPassword));
  const Reply reply = v6.Allocate(now);
  EXPECT_EQ(reply.error, 300);
  EXPECT_EQ(AlternateOf(reply), At("[2001:db8::21]:3478"));
  EXPECT_EQ(Refused(), 101u);
  EXPECT_EQ(server->counters().error_responses[300], 101u);

  options.alternates = {At("192.0.2.21:3478")};
  ASSERT_TRUE(server->Reconfigure(options).ok());
  TestClient none(*server, {At("[2001:db8:1::5]:4001"), At("[2001:db8::10]:3478")},
                  std::string(kUser), std::string(kPassword));
  EXPECT_EQ(none.Allocate(now).error, 508);
}

TEST_F(DrainTest, EndsWhatIsLeftAtTheDeadline) {
  Start();
  for (int i = 0; i < 5; ++i) Allocated();
  server->Drain(now.monotonic_ms + 60'000);
  Pass(59);
  TickAll();
  EXPECT_EQ(server->allocation_count(), 5u);
  server->Drain(now.monotonic_ms + 60'000);  // another deadline
  Pass(59);
  TickAll();
  EXPECT_EQ(server->allocation_count(), 5u);
  Pass(1);
  TickAll();
  EXPECT_EQ(server->allocation_count(), 0u);
  EXPECT_TRUE(plane.legs.empty());
  EXPECT_EQ(server->ports_in_use(), 0u);
  EXPECT_EQ(server->counters().allocations_ended, 5u);
  EXPECT_EQ(server->counters().allocations_expired, 0u);
  EXPECT_EQ(Client().Allocate(now).error, 508);
}

TEST_F(DrainTest, ForGoodIsForGood) {
  Start();
  server->Drain(std::nullopt);
  server->Undrain();
  EXPECT_FALSE(server->drain().draining);
  server->Drain(now.monotonic_ms + 5000, true);
  server->Undrain();
  EXPECT_TRUE(server->drain().draining);
  EXPECT_EQ(Client().Allocate(now).error, 508);
  server->Drain(now.monotonic_ms + 1000);  // sooner is possible
  EXPECT_EQ(server->drain().deadline, now.monotonic_ms + 1000);
  server->Undrain();
  EXPECT_TRUE(server->drain().draining);
}

TEST_F(DrainTest, CallsThatAreHereGoOnAndOthersDoNotBegin) {
  Start(CallOptions());
  TestClient a = Allocated("c/a", kPassword);
  ASSERT_TRUE(server->ArmCall("e", now).ok());
  server->Drain(std::nullopt);
  // The other leg, another network of a leg, a leg that an armed call waits for.
  EXPECT_TRUE(Client("c/b", kPassword).Allocate(now).success());
  EXPECT_TRUE(Client("c/a", kPassword).Allocate(now).success());
  EXPECT_TRUE(Client("e/a", kPassword).Allocate(now).success());
  EXPECT_EQ(Client("d/a", kPassword).Allocate(now).error, 508);
  EXPECT_TRUE(server->ArmCall("c", now).ok());
  EXPECT_TRUE(server->FindCall("c", now)->armed);
  const absl::Status refused = server->ArmCall("d", now);
  EXPECT_EQ(refused.code(), absl::StatusCode::kFailedPrecondition) << refused;
  EXPECT_EQ(server->FindCall("d", now).status().code(), absl::StatusCode::kNotFound);
  // Past the deadline there is nothing to be had, for what would end at once.
  server->Drain(now.monotonic_ms);
  EXPECT_EQ(Client("c/b", kPassword).Allocate(now).error, 508);
  server->Drain(std::nullopt);
  // A call that is over doesn't come back.
  ASSERT_TRUE(server->EndCall("c", now).ok());
  EXPECT_EQ(Client("c/a", kPassword).Allocate(now).error, 508);
  EXPECT_EQ(Refused(), 3u);
}

TEST(DrainOptions, NameTheAlternatesThatCantBe) {
  ServerOptions options;
  options.realm = "example.org";
  options.listen = {At("192.0.2.10:3478")};
  options.relay_addresses = {Ip("192.0.2.10")};
  options.auth.users = {{"alice", "a-long-password"}};
  for (const auto& [alternate, said] :
       {std::pair{"192.0.2.11:0", "can send to"}, {"192.0.2.10:3478", "this relay's own"}}) {
    options.alternates = {At(alternate)};
    const absl::Status status = options.Validate();
    EXPECT_NE(std::string(status.message()).find(said), std::string::npos) << status;
  }
  options.alternates.assign(17, At("192.0.2.11:3478"));
  EXPECT_NE(std::string(options.Validate().message()).find("must have at most 16"),
            std::string::npos);
}

}  // namespace
}  // namespace sotto::relay
