// SPDX-License-Identifier: Apache-2.0
// The dataplane against the plain TURN server: the same random packets go through both, and what
// comes out must be the same bytes to the same addresses. The server's own data path moves a packet
// leg by leg and knows no table, no fused record and no incremental checksum.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <rte_mempool.h>

#include <cstdlib>
#include <random>

#include "dataplane/l3/neighbors.h"
#include "dataplane/packet/header_template.h"
#include "dataplane/table/compiler.h"
#include "dataplane/worker/forwarder.h"
#include "relay/turn/server_fixture.h"

namespace sotto::dataplane {
namespace {

using relay::At;
using relay::Bytes;
using relay::Ip;
using relay::Outcome;
using relay::TestClient;

constexpr size_t kBuffer = 4096;

class NoFrames final : public FrameSender {
 public:
  void SendFrame(InterfaceId, std::span<const uint8_t>) override {}
};

InterfaceTable OneInterface() {
  Interface interface;
  interface.name = "port";
  interface.mac = MacAddress::Parse("02:00:00:00:00:01").value();
  interface.mtu = 4000;  // sizes are the fixtures' business
  interface.addresses = {{Ip("198.51.100.1"), IpPrefix::Parse("198.51.100.0/24").value()},
                         {Ip("2001:db8:1::1"), IpPrefix::Parse("2001:db8:1::/64").value()}};
  return InterfaceTable::Create({interface}).value();
}

struct Kind {
  const char* name;
  relay::PeerPolicyKind policy;
  bool virtual_relayed = false;
};

relay::ServerOptions Options(const Kind& kind) {
  relay::ServerOptions options;
  options.realm = "example.org";
  options.listen = {At("198.51.100.1:3478"), At("[2001:db8:1::1]:3478")};
  options.relay_addresses = {Ip("198.51.100.1"), Ip("2001:db8:1::1")};
  options.auth.users = {{"demo", "a-long-secret"}};
  for (const char* side : {"one/a", "one/b", "two/a", "two/b", "off/a", "off/b"}) {
    options.auth.users[side] = "a-long-secret";
  }
  options.peers.kind = kind.policy;
  if (kind.virtual_relayed) {
    options.relay_addresses.clear();
    options.virtual_prefix.emplace(IpPrefix::Parse("100.64.0.0/24").value());
  }
  options.peers.allow = {IpPrefix::Parse("198.51.100.0/24").value(),
                         IpPrefix::Parse("2001:db8:1::/64").value()};
  options.limits.max_allocations = 64;
  options.limits.unauthenticated_excess_rate = 1'000'000'000;
  options.limits.unauthenticated_excess_burst = 1'000'000'000;
  return options;
}

// A datagram that left the relay.
struct Sent {
  TransportAddress from, to;
  bool dont_fragment = false;
  Bytes payload;
};

class Twins {
 public:
  explicit Twins(const Kind& kind)
      : policy_(kind.policy),
        interfaces_(OneInterface()),
        locals_(interfaces_, LocalAddressOptions::From(Options(kind))),
        next_hops_(512),
        neighbors_(interfaces_, next_hops_, frames_),
        tables_(Tables::Create({64, 256, 256}, locals_, 1, 0).value()),
        compiler_(locals_, neighbors_, *tables_, 64),
        server_(Options(kind), compiler_),
        context_{interfaces_, locals_, next_hops_, *tables_, {false}},
        forwarder_(context_, Unlimited(), counters_),
        buffer_(kBuffer) {
    static rte_mempool* pool = rte_pktmbuf_pool_create("differential", 255, 0, kMbufPrivateSize,
                                                       RTE_MBUF_DEFAULT_BUF_SIZE, SOCKET_ID_ANY);
    pool_ = pool;
    SetUp();
  }
  ~Twins() {
    for (rte_mbuf* mbuf : forwarder_.punts()) rte_pktmbuf_free(mbuf);
  }

  void Step() {
    if (Below(20) == 0) now_.monotonic_ms += Below(300);
    if (Below(20) == 0) Churn();
    // Workers look at the clock in ticks and let a record live to the end of its tick; the server
    // is exact. Only whole ticks are compared.
    now_.monotonic_ms = (now_.monotonic_ms + 127) & ~uint64_t{127};
    const TransportAddress source = Below(3) == 0 ? Pick(peers_) : Pick(clients_).path().client;
    const bool v4 = source.ip.is_v4();
    TransportAddress destination = v4 ? At("198.51.100.1:3478") : At("[2001:db8:1::1]:3478");
    if (Below(3) == 0 && !relayed_.empty()) {
      const TransportAddress relayed = Pick(relayed_);
      if (relayed.ip.is_v4() == v4) destination = relayed;
    }
    Compare(source, destination, RandomPayload());
  }

