// SPDX-License-Identifier: Apache-2.0
// What the compiler makes of legs, permissions and channels, seen as workers see it; and that every
// change on either leg of a call is followed at once.
#include "dataplane/table/compiler.h"

#include <fmt/format.h>
#include <gmock/gmock.h>

#include <random>

#include "dataplane/table/bound_channels.h"

namespace sotto::dataplane {
namespace {

constexpr uint64_t kNow = 1'000'000;
constexpr uint64_t kLater = kNow + 600'000;

TransportAddress At(const char* text) { return TransportAddress::Parse(text).value(); }
IpAddress Ip(const char* text) { return IpAddress::Parse(text).value(); }

class NoFrames final : public FrameSender {
 public:
  void SendFrame(InterfaceId, std::span<const uint8_t>) override {}
};

class CompilerTest : public testing::Test {
 protected:
  static InterfaceTable Interfaces() {
    Interface interface;
    interface.name = "port";
    interface.mac = MacAddress{{2, 0, 0, 0, 0, 1}};
    interface.addresses = {{Ip("198.51.100.1"), IpPrefix::Parse("198.51.100.0/24").value()},
                           {Ip("2001:db8::1"), IpPrefix::Parse("2001:db8::/64").value()}};
    return InterfaceTable::Create({interface}).value();
  }
  static LocalAddressOptions Options() {
    LocalAddressOptions options;
    options.listen = {At("198.51.100.1:3478")};
    options.relay_addresses = {Ip("198.51.100.1"), Ip("2001:db8::1")};
    return options;
  }

  CompilerTest() { Rebuild({16, 16, 16}); }

  void Rebuild(const TableSizes& sizes) {
    compiler_.reset();
    tables_ = Tables::Create(sizes, locals_, 1, 0).value();
    compiler_ = std::make_unique<ForwardingCompiler>(locals_, neighbors_, *tables_, 16);
  }

  relay::ForwardingLeg Leg(relay::LegId id) {
    relay::ForwardingLeg leg;
    leg.id = id;
    leg.path = {At(fmt::format("198.51.100.{}:{}", 10 + id, 40000 + id).c_str()),
                At("198.51.100.1:3478")};
    leg.relayed_v4 = Relayed(id);
    leg.expires_at = kLater;
    return leg;
  }
  static TransportAddress Relayed(relay::LegId id) {
    return At(fmt::format("198.51.100.1:{}", 50000 + id).c_str());
  }

  void Add(const relay::ForwardingLeg& leg) { ASSERT_TRUE(compiler_->Upsert(leg).ok()); }
  void Permit(relay::LegId leg, uint64_t until = kLater) {
    ASSERT_TRUE(
        compiler_->Upsert(relay::ForwardingPermission{leg, Ip("198.51.100.1"), until}).ok());
  }
  void Bind(relay::LegId leg, uint16_t number, relay::LegId to, uint64_t until = kLater) {
    ASSERT_TRUE(compiler_->Upsert(relay::ForwardingChannel{leg, number, Relayed(to), until}).ok());
  }
  // Legs 1 and 2 in a call, channel 0x4001 and 0x4002.
  void Call(relay::CallSide one = {}, relay::CallSide two = {}) {
    relay::ForwardingLeg first = Leg(1);
    relay::ForwardingLeg second = Leg(2);
    first.call = one;
    second.call = two;
    Add(first);
    Add(second);
    Permit(1);
    Permit(2);
    Bind(1, 0x4001, 2);
    Bind(2, 0x4002, 1);
  }

  const ChannelRecord* Channel(relay::LegId leg, uint16_t number) {
    const TransportAddress client = Leg(leg).path.client;
    return tables_->channels().Find(MakeClientKey(client.ip, client.port, number, 0));
  }
  bool Fused(relay::LegId leg, uint16_t number, uint64_t at = kNow) {
    const ChannelRecord* record = Channel(leg, number);
    return record != nullptr && record->out_channel() != 0 &&
           CoarseNow(at) < record->direct_until.load();
  }
  bool BothFused() { return Fused(1, 0x4001) && Fused(2, 0x4002); }
  bool NeitherFused() { return !Fused(1, 0x4001) && !Fused(2, 0x4002); }

