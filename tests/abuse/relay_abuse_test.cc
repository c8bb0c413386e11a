// SPDX-License-Identifier: Apache-2.0
// What has gone wrong in other TURN servers, held against this one: a test for each row of the
// abuse list that concerns the server core. tests/abuse/CMakeLists.txt makes each a ctest entry.
#include "tests/abuse/relay_abuse.h"

#include <malloc.h>

#include <algorithm>
#include <cstdlib>
#include <random>
#include <set>

namespace {

// How often, and over how many bytes, secrets have been compared.
struct Comparisons {
  size_t calls = 0;
  size_t bytes = 0;
};
Comparisons comparisons;

}  // namespace

// Stands before OpenSSL's own, so that a comparison that goes another way is missed by the count.
extern "C" int CRYPTO_memcmp(const void* a, const void* b, size_t size) {
  ++comparisons.calls;
  comparisons.bytes += size;
  const auto* x = static_cast<const volatile uint8_t*>(a);
  const auto* y = static_cast<const volatile uint8_t*>(b);
  int difference = 0;
  for (size_t i = 0; i < size; ++i) difference |= x[i] ^ y[i];
  return difference;
}

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
extern "C" size_t __sanitizer_get_current_allocated_bytes();
#endif

namespace sotto::relay {
namespace {

using enum StunAttributeType;

constexpr auto kMobilityTicket = static_cast<StunAttributeType>(0x8030);  // RFC 8016

size_t HeapInUse() {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  return __sanitizer_get_current_allocated_bytes();
#else
  return mallinfo2().uordblks + mallinfo2().hblkhd;
#endif
}

TEST_F(RelayAbuse, reflector) {
  ServerOptions options = Options();
  options.limits.unauthenticated_excess_rate = 1000;
  options.limits.unauthenticated_excess_burst = 5000;
  Start(options);
  TestClient client = Client();
  client.Challenge(now);
  TestClient stranger = client;
  stranger.set_credentials("mallory", "not-the-password");
  TestClient without = client;
  without.integrity = false;

  size_t in = 0;
  size_t out = 0;
  const auto count = [&](TestClient& from, StunMethod method, const TestClient::Extra& extra) {
    const Bytes request = from.Build(method, from.NewId(), extra);
    in += request.size();
    out += from.SendRaw(request, now).bytes.size();
  };
  constexpr int kSeconds = 10;
  for (int i = 0; i < 1000 * kSeconds; ++i) {
    now.monotonic_ms += 1;
    count(without, StunMethod::kBinding, {});   // 200
    count(without, StunMethod::kAllocate, {});  // 401
    count(stranger, StunMethod::kRefresh, {});  // 401
    count(without, StunMethod::kAllocate,
          [](StunBuilder& b) { b.AddIntegrity(Bytes(16)); });  // 400
    count(without, StunMethod::kBinding, [](StunBuilder& b) {  // 420
      b.AddEmpty(static_cast<StunAttributeType>(0x7fff));
    });
    // Not requests at all, or not ones for a server: silence.
    const Bytes nothing(20);
    in += nothing.size();
    out += without.SendRaw(nothing, now).bytes.size();
  }
  // The burst at most on top of what was sent, and the rate.
  EXPECT_LE(out, in + 5000 + 1000 * kSeconds);
  EXPECT_GT(Discarded(Discard::kAnswerBudget), 0u);
}

TEST_F(RelayAbuse, flood_state) {
  Start();
  TestClient client = Client();
  client.Challenge(now);
  const Bytes bare = [&] {
    client.integrity = false;
    return client.Build(StunMethod::kAllocate, client.NewId(), TestClient::AddUdp);
  }();
  client.integrity = true;
  client.set_credentials("mallory", "not-the-password");
  const Bytes forged = client.Build(StunMethod::kAllocate, client.NewId(), TestClient::AddUdp);
  Bytes buffer(4096);
  const auto flood = [&](uint32_t first, uint32_t count) {
    for (uint32_t i = first; i < first + count; ++i) {
      const ClientPath path = {
          {IpAddress::V4(8, static_cast<uint8_t>(i >> 16), static_cast<uint8_t>(i >> 8),
                         static_cast<uint8_t>(i)),
           static_cast<uint16_t>(i)},
          At("192.0.2.10:3478")};
      server->HandleClientDatagram(path, bare, now, buffer);
      server->HandleClientDatagram(path, forged, now, buffer);
    }
  };
  flood(0, 100);
  const size_t before = HeapInUse();
  flood(100, 50'000);
  EXPECT_LE(HeapInUse(), before + 4096);  // 100,000 packets: not a byte each
  EXPECT_EQ(server->allocation_count(), 0u);
  EXPECT_EQ(server->ports_in_use(), 0u);
  EXPECT_TRUE(plane.legs.empty());
}

TEST_F(RelayAbuse, predictable) {
  // Everything that an attacker may seed or have seen is the same in both runs.
  struct Run {
    std::vector<uint16_t> ports;
    std::vector<Bytes> tokens;
    std::string nonce;
    std::vector<TransactionId> indications;
  };
  const auto run = [&] {
    srand(1);
    srandom(1);
    Start();
    Run result;
    TestClient first = Client();
    for (int i = 0; i < 200; ++i) {
      const Reply reply = Client().Allocate(now, EvenAndNext);
      result.ports.push_back(reply.relayed().at(0).port);
      const auto token = reply.message()->Find(kReservationToken)->value;
      result.tokens.emplace_back(token.begin(), token.end());
    }
    result.nonce = [&] {
      first.Challenge(now);
      return first.nonce;
    }();
    const TransportAddress relayed = first.Allocate(now).relayed().at(0);
    first.Permit(now, {At("198.51.100.1:1")});
    for (int i = 0; i < 10; ++i) {
      result.indications.push_back(
          FromPeer(relayed, At("198.51.100.1:1"), {}).message()->transaction_id());
    }
    return result;
  };
  const Run one = run();
  const Run two = run();
  EXPECT_NE(one.ports, two.ports);
  EXPECT_NE(one.nonce, two.nonce);
  std::set<Bytes> tokens(one.tokens.begin(), one.tokens.end());
  tokens.insert(two.tokens.begin(), two.tokens.end());
  EXPECT_EQ(tokens.size(), 400u);
  std::set<TransactionId> ids(one.indications.begin(), one.indications.end());
  ids.insert(two.indications.begin(), two.indications.end());
  EXPECT_EQ(ids.size(), 20u);
  // No step from one port to the next comes up again and again.
  std::map<int, int> steps;
  int most = 0;
  for (size_t i = 1; i < one.ports.size(); ++i) {
    most = std::max(most, ++steps[one.ports[i] - one.ports[i - 1]]);
  }
  EXPECT_LE(most, 4);
}

TEST_F(RelayAbuse, after_integrity) {
  Start();
  for (bool sha256 : {false, true}) {
    TestClient client = Client();
    client.sha256 = sha256;
    ASSERT_TRUE(client.Allocate(now).success());
    const auto append = [](Bytes request, const TestClient::Extra& extra) {
      Bytes tail(256);
      StunBuilder builder(tail, StunMethod::kBinding, StunClass::kRequest, {});
      extra(builder);
      const std::span<uint8_t> added = builder.Finish();
      request.insert(request.end(), added.begin() + kStunHeaderSize, added.end());
      StoreBe16(&request[2], static_cast<uint16_t>(request.size() - kStunHeaderSize));
      return request;
    };
    const Bytes refresh = client.Build(StunMethod::kRefresh, client.NewId());
    const Reply reply =
        client.SendRaw(append(refresh, [](StunBuilder& b) { b.AddU32(kLifetime, 0); }), now);
    EXPECT_TRUE(reply.success());
    EXPECT_EQ(reply.lifetime(), 600u);

    const Bytes permit = client.Build(
        StunMethod::kCreatePermission, client.NewId(),
        [](StunBuilder& b) { b.AddXorAddress(kXorPeerAddress, At("198.51.100.1:1")); });
    EXPECT_TRUE(client
                    .SendRaw(append(permit,
                                    [](StunBuilder& b) {
                                      b.AddEmpty(static_cast<StunAttributeType>(0x7fff));
                                      b.AddXorAddress(kXorPeerAddress, At("198.51.100.2:1"));
                                    }),
                             now)
                    .success());
    EXPECT_EQ(client.Send(now, At("198.51.100.1:1"), {}).outcome.kind, Outcome::Kind::kToPeer);
    EXPECT_EQ(client.Send(now, At("198.51.100.2:1"), {}).outcome.discard, Discard::kNoPermission);
  }
}

TEST_F(RelayAbuse, bid_down) {
  Start();
  TestClient client = Client();
  client.Challenge(now);
  const std::string nonce = client.nonce;
  const Bytes algorithms = client.algorithms;

  // The attacker takes PASSWORD-ALGORITHMS out of the challenge, and makes the nonce agree: the
  // client believes in an old server, and sends MD5 and SHA-1.
  for (const std::string& forged : {"obMatJos2AAAA" + nonce.substr(13), nonce.substr(13)}) {
    client.nonce = forged;
    EXPECT_EQ(client.Allocate(now).error, 438);
  }
  // It leaves the nonce, and only cuts or reorders the list.
  client.sha256 = true;
  client.nonce = nonce;
  for (const Bytes& cut : {Bytes{0, 1, 0, 0}, Bytes{0, 1, 0, 0, 0, 2, 0, 0}, Bytes{0, 2, 0, 0}}) {
    client.algorithms = cut;
    EXPECT_EQ(client.Allocate(now).error, 400);
  }
  client.algorithms = algorithms;
  EXPECT_TRUE(client.Allocate(now).success());
}

TEST_F(RelayAbuse, uninitialised) {
  Start();
  TestClient client = Client();
  TestClient bare = client;
  bare.integrity = false;
  client.Challenge(now);
  client.fingerprint = true;
  const auto build = [&](TestClient& from, StunMethod method, const TestClient::Extra& extra = {}) {
    return from.Build(method, from.NewId(), extra);
  };
  const auto peer = [](StunBuilder& b) { b.AddXorAddress(kXorPeerAddress, At("198.51.100.1:1")); };
  // Each may be sent again and is answered alike.
  const std::vector<Bytes> requests = {
      build(bare, StunMethod::kBinding),
      build(bare, StunMethod::kAllocate),                                              // 401
      build(bare, StunMethod::kAllocate, [](auto& b) { b.AddIntegrity(Bytes(16)); }),  // 400
      build(bare, StunMethod::kBinding,                                                // 420
            [](auto& b) { b.AddEmpty(static_cast<StunAttributeType>(0x7fff)); }),
      build(client, StunMethod::kAllocate, [](auto& b) { TestClient::AddUdp(b), EvenAndNext(b); }),
      build(client, StunMethod::kCreatePermission, peer),
      build(client, StunMethod::kCreatePermission),  // 400
      build(client, StunMethod::kChannelBind,
            [&](auto& b) { peer(b), b.AddU32(kChannelNumber, 0x40000000); }),
      build(client, StunMethod::kRefresh),
      build(client, StunMethod::kAllocate, TestClient::AddUdp),  // 437
  };
  const auto answer = [&](const Bytes& request, uint8_t garbage) {
    Bytes buffer(4096, garbage);
    const Outcome outcome = server->HandleClientDatagram(client.path(), request, now, buffer);
    return Bytes(outcome.bytes.begin(), outcome.bytes.end());
  };
  for (size_t i = 0; i < requests.size(); ++i) {
    const Bytes first = answer(requests[i], 0x00);
    EXPECT_FALSE(first.empty()) << i;
    EXPECT_EQ(answer(requests[i], 0xff), first) << i;
    EXPECT_EQ(answer(requests[i], 0x5a), first) << i;
  }
  TransportAddress relayed;
  server->ForEachAllocation(0, UINT32_MAX, false,
                            [&](const AllocationInfo& info) { relayed = *info.relayed_v4; });
  // Data of every length modulo four, on the channel and as indications (but for their ids).
  const auto to_client = [&](uint16_t port, size_t size, bool error, uint8_t garbage) {
    Bytes buffer(4096, garbage);
    const TransportAddress from = {Ip("198.51.100.1"), port};
    const Outcome outcome =
        error ? server->HandlePeerError(relayed, from, {3, 3, 0}, now, buffer)
              : server->HandlePeerDatagram(relayed, from, Bytes(size, 7), now, buffer);
    Bytes bytes(outcome.bytes.begin(), outcome.bytes.end());
    if (const auto message = StunMessage::Parse(bytes)) {
      const auto decoded = message->FindXorAddress(kXorPeerAddress);
      EXPECT_EQ(decoded, from);
      std::fill_n(bytes.begin() + 8, 12, 0);
    }
    return bytes;
  };
  for (uint16_t port : {1, 2}) {
    for (size_t size = 0; size < 9; ++size) {
      for (bool error : {false, true}) {
        const Bytes first = to_client(port, size, error, 0x00);
        EXPECT_FALSE(first.empty());
        EXPECT_EQ(to_client(port, size, error, 0xff), first);
      }
    }
  }
}

TEST_F(RelayAbuse, misaligned) {
  Start();
  TestClient client = Allocated();
  client.fingerprint = true;
  client.Bind(now, 0x4000, At("198.51.100.1:1"));
  const auto peer = [](StunBuilder& b) { b.AddXorAddress(kXorPeerAddress, At("198.51.100.1:1")); };
  const std::vector<Bytes> datagrams = {
      client.Build(StunMethod::kBinding, client.NewId()),
      client.Build(StunMethod::kRefresh, client.NewId()),
      client.Build(StunMethod::kCreatePermission, client.NewId(), peer),
      client.Build(StunMethod::kChannelBind, client.NewId(),
                   [&](auto& b) { peer(b), b.AddU32(kChannelNumber, 0x40000000); }),
      client.Build(
          StunMethod::kSend, client.NewId(), [&](auto& b) { peer(b), b.Add(kData, Bytes(5)); },
          StunClass::kIndication),
      Bytes{0x40, 0x00, 0x00, 0x03, 1, 2, 3},
  };
  for (const Bytes& datagram : datagrams) {
    std::optional<Bytes> first;
    for (size_t offset = 0; offset < 16; ++offset) {
      Bytes in(offset + datagram.size());
      std::ranges::copy(datagram, in.begin() + static_cast<ptrdiff_t>(offset));
      Bytes out(offset + 4096);
      const Outcome outcome = server->HandleClientDatagram(
          client.path(), std::span(in).subspan(offset), now, std::span(out).subspan(offset));
      EXPECT_NE(outcome.kind, Outcome::Kind::kNothing);
      const Bytes bytes(outcome.bytes.begin(), outcome.bytes.end());
      if (!first) first = bytes;
      EXPECT_EQ(bytes, *first) << offset;
    }
  }
}

TEST_F(RelayAbuse, even_port_leak) {
  ServerOptions options = Options();
  options.relay_ports = {50000, 50019};
  options.limits.unauthenticated_excess_rate = 1'000'000;
  Start(options);
  std::mt19937 dice(7);
  std::vector<Bytes> tokens;
  std::vector<TestClient> clients;
  for (int step = 0; step < 5000; ++step) {
    switch (dice() % 5) {
      case 0:
      case 1: {
        clients.push_back(Client());
        const Reply reply = clients.back().Allocate(now, EvenAndNext);
        if (reply.success()) {
          const auto token = reply.message()->Find(kReservationToken)->value;
          tokens.emplace_back(token.begin(), token.end());
        } else {
          EXPECT_EQ(reply.error, 508);
          clients.pop_back();
        }
        break;
      }
      case 2:
        if (tokens.empty()) break;
        clients.push_back(Client());
        if (!clients.back()
                 .Allocate(now, [&](StunBuilder& b) { b.Add(kReservationToken, tokens.back()); })
                 .success()) {
          clients.pop_back();
        }
        if (dice() % 2 == 0) tokens.pop_back();
        break;
      case 3:
        if (clients.empty()) break;
        clients.back().Refresh(now, 0);
        clients.pop_back();
        break;
      default:
        Pass(dice() % 20);
        server->Tick(now, 8);
    }
    ASSERT_EQ(server->ports_in_use(), server->ports_held()) << step;
  }
  EXPECT_GT(server->counters().allocations_created, 500u);
  Pass(3600);
  TickAll();
  EXPECT_EQ(server->ports_in_use(), 0u);
  EXPECT_EQ(server->ports_held(), 0u);
}

TEST_F(RelayAbuse, mobility_quota) {
  ServerOptions options = Options();
  options.limits.max_allocations_per_user = 2;
  Start(options);
  const auto ticket = [](StunBuilder& b) { b.AddEmpty(kMobilityTicket); };
  for (int i = 0; i < 10; ++i) {
    TestClient client = Client();
    const Reply reply = client.Allocate(now, ticket);
    EXPECT_EQ(reply.error, i < 2 ? 0 : 486);
    EXPECT_FALSE(reply.message()->Has(kMobilityTicket));  // not supported, and not promised
  }
  EXPECT_EQ(server->allocation_count(), 2u);
}

TEST_F(RelayAbuse, mobility_flood) {
  Start();
  TestClient client = Client();
  ASSERT_TRUE(client.Allocate(now, [](StunBuilder& b) { b.AddEmpty(kMobilityTicket); }).success());
  TestClient elsewhere = Client();
  elsewhere.Challenge(now);
  const auto move = [&](uint32_t i) {
    return elsewhere.Request(StunMethod::kRefresh, now, [&](StunBuilder& b) {
      Bytes made_up(64);
      StoreBe32(made_up.data(), i);
      b.Add(kMobilityTicket, made_up);
    });
  };
  for (uint32_t i = 0; i < 100; ++i) move(i);
  const size_t before = HeapInUse();
  for (uint32_t i = 0; i < 20'000; ++i) ASSERT_EQ(move(i).error, 437);
  EXPECT_LE(HeapInUse(), before + 4096);
  EXPECT_EQ(server->allocation_count(), 1u);
}

TEST_F(RelayAbuse, timing) {
  ServerOptions options = Options();
  options.auth.shared_secrets = {"the-current-secret", "the-previous-secret"};
  Start(options);
  TestClient client = Client();
  client.Challenge(now);
  const auto cost = [&](const Bytes& request) {
    comparisons = {};
    EXPECT_EQ(client.SendRaw(request, now).error, 401);
    return comparisons;
  };
  for (bool sha256 : {false, true}) {
    client.sha256 = sha256;
    client.set_credentials(std::string(kUser), "not-the-password");
    const Bytes request = client.Build(StunMethod::kAllocate, client.NewId());
    const Comparisons wrong = cost(request);
    // The user's key and each secret, always over the whole MAC.
    const size_t mac_size = sha256 ? 32 : 20;
    EXPECT_EQ(wrong.calls, 3u);
    EXPECT_EQ(wrong.bytes, 3 * mac_size);
    // Wherever the MAC is wrong.
    for (size_t i = 0; i < mac_size; ++i) {
      client.set_credentials(std::string(kUser), std::string(kPassword));
      Bytes spoiled = client.Build(StunMethod::kAllocate, client.NewId());
      spoiled[spoiled.size() - mac_size + i] ^= 1;
      EXPECT_EQ(cost(spoiled).bytes, wrong.bytes) << i;
    }
    // And whoever is asked for: nobody, a time-limited name, or a name that is none.
    for (const char* name : {"mallory", "1900000000:carol", ""}) {
      client.set_credentials(name, "not-the-password");
      const Comparisons other = cost(client.Build(StunMethod::kAllocate, client.NewId()));
      EXPECT_EQ(other.calls, wrong.calls) << name;
      EXPECT_EQ(other.bytes, wrong.bytes) << name;
    }
  }
  // Nonces are secrets too: every one that is well-formed is compared whole.
  client.sha256 = false;
  client.set_credentials(std::string(kUser), std::string(kPassword));
  const std::string nonce = client.nonce;
  for (size_t i = 13; i < nonce.size(); ++i) {
    client.nonce = nonce;
    client.nonce[i] = nonce[i] == 'A' ? 'B' : 'A';
    comparisons = {};
    EXPECT_EQ(client.Request(StunMethod::kRefresh, now).error, 438);
    EXPECT_EQ(comparisons.bytes, 20 + nonce.size()) << i;
  }
}

TEST_F(RelayAbuse, cross_client_nonce) {
  Start();
  TestClient alice = Client();
  alice.Challenge(now);
  // Another port, another host, another family.
  const ClientPath server_side = {{}, At("192.0.2.10:3478")};
  for (std::string_view address :
       {"203.0.113.5:12345", "203.0.113.6:40000", "[2001:db8:2::5]:40000"}) {
    ClientPath path = server_side;
    path.client = At(address);
    TestClient thief(*server, path, std::string(kUser), std::string(kPassword));
    thief.nonce = alice.nonce;
    EXPECT_EQ(thief.Allocate(now).error, 438) << address;
  }
  EXPECT_EQ(server->allocation_count(), 0u);
  EXPECT_TRUE(alice.Allocate(now).success());
}

TEST_F(RelayAbuse, stale_437) {
  Start();
  TestClient before = Client();
  const TransportAddress old = before.Allocate(now).relayed().at(0);
  // The client has crashed, and comes again from the same port: the answer is the RFC's.
  TestClient after(*server, before.path(), std::string(kUser), std::string(kPassword));
  EXPECT_EQ(after.Allocate(now).error, 437);
  // The operator sees the old allocation, by its client's address, and ends it.
  std::optional<LegId> stale;
  server->ForEachAllocation(0, UINT32_MAX, false, [&](const AllocationInfo& info) {
    if (info.path == before.path() && info.username == kUser && info.relayed_v4 == old) {
      stale = info.id;
    }
  });
  ASSERT_TRUE(stale);
  ASSERT_TRUE(server->EndAllocation(*stale, now).ok());
  EXPECT_TRUE(after.Allocate(now).success());
  EXPECT_EQ(server->ports_in_use(), 1u);
}

}  // namespace
}  // namespace sotto::relay

int main(int argc, char** argv) {
  ::testing::InitGoogleTest(&argc, argv);
  const int result = RUN_ALL_TESTS();
  // A row that has lost its test must not pass.
  return ::testing::UnitTest::GetInstance()->test_to_run_count() == 0 ? 1 : result;
}