  uint64_t forwarded = 0;
  uint64_t dropped = 0;
  uint64_t left_to_control = 0;

 private:
  static ForwarderOptions Unlimited() {
    constexpr uint32_t kEnough = 1'000'000'000;
    ForwarderOptions options;
    options.budgets = {kEnough, kEnough, kEnough, kEnough};
    return options;
  }

  uint32_t Below(uint32_t n) { return static_cast<uint32_t>(random_() % n); }
  template <typename T>
  T& Pick(std::vector<T>& from) {
    return from[Below(static_cast<uint32_t>(from.size()))];
  }

  void SetUp() {
    const bool call = policy_ == relay::PeerPolicyKind::kCall;
    const char* names[] = {"one/a", "one/b", "two/a", "two/b", "off/a", "off/b"};
    for (int i = 0; i < 6; ++i) {
      const bool v4 = i % 3 != 2;
      const TransportAddress client =
          v4 ? At(fmt::format("198.51.100.{}:{}", 10 + i, 40000 + i))
             : At(fmt::format("[2001:db8:1::{}]:{}", 10 + i, 40000 + i));
      clients_.emplace_back(
          server_,
          relay::ClientPath{client, v4 ? At("198.51.100.1:3478") : At("[2001:db8:1::1]:3478")},
          call ? names[i] : "demo", "a-long-secret");
    }
    for (int i = 0; i < 4; ++i) {
      peers_.push_back(At(fmt::format("198.51.100.{}:{}", 70 + i / 2, 7000 + i)));
      peers_.push_back(At(fmt::format("[2001:db8:1::{}]:{}", 70 + i / 2, 7000 + i)));
    }
    if (call) {
      EXPECT_TRUE(server_.ArmCall("one", now_).ok());
      EXPECT_TRUE(server_.ArmCall("two", now_).ok());
    }
    for (int i = 0; i < 200; ++i) Churn();
  }

  // Something changes: an allocation, a permission, a channel comes, goes or ends.
  void Churn() {
    TestClient& client = Pick(clients_);
    switch (Below(8)) {
      case 0:
      case 1: {
        const auto reply = client.Allocate(now_, [&](relay::StunBuilder& b) {
          const uint32_t families = Below(3);
          if (families == 0) b.AddU8(relay::StunAttributeType::kAdditionalAddressFamily, 2);
          if (families == 1) b.AddU8(relay::StunAttributeType::kRequestedAddressFamily, 2);
        });
        if (reply.error == 438) client.Learn(reply);
        break;
      }
      case 2:
      case 3:
        if (const auto reply = client.Permit(now_, {RandomPeer()}); reply.error == 438) {
          client.Learn(reply);
        }
        break;
      case 4:
      case 5:
      case 6:
        client.Bind(now_, static_cast<uint16_t>(0x4000 + Below(4)), RandomPeer());
        break;
      case 7:
        if (Below(4) == 0) client.Refresh(now_, 0);
        if (Below(4) == 0) now_.monotonic_ms += 50'000;  // permissions and channels end
        if (policy_ == relay::PeerPolicyKind::kCall) {
          (void)(Below(2) == 0 ? server_.ArmCall("off", now_) : server_.DisarmCall("off", now_));
        }
        break;
    }
    server_.Tick(now_, 64);
    tables_->Reclaim();
    const TransportAddress unused = At("198.51.100.1:65535");
    relayed_ = {unused};
    server_.ForEachAllocation(0, UINT32_MAX, false, [&](const relay::AllocationInfo& allocation) {
      if (allocation.relayed_v4) relayed_.push_back(*allocation.relayed_v4);
      if (allocation.relayed_v6) relayed_.push_back(*allocation.relayed_v6);
    });
    neighbors_.ForEach([&](const NeighborInfo& hop) {
      next_hops_.SetResolved(hop.id, MacAddress{{6, 0, 0, 0, 0, 1}});
    });
  }

  TransportAddress RandomPeer() {
    const uint32_t outside = policy_ == relay::PeerPolicyKind::kPublic ? 3 : 10;
    if (relayed_.empty() || Below(outside) == 0) return Pick(peers_);
    return Pick(relayed_);
  }