  InterfaceTable interfaces_ = Interfaces();
  LocalAddresses locals_{interfaces_, Options()};
  NextHopTable next_hops_{64};
  NoFrames frames_;
  Neighbors neighbors_{interfaces_, next_hops_, frames_};
  std::unique_ptr<Tables> tables_;
  std::unique_ptr<ForwardingCompiler> compiler_;
};

TEST_F(CompilerTest, TwoLegsThatBoundEachOtherAreFused) {
  Call();
  EXPECT_TRUE(BothFused());
  EXPECT_EQ(compiler_->fused_channels(), 2u);
  EXPECT_EQ(Channel(1, 0x4001)->out_channel(), 0x4002);
  EXPECT_EQ(Channel(2, 0x4002)->out_channel(), 0x4001);
}

TEST_F(CompilerTest, TheOrderInWhichLegsAppearDoesNotMatter) {
  Add(Leg(1));
  Permit(1);
  Bind(1, 0x4001, 2);  // before leg 2 exists
  EXPECT_TRUE(NeitherFused());
  Add(Leg(2));
  Bind(2, 0x4002, 1);
  EXPECT_TRUE(Fused(2, 0x4002));
  EXPECT_FALSE(Fused(1, 0x4001)) << "leg 2 has not permitted leg 1";
  Permit(2);
  EXPECT_TRUE(BothFused());
}

TEST_F(CompilerTest, APermissionThatGoesUnfusesWhatItLetIn) {
  Call();
  compiler_->RemovePermission(2, Ip("198.51.100.1"));
  EXPECT_FALSE(Fused(1, 0x4001));
  EXPECT_TRUE(Fused(2, 0x4002));
  EXPECT_EQ(compiler_->fused_channels(), 1u);
  Permit(2);
  EXPECT_TRUE(BothFused());
}

TEST_F(CompilerTest, AChannelThatGoesUnfusesTheOther) {
  Call();
  compiler_->RemoveChannel(2, 0x4002);
  EXPECT_FALSE(Fused(1, 0x4001));
  EXPECT_EQ(Channel(2, 0x4002), nullptr);
  EXPECT_EQ(compiler_->fused_channels(), 0u);
  Bind(2, 0x4009, 1);
  EXPECT_TRUE(Fused(1, 0x4001));
  EXPECT_EQ(Channel(1, 0x4001)->out_channel(), 0x4009);
}

TEST_F(CompilerTest, ALegThatGoesUnfusesTheOtherAndLeavesNothing) {
  Call();
  compiler_->RemoveLeg(2);
  EXPECT_FALSE(Fused(1, 0x4001));
  EXPECT_EQ(Channel(2, 0x4002), nullptr);
  EXPECT_EQ(tables_->FindRelayed(locals_.FindRelayed(Ip("198.51.100.1"), 50002)), nullptr);
  EXPECT_EQ(tables_->permissions().Find(MakePeerKey(2, Ip("198.51.100.1"), 0)), nullptr);
  compiler_->RemoveLeg(1);
  EXPECT_EQ(compiler_->fused_channels(), 0u);
  tables_->ReclaimAll();
  EXPECT_EQ(tables_->retired(), 0u);
  EXPECT_EQ(neighbors_.size(), 0u);
}

TEST_F(CompilerTest, AnotherLegOnTheSamePortGetsARewriteOfItsOwn) {
  Call();
  compiler_->RemoveLeg(2);
  tables_->ReclaimAll();  // so that the new leg's record may be where the old one's was
  relay::ForwardingLeg other = Leg(3);
  other.relayed_v4 = Relayed(2);
  Add(other);
  Permit(3);
  Bind(3, 0x4002, 1);
  ASSERT_TRUE(Fused(1, 0x4001));
  EXPECT_EQ(Channel(1, 0x4001)->out.destination_port, 40003) << "to the old client";
}

TEST_F(CompilerTest, FusingEndsWithWhateverEndsFirst) {
  const uint64_t soon = kNow + 10'000;
  const auto ends_soon = [&] { return Fused(1, 0x4001, kNow) && !Fused(1, 0x4001, soon + 128); };
  Call();
  EXPECT_FALSE(ends_soon());
  Bind(1, 0x4001, 2, soon);
  EXPECT_TRUE(ends_soon()) << "its own channel";
  Bind(1, 0x4001, 2);
  Bind(2, 0x4002, 1, soon);
  EXPECT_TRUE(ends_soon()) << "the other's channel";
  Bind(2, 0x4002, 1);
  Permit(2, soon);
  EXPECT_TRUE(ends_soon()) << "the other's permission";
  Permit(2);
  Permit(1, soon);
  EXPECT_FALSE(ends_soon()) << "sending over a channel needs no permission of one's own";
  relay::ForwardingLeg leg = Leg(1);
  leg.expires_at = soon;
  Add(leg);
  EXPECT_TRUE(ends_soon()) << "its own leg";
  Add(Leg(1));
  leg = Leg(2);
  leg.expires_at = soon;
  Add(leg);
  EXPECT_TRUE(ends_soon()) << "the other's leg";
  Add(Leg(2));
  EXPECT_FALSE(ends_soon());
}

TEST_F(CompilerTest, OnlyTheTwoSidesOfOneArmedCallAreFused) {
  const relay::CallSide a{7, 0, true};
  const relay::CallSide b{7, 1, true};
  Call(a, b);
  EXPECT_TRUE(BothFused());
  for (const relay::CallSide& wrong : {relay::CallSide{7, 1, false}, relay::CallSide{8, 1, true},
                                       relay::CallSide{7, 0, true}, relay::CallSide{}}) {
    relay::ForwardingLeg leg = Leg(2);
    leg.call = wrong;
    Add(leg);
    EXPECT_TRUE(NeitherFused());
    leg.call = b;
    Add(leg);
    EXPECT_TRUE(BothFused()) << "armed again";
  }
}

TEST_F(CompilerTest, AClientThatMovesTakesItsChannelsAlong) {
  Call();
  relay::ForwardingLeg moved = Leg(2);
  moved.path.client = At("198.51.100.99:9999");
  Add(moved);
  EXPECT_EQ(Channel(2, 0x4002), nullptr) << "at the old address";
  ASSERT_TRUE(Fused(1, 0x4001));
  EXPECT_EQ(Channel(1, 0x4001)->out.destination_port, 9999);
}

TEST_F(CompilerTest, AClientMovesWhileEveryTableIsFull) {
  // A new rewrite for the other leg takes a record more, for a moment.
  for (const bool room_to_fuse : {true, false}) {
    Rebuild({2, room_to_fuse ? 3u : 2u, 2});
    Call();
    relay::ForwardingLeg moved = Leg(2);
    for (const char* client : {"198.51.100.99:9999", "198.51.100.98:9998", "198.51.100.99:9999"}) {
      moved.path.client = At(client);
      ASSERT_TRUE(compiler_->Upsert(moved).ok()) << client;
      EXPECT_NE(tables_->channels().Find(
                    MakeClientKey(moved.path.client.ip, moved.path.client.port, 0x4002, 0)),
                nullptr);
      // Without that record, packets take the slow path; none goes to where the client was.
      EXPECT_EQ(Fused(1, 0x4001), room_to_fuse) << client;
      if (room_to_fuse) {
        EXPECT_EQ(Channel(1, 0x4001)->out.destination_port, moved.path.client.port);
      }
    }
  }
}

TEST_F(CompilerTest, AMoveThatIsRefusedChangesNothing) {
  Call();
  const auto refused = [&](relay::ForwardingLeg moved) {
    const absl::Status status = compiler_->Upsert(moved);
    EXPECT_TRUE(BothFused());
    EXPECT_EQ(Channel(1, 0x4001)->out.destination_port, Leg(2).path.client.port);
    std::vector<TransportAddress> clients;
    compiler_->List([&](const relay::ForwardingLeg& leg) { clients.push_back(leg.path.client); });
    EXPECT_THAT(clients, testing::ElementsAre(Leg(1).path.client, Leg(2).path.client));
    return status;
  };
  relay::ForwardingLeg moved = Leg(2);
  moved.path.server = At("198.51.100.1:3479");
  EXPECT_TRUE(absl::IsInvalidArgument(refused(moved))) << "a port at which nobody listens";
  moved = Leg(2);
  moved.relayed_v4 = At("198.51.100.3:50002");
  EXPECT_TRUE(absl::IsInvalidArgument(refused(moved))) << "an address that isn't the relay's";

  // Next hops are used up by hosts on the link.
  for (int host = 100; neighbors_.Acquire(Ip(fmt::format("198.51.100.{}", host).c_str())).ok();) {
    ASSERT_LT(++host, 250);
  }
  moved = Leg(2);
  moved.path.client = At("198.51.100.99:9999");
  EXPECT_TRUE(absl::IsResourceExhausted(refused(moved)));
}

TEST_F(CompilerTest, FullTablesRefuseAndChangeNothing) {
  Rebuild({4, 2, 2});
  Call();
  EXPECT_TRUE(absl::IsResourceExhausted(
      compiler_->Upsert(relay::ForwardingPermission{1, Ip("198.51.100.77"), kLater})));
  EXPECT_TRUE(absl::IsResourceExhausted(
      compiler_->Upsert(relay::ForwardingChannel{1, 0x4010, At("198.51.100.77:7"), kLater})));
  EXPECT_EQ(Channel(1, 0x4010), nullptr);
  EXPECT_TRUE(BothFused());
  // What is given back can be taken again.
  compiler_->RemoveChannel(2, 0x4002);
  compiler_->RemovePermission(2, Ip("198.51.100.1"));
  EXPECT_TRUE(compiler_->Upsert(relay::ForwardingPermission{1, Ip("198.51.100.77"), kLater}).ok());
  EXPECT_TRUE(
      compiler_->Upsert(relay::ForwardingChannel{1, 0x4010, At("198.51.100.77:7"), kLater}).ok());
}

// As workers look it up: the number under which the peer's packets reach the client; 0 if none.
uint16_t NumberOf(const Tables& tables, relay::LegId leg, const TransportAddress& peer) {
  const PermissionRecord* permission = tables.permissions().Find(MakePeerKey(leg, peer.ip, 0));
  if (permission == nullptr) return 0;
  return FindBound(tables, *permission, peer.port).number;
}

TEST_F(CompilerTest, APeersAddressHasAnyNumberOfChannels) {
  Add(Leg(1));
  const auto peer = [](int i) { return At(fmt::format("198.51.100.77:{}", 1000 + i).c_str()); };
  const auto number = [](int i) { return static_cast<uint16_t>(0x4000 + i); };
  // In any order, so that those beyond the first few are sometimes all that is left.
  std::mt19937 random(3);
  std::vector<bool> bound(8);
  for (int i = 0; i < 2000; ++i) {
    const int n = static_cast<int>(random() % bound.size());
    if (bound[n]) {
      compiler_->RemoveChannel(1, number(n));
    } else {
      ASSERT_TRUE(compiler_->Upsert(relay::ForwardingChannel{1, number(n), peer(n), kLater}).ok());
    }
    bound[n] = !bound[n];
    for (int other = 0; other < static_cast<int>(bound.size()); ++other) {
      EXPECT_EQ(NumberOf(*tables_, 1, peer(other)), bound[other] ? number(other) : 0);
      EXPECT_EQ(Channel(1, number(other)) != nullptr, bound[other]);
    }
    tables_->Reclaim();
  }
  compiler_->RemoveLeg(1);
  tables_->ReclaimAll();
  EXPECT_EQ(tables_->permissions().taken(), 0u);
  EXPECT_EQ(tables_->peers().taken(), 0u);
  EXPECT_EQ(neighbors_.size(), 0u);
}

TEST_F(CompilerTest, AChannelOutlivesItsPermissionAndLetsNothingIn) {
  Call();
  const IpAddress relay = Ip("198.51.100.1");
  compiler_->RemovePermission(2, relay);
  EXPECT_EQ(NumberOf(*tables_, 2, Relayed(1)), 0x4002);
  EXPECT_EQ(tables_->permissions().Find(MakePeerKey(2, relay, 0))->ends.load(), 0u);
  compiler_->RemoveChannel(2, 0x4002);
  EXPECT_EQ(tables_->permissions().Find(MakePeerKey(2, relay, 0)), nullptr);
}

class VirtualPrefixTest : public CompilerTest {
 protected:
  static LocalAddressOptions VirtualOptions() {
    LocalAddressOptions options = Options();
    options.relay_addresses.clear();
    options.virtual_prefix.emplace(IpPrefix::Parse("100.64.0.0/24").value());
    return options;
  }
  VirtualPrefixTest() {
    compiler_.reset();
    tables_ = Tables::Create({16, 16, 16}, virtual_locals_, 1, 0).value();
    compiler_ = std::make_unique<ForwardingCompiler>(virtual_locals_, neighbors_, *tables_, 16);
    const relay::VirtualPrefix prefix(IpPrefix::Parse("100.64.0.0/24").value());
    for (relay::LegId id : {1, 2}) {
      legs_[id] = Leg(id);
      legs_[id].relayed_v4 = TransportAddress{prefix.At(id), static_cast<uint16_t>(50000 + id)};
      legs_[id].call = {7, static_cast<uint8_t>(id - 1), true};
    }
  }
  ~VirtualPrefixTest() override { compiler_.reset(); }  // before what it refers to