  Bytes RandomPayload() {
    Bytes data(Below(4) == 0 ? Below(8) : Below(300));
    for (uint8_t& byte : data) byte = static_cast<uint8_t>(random_());
    Bytes payload;
    switch (Below(8)) {
      case 0:
        return data;
      case 1:
      case 2:
      case 3: {
        payload.resize(4 + data.size());
        const uint16_t lie = Below(20) == 0 ? static_cast<uint16_t>(Below(8)) : 0;
        relay::WriteChannelDataHeader(payload.data(), static_cast<uint16_t>(0x4000 + Below(5)),
                                      static_cast<uint16_t>(data.size() + lie));
        std::copy(data.begin(), data.end(), payload.begin() + 4);
        const size_t padding = Below(5);
        for (size_t i = 0; i < padding; ++i) payload.push_back(static_cast<uint8_t>(random_()));
        break;
      }
      case 4: {
        payload.resize(kBuffer);
        relay::StunBuilder builder(
            payload, relay::StunMethod::kBinding,
            Below(4) == 0 ? relay::StunClass::kIndication : relay::StunClass::kRequest,
            clients_[0].NewId());
        if (Below(8) == 0) builder.AddText(relay::StunAttributeType::kSoftware, "random");
        if (Below(30) == 0) builder.AddText(static_cast<relay::StunAttributeType>(0x7f00), "?");
        if (Below(4) == 0) builder.AddFingerprint();
        payload.resize(builder.Finish().size());
        break;
      }
      default:
        payload = clients_[0].Build(
            relay::StunMethod::kSend, clients_[0].NewId(),
            [&](relay::StunBuilder& b) {
              if (Below(30) != 0) {
                b.AddXorAddress(relay::StunAttributeType::kXorPeerAddress, RandomPeer());
              }
              if (Below(8) == 0) b.AddEmpty(relay::StunAttributeType::kDontFragment);
              if (Below(30) == 0) b.AddText(static_cast<relay::StunAttributeType>(0x7f00), "?");
              if (Below(30) != 0) b.Add(relay::StunAttributeType::kData, data);
              if (Below(8) == 0) b.AddText(relay::StunAttributeType::kSoftware, "random");
              if (Below(8) == 0) b.AddFingerprint();
            },
            relay::StunClass::kIndication);
        break;
    }
    if (Below(10) == 0 && !payload.empty()) {
      payload[Below(static_cast<uint32_t>(payload.size()))] ^= static_cast<uint8_t>(1 << Below(8));
    }
    if (Below(20) == 0) payload.resize(Below(static_cast<uint32_t>(payload.size()) + 1));
    return payload;
  }

  static bool IsRequest(const TransportAddress& to, std::span<const uint8_t> payload) {
    const auto message = relay::StunMessage::Parse(payload);
    return to.port == 3478 && message && message->message_class() == relay::StunClass::kRequest;
  }

  // What the server says becomes of the datagram; relayed on inside for as long as it stays there.
  std::optional<Sent> Expected(const TransportAddress& from, const TransportAddress& to,
                               const Bytes& payload) {
    Outcome outcome = to.port == 3478
                          ? server_.HandleClientDatagram({from, to}, payload, now_, buffer_)
                          : server_.HandlePeerDatagram(to, from, payload, now_, buffer_);
    if (outcome.kind == Outcome::Kind::kToPeer &&
        locals_.FindRelayed(outcome.peer.ip, outcome.peer.port) != kOutside) {
      const Bytes data(outcome.bytes.begin(), outcome.bytes.end());
      const TransportAddress source = outcome.relayed;
      if (outcome.peer.port == 3478) return std::nullopt;
      outcome = server_.HandlePeerDatagram(outcome.peer, source, data, now_, buffer_);
    }
    switch (outcome.kind) {
      case Outcome::Kind::kNothing:
        return std::nullopt;
      case Outcome::Kind::kToClient:
        return Sent{outcome.path.server,
                    outcome.path.client,
                    false,
                    {outcome.bytes.begin(), outcome.bytes.end()}};
      case Outcome::Kind::kToPeer:
        break;
    }
    return Sent{outcome.relayed,
                outcome.peer,
                outcome.dont_fragment,
                {outcome.bytes.begin(), outcome.bytes.end()}};
  }

  // What the dataplane makes of it; `to_control` says that it left a STUN request to control, which
  // would give it to the server.
  std::optional<Sent> Actual(const TransportAddress& from, const TransportAddress& to,
                             const Bytes& payload, bool& to_control) {
    const HeaderTemplate header(from, to, kNoNextHop);
    rte_mbuf* mbuf = rte_pktmbuf_alloc(pool_);
    const size_t size = kEthernetHeaderSize + header.size() + payload.size();
    uint8_t* frame =
        reinterpret_cast<uint8_t*>(rte_pktmbuf_append(mbuf, static_cast<uint16_t>(size)));
    std::copy_n(interfaces_.at(0).mac.bytes.begin(), 6, frame);
    std::fill_n(frame + 6, 6, uint8_t{4});
    StoreBe16(frame + 12, header.v4() ? kEtherTypeIpv4 : kEtherTypeIpv6);
    std::copy(payload.begin(), payload.end(), frame + kEthernetHeaderSize + header.size());
    const uint16_t udp_size = static_cast<uint16_t>(payload.size() + kUdpHeaderSize);
    const uint16_t checksum = UdpChecksumField(ChecksumOf(
        SumWords(payload) + header.sum + SumWord(kProtocolUdp) + 2 * uint64_t{SumWord(udp_size)}));
    header.Write(frame + kEthernetHeaderSize, static_cast<uint16_t>(payload.size()),
                 header.v4() && Below(8) == 0 ? 0 : checksum, 1, false);
    mbuf->port = 0;
    forwarder_.Process(&mbuf, 1, now_.monotonic_ms);
    to_control = false;
    for (rte_mbuf* punt : forwarder_.punts()) {
      to_control = NoteOf(punt).kind == PuntKind::kStunRequest && IsRequest(to, payload);
      EXPECT_TRUE(to_control) << "punted as " << static_cast<int>(NoteOf(punt).kind);
      rte_pktmbuf_free(punt);
    }
    forwarder_.punts().clear();
    std::vector<rte_mbuf*>& queue = forwarder_.transmit()[0];
    if (queue.empty()) return std::nullopt;
    const std::span<const uint8_t> out(rte_pktmbuf_mtod(queue[0], const uint8_t*),
                                       queue[0]->data_len);
    Sent sent;
    const bool v4 = LoadBe16(&out[12]) == kEtherTypeIpv4;
    const uint8_t* ip = &out[kEthernetHeaderSize];
    const uint8_t* udp = ip + (v4 ? kIpv4HeaderSize : kIpv6HeaderSize);
    if (v4) {
      sent.from.ip = IpAddress::V4(std::span<const uint8_t, 4>(ip + 12, 4));
      sent.to.ip = IpAddress::V4(std::span<const uint8_t, 4>(ip + 16, 4));
      sent.dont_fragment = (ip[6] & 0x40) != 0;
      EXPECT_EQ(FoldSum(SumWords(ip, kIpv4HeaderSize)), 0xffff);
    } else {
      sent.from.ip = IpAddress::V6(std::span<const uint8_t, 16>(ip + 8, 16));
      sent.to.ip = IpAddress::V6(std::span<const uint8_t, 16>(ip + 24, 16));
    }
    sent.from.port = LoadBe16(udp);
    sent.to.port = LoadBe16(udp + 2);
    const size_t sent_size = LoadBe16(udp + 4);
    sent.payload.assign(udp + kUdpHeaderSize, udp + sent_size);
    EXPECT_EQ(&out[0] + out.size(), udp + sent_size);
    if (!v4 || LoadBe16(udp + 6) != 0) {
      const uint64_t sum = PseudoHeaderSum(sent.from.ip, sent.to.ip, kProtocolUdp,
                                           static_cast<uint32_t>(sent_size)) +
                           SumWords(udp, sent_size);
      EXPECT_EQ(FoldSum(sum), 0xffff) << "UDP checksum";
    }
    rte_pktmbuf_free(queue[0]);
    queue.clear();
    return sent;
  }

  // Transaction ids of Data indications are drawn at random: taken out of the comparison, with what
  // is mixed with them put into the clear.
  static Bytes Comparable(const Bytes& payload) {
    const auto message = relay::StunMessage::Parse(payload);
    if (!message || message->method() != relay::StunMethod::kData) return payload;
    Bytes bytes = payload;
    const auto peer = message->FindXorAddress(relay::StunAttributeType::kXorPeerAddress);
    const auto attribute = message->Find(relay::StunAttributeType::kXorPeerAddress);
    uint8_t value[20];
    const size_t size = relay::EncodeXorAddress(*peer, {}, value);
    std::copy_n(value, size, bytes.begin() + static_cast<long>(attribute->offset) + 4);
    std::fill_n(bytes.begin() + 8, 12, uint8_t{0});
    return bytes;
  }