  void Join(relay::LegId leg, relay::LegId other, uint16_t number) {
    const TransportAddress peer = *legs_[other].relayed_v4;
    ASSERT_TRUE(compiler_->Upsert(relay::ForwardingPermission{leg, peer.ip, kLater}).ok());
    ASSERT_TRUE(compiler_->Upsert(relay::ForwardingChannel{leg, number, peer, kLater}).ok());
  }

  LocalAddresses virtual_locals_{interfaces_, VirtualOptions()};
  std::array<relay::ForwardingLeg, 3> legs_;
};

TEST_F(VirtualPrefixTest, LegsOfACallAreFused) {
  for (relay::LegId id : {1, 2}) Add(legs_[id]);
  Join(1, 2, 0x4001);
  Join(2, 1, 0x4002);
  EXPECT_TRUE(BothFused());
  EXPECT_EQ(Channel(1, 0x4001)->out_channel(), 0x4002);
  compiler_->RemoveLeg(2);
  EXPECT_FALSE(Fused(1, 0x4001));
  EXPECT_EQ(tables_->FindRelayed(2), nullptr);
  compiler_->RemoveLeg(1);
}

TEST_F(VirtualPrefixTest, ALegIsReachedAtItsOwnPortAlone) {
  for (relay::LegId id : {1, 2}) Add(legs_[id]);
  Join(1, 2, 0x4001);
  legs_[1].relayed_v4->port = 4711;
  Join(2, 1, 0x4002);
  EXPECT_TRUE(NeitherFused());
  const auto slot = [&](relay::LegId id) {
    return virtual_locals_.FindRelayed(legs_[id].relayed_v4->ip, 0);
  };
  EXPECT_EQ(tables_->FindRelayed(slot(1), IpFamily::kV4, 4711), nullptr);
  EXPECT_NE(tables_->FindRelayed(slot(1), IpFamily::kV4, 50001), nullptr);
  EXPECT_EQ(tables_->FindRelayed(slot(1), IpFamily::kV6, 50001), nullptr);
}

TEST_F(VirtualPrefixTest, AnAddressBelongsToTheLegOfItsNumber) {
  legs_[1].relayed_v4 = legs_[2].relayed_v4;
  EXPECT_TRUE(absl::IsInvalidArgument(compiler_->Upsert(legs_[1])));
  Add(legs_[2]);
  // What lies beyond the table, and what isn't in the prefix.
  EXPECT_EQ(tables_->FindRelayed(virtual_locals_.FindRelayed(Ip("100.64.0.200"), 1)), nullptr);
  EXPECT_EQ(virtual_locals_.FindRelayed(Ip("100.64.1.1"), 1), kOutside);
  EXPECT_EQ(virtual_locals_.FindRelayed(Ip("198.51.100.1"), 1), kNoRelayed);
}

TEST_F(CompilerTest, NoRecordIsReusedWhileAWorkerMayHoldIt) {
  Call();
  tables_->RegisterReader(0);
  const ChannelRecord* held = Channel(1, 0x4001);
  compiler_->RemoveLeg(1);
  tables_->Reclaim();
  EXPECT_GT(tables_->retired(), 0u);
  EXPECT_EQ(held->out_channel(), 0x4002) << "still as it was";
  tables_->Quiescent(0);
  tables_->Reclaim();
  EXPECT_EQ(tables_->retired(), 0u);
  tables_->UnregisterReader(0);
}

TEST_F(CompilerTest, NothingLeaksInARandomWalk) {
  std::mt19937 random(7);
  const auto below = [&](uint32_t n) { return random() % n; };
  for (int i = 0; i < 20'000; ++i) {
    const relay::LegId leg = 1 + below(6);
    const relay::LegId other = 1 + below(6);
    switch (below(7)) {
      case 0:
        (void)compiler_->Upsert(Leg(leg));
        break;
      case 1:
        if (below(4) == 0) compiler_->RemoveLeg(leg);
        break;
      case 2:
        (void)compiler_->Upsert(relay::ForwardingPermission{leg, Ip("198.51.100.1"), kLater});
        break;
      case 3:
        compiler_->RemovePermission(leg, Ip("198.51.100.1"));
        break;
      case 4:
      case 5:
        (void)compiler_->Upsert(relay::ForwardingChannel{leg, static_cast<uint16_t>(0x4000 + other),
                                                         Relayed(other), kLater});
        break;
      case 6:
        compiler_->RemoveChannel(leg, static_cast<uint16_t>(0x4000 + other));
        break;
    }
    tables_->Reclaim();
  }
  for (relay::LegId leg = 0; leg < 8; ++leg) compiler_->RemoveLeg(leg);
  EXPECT_EQ(compiler_->fused_channels(), 0u);
  tables_->ReclaimAll();
  EXPECT_EQ(neighbors_.size(), 0u);
  // All places are free again.
  for (relay::LegId leg = 0; leg < 16; ++leg) EXPECT_TRUE(compiler_->Upsert(Leg(leg)).ok());
  for (uint16_t n = 0; n < 16; ++n) {
    EXPECT_TRUE(compiler_
                    ->Upsert(relay::ForwardingChannel{n, static_cast<uint16_t>(0x4000 + n),
                                                      Relayed(n), kLater})
                    .ok());
  }
}

}  // namespace
}  // namespace sotto::dataplane