  void Compare(const TransportAddress& from, const TransportAddress& to, const Bytes& payload) {
    bool to_control = false;
    const std::optional<Sent> actual = Actual(from, to, payload, to_control);
    if (to_control) {
      ++left_to_control;
      return;
    }
    const std::optional<Sent> expected = Expected(from, to, payload);
    ASSERT_EQ(expected.has_value(), actual.has_value())
        << from.ToString() << " to " << to.ToString() << ": " << Hex(payload);
    if (!expected) {
      ++dropped;
      return;
    }
    ++forwarded;
    EXPECT_EQ(actual->from, expected->from);
    EXPECT_EQ(actual->to, expected->to);
    EXPECT_EQ(actual->dont_fragment, expected->dont_fragment);
    ASSERT_EQ(Comparable(actual->payload), Comparable(expected->payload)) << Hex(payload);
  }

  static std::string Hex(const Bytes& bytes) {
    std::string text;
    for (uint8_t byte : bytes) text += fmt::format("{:02x}", byte);
    return text;
  }

  const relay::PeerPolicyKind policy_;
  std::mt19937_64 random_{20260101};
  Now now_{1'000'000, 1'700'000'000};
  InterfaceTable interfaces_;
  LocalAddresses locals_;
  NextHopTable next_hops_;
  NoFrames frames_;
  Neighbors neighbors_;
  std::unique_ptr<Tables> tables_;
  ForwardingCompiler compiler_;
  relay::Server server_;
  ForwarderContext context_;
  WorkerCounters counters_;
  Forwarder forwarder_;
  Bytes buffer_;
  rte_mempool* pool_ = nullptr;
  std::vector<TestClient> clients_;
  std::vector<TransportAddress> peers_;
  std::vector<TransportAddress> relayed_;

 public:
  uint64_t Packets(PacketPath path) const {
    return counters_.paths[static_cast<size_t>(path)].Read();
  }
};

// With each policy; a sanitizer takes ten times as long.
#if defined(__SANITIZE_ADDRESS__)
constexpr int kPackets = 300'000;
#else
constexpr int kPackets = 1'000'000;
#endif

class DifferentialTest : public testing::TestWithParam<Kind> {};

TEST_P(DifferentialTest, TheDataplaneForwardsAsTheServerWould) {
  const char* packets = std::getenv("SOTTO_DIFFERENTIAL_PACKETS");
  const int steps = packets == nullptr ? kPackets : std::atoi(packets);
  Twins twins(GetParam());
  for (int i = 0; i < steps && !HasFailure(); ++i) twins.Step();
  // Not a comparison of drops with drops.
  EXPECT_GT(twins.forwarded, static_cast<uint64_t>(steps) / 100);
  EXPECT_GT(twins.dropped, static_cast<uint64_t>(steps) / 100);
  EXPECT_LT(twins.left_to_control, static_cast<uint64_t>(steps) / 20);
  EXPECT_GT(twins.Packets(PacketPath::kFused), 100u);
  EXPECT_GT(twins.Packets(PacketPath::kSendToLeg), 100u);
  EXPECT_GT(twins.Packets(PacketPath::kBinding), 100u);
  if (GetParam().policy == relay::PeerPolicyKind::kPublic) {
    EXPECT_GT(twins.Packets(PacketPath::kChannelToPeer), 100u);
    EXPECT_GT(twins.Packets(PacketPath::kChannelToLeg), 10u);
    EXPECT_GT(twins.Packets(PacketPath::kSendToPeer), 100u);
    EXPECT_GT(twins.Packets(PacketPath::kPeerToChannel), 100u);
    EXPECT_GT(twins.Packets(PacketPath::kPeerToData), 100u);
  }
}

INSTANTIATE_TEST_SUITE_P(Policies, DifferentialTest,
                         testing::Values(Kind{"Public", relay::PeerPolicyKind::kPublic},
                                         Kind{"Relay", relay::PeerPolicyKind::kRelay},
                                         Kind{"Call", relay::PeerPolicyKind::kCall},
                                         Kind{"CallOverVirtualAddresses",
                                              relay::PeerPolicyKind::kCall, true}),
                         [](const auto& test) { return test.param.name; });

}  // namespace
}  // namespace sotto::dataplane
