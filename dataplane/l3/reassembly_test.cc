// SPDX-License-Identifier: Apache-2.0
#include "dataplane/l3/reassembly.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>
#include <set>

#include "dataplane/l3/headers.h"
#include "dataplane/l3/test_support.h"

namespace sotto::dataplane {
namespace {

using testing::Bytes;
using testing::Ip;
using Outcome = ReassemblyOutcome;

const IpAddress kRelayV4 = Ip("192.0.2.10"), kClientV4 = Ip("192.0.2.77");
const IpAddress kRelayV6 = Ip("2001:db8::10"), kClientV6 = Ip("2001:db8::77");

// One UDP datagram and the frames of its fragments.
struct Whole {
  bool v4 = true;
  uint16_t vlan = 0;
  uint32_t id = 0x1234;
  uint8_t protocol = kProtocolUdp;
  IpAddress source = kClientV4;
  Bytes udp;

  Whole(bool is_v4, size_t size) : v4(is_v4), source(is_v4 ? kClientV4 : kClientV6) {
    Bytes data(size - kUdpHeaderSize);
    std::iota(data.begin(), data.end(), uint8_t{1});
    udp = testing::UdpOf(source, 4000, Destination(), 3478, data);
  }
  const IpAddress& Destination() const { return v4 ? kRelayV4 : kRelayV6; }
  size_t IpOffset() const { return vlan != 0 ? 18 : 14; }

  Bytes Frame(const Bytes& payload, uint8_t first_header, uint16_t fragment_field = 0) const {
    Bytes frame = testing::IpFrame(testing::Station(testing::kPeerMac, vlan), testing::kRelayMac,
                                   {.source = source,
                                    .destination = Destination(),
                                    .protocol = first_header,
                                    .id = static_cast<uint16_t>(id)},
                                   payload);
    if (v4) {
      StoreBe16(&frame[IpOffset() + 6], fragment_field);
      testing::FixIpv4Checksum(frame, IpOffset());
    }
    return frame;
  }
  Bytes Unfragmented() const { return Frame(udp, kProtocolUdp); }
  Bytes Fragment(size_t begin, size_t end) const {
    return Fragment(begin, Bytes(udp.begin() + begin, udp.begin() + end), end < udp.size());
  }
  Bytes Fragment(size_t offset, const Bytes& data, bool more) const {
    if (v4) return Frame(data, protocol, static_cast<uint16_t>(offset / 8 | (more ? 0x2000 : 0)));
    Bytes payload = {protocol, 0};
    payload.resize(8);
    StoreBe16(&payload[2], static_cast<uint16_t>(offset | (more ? 1 : 0)));
    StoreBe32(&payload[4], id);
    payload.insert(payload.end(), data.begin(), data.end());
    return Frame(payload, kProtocolFragment);
  }
};

class ReassemblyTest : public ::testing::TestWithParam<bool> {
 protected:
  explicit ReassemblyTest(const ReassemblyOptions& options = {}) : reassembler_(options) {}

  Outcome Add(const Whole& whole, const Bytes& frame) {
    const Reassembler::Result result = reassembler_.Add(0, frame, whole.IpOffset(), now_ms_);
    EXPECT_EQ(result.frame.empty(), result.outcome != Outcome::kComplete);
    last_.assign(result.frame.begin(), result.frame.end());
    return result.outcome;
  }

  Reassembler reassembler_;
  uint64_t now_ms_ = 1000;
  Bytes last_;
};

class ReassemblyBothFamilies : public ReassemblyTest {};
INSTANTIATE_TEST_SUITE_P(Families, ReassemblyBothFamilies, ::testing::Bool(),
                         [](const auto& family) { return family.param ? "V4" : "V6"; });

TEST_P(ReassemblyBothFamilies, AnyOrderYieldsTheDatagramAsIfNeverFragmented) {
  for (uint16_t vlan : {0, 7}) {
    Whole whole(GetParam(), 1501);
    whole.vlan = vlan;
    std::vector<Bytes> fragments = {whole.Fragment(0, 400), whole.Fragment(400, 1200),
                                    whole.Fragment(1200, 1208), whole.Fragment(1208, 1501)};
    std::vector<int> order = {0, 1, 2, 3};
    do {
      ++whole.id;
      for (int i = 0; i < 3; ++i) {
        EXPECT_EQ(Add(whole, fragments[order[i]]), Outcome::kPending);
      }
      EXPECT_EQ(Add(whole, fragments[order[3]]), Outcome::kComplete);
      Bytes expected = whole.Unfragmented();
      if (GetParam()) {  // all fragments of this loop carry the first id
        Whole original = whole;
        original.id = 0x1234;
        expected = original.Unfragmented();
      }
      EXPECT_EQ(last_, expected);
    } while (std::next_permutation(order.begin(), order.end()));
  }
  EXPECT_EQ(reassembler_.pending(), 0u);
}

TEST_P(ReassemblyBothFamilies, EthernetPaddingIsNoPartOfTheDatagram) {
  const Whole whole(GetParam(), 30);
  Bytes last = whole.Fragment(24, 30);
  last.resize(80, 0xee);
  EXPECT_EQ(Add(whole, whole.Fragment(0, 24)), Outcome::kPending);
  EXPECT_EQ(Add(whole, last), Outcome::kComplete);
  EXPECT_EQ(last_, whole.Unfragmented());
}

TEST_P(ReassemblyBothFamilies, DatagramsDontMix) {
  const Whole a(GetParam(), 100);
  Whole id = a, source = a;
  id.id = 0x1235;
  source.source = GetParam() ? Ip("192.0.2.78") : Ip("2001:db8::78");
  EXPECT_EQ(Add(a, a.Fragment(0, 48)), Outcome::kPending);
  EXPECT_EQ(Add(id, id.Fragment(48, 100)), Outcome::kPending);
  EXPECT_EQ(Add(source, source.Fragment(48, 100)), Outcome::kPending);
  const Bytes elsewhere = a.Fragment(48, 100);
  EXPECT_EQ(reassembler_.Add(1, elsewhere, a.IpOffset(), now_ms_).outcome, Outcome::kPending)
      << "the same addresses on another interface";
  EXPECT_EQ(reassembler_.pending(), 4u);
  EXPECT_EQ(Add(a, a.Fragment(48, 100)), Outcome::kComplete);
}

TEST_P(ReassemblyBothFamilies, RepeatedFragmentsAreIgnored) {
  const Whole whole(GetParam(), 100);
  EXPECT_EQ(Add(whole, whole.Fragment(0, 48)), Outcome::kPending);
  EXPECT_EQ(Add(whole, whole.Fragment(0, 48)), Outcome::kDuplicate);
  EXPECT_EQ(Add(whole, whole.Fragment(56, 100)), Outcome::kPending);
  EXPECT_EQ(Add(whole, whole.Fragment(56, 100)), Outcome::kDuplicate);
  EXPECT_EQ(Add(whole, whole.Fragment(48, 56)), Outcome::kComplete);
  EXPECT_EQ(last_, whole.Unfragmented());
}

TEST_P(ReassemblyBothFamilies, OverlapsLoseTheWholeDatagramAndWhatComesLaterOfIt) {
  struct Case {
    size_t begin, end;
  };
  Whole whole(GetParam(), 200);
  for (const Case& c : {Case{40, 56}, {48, 56}, {0, 48}, {24, 72}, {0, 192}, {64, 200}, {56, 72}}) {
    ++whole.id;
    EXPECT_EQ(Add(whole, whole.Fragment(48, 72)), Outcome::kPending);
    EXPECT_EQ(Add(whole, whole.Fragment(0, 16)), Outcome::kPending);
    EXPECT_EQ(Add(whole, whole.Fragment(c.begin, c.end)), Outcome::kOverlap)
        << c.begin << "-" << c.end;
    EXPECT_EQ(Add(whole, whole.Fragment(16, 48)), Outcome::kOverlap);
    EXPECT_EQ(Add(whole, whole.Fragment(72, 200)), Outcome::kOverlap);
  }
}

TEST_P(ReassemblyBothFamilies, TheSamePlaceWithOtherBytesIsAnOverlap) {
  Whole whole(GetParam(), 100);
  EXPECT_EQ(Add(whole, whole.Fragment(0, 48)), Outcome::kPending);
  Bytes forged = whole.Fragment(0, 48);
  forged.back() ^= 1;
  EXPECT_EQ(Add(whole, forged), Outcome::kOverlap);
  EXPECT_EQ(Add(whole, whole.Fragment(48, 100)), Outcome::kOverlap);
}

TEST_P(ReassemblyBothFamilies, ThereIsOneEndAndNothingBehindIt) {
  Whole whole(GetParam(), 200);
  EXPECT_EQ(Add(whole, whole.Fragment(0, Bytes(48), true)), Outcome::kPending);
  EXPECT_EQ(Add(whole, whole.Fragment(96, Bytes(8), false)), Outcome::kPending);
  EXPECT_EQ(Add(whole, whole.Fragment(120, Bytes(8), false)), Outcome::kOverlap) << "a second end";
  ++whole.id;
  EXPECT_EQ(Add(whole, whole.Fragment(96, Bytes(8), false)), Outcome::kPending);
  EXPECT_EQ(Add(whole, whole.Fragment(104, Bytes(8), true)), Outcome::kOverlap) << "behind the end";
  ++whole.id;
  EXPECT_EQ(Add(whole, whole.Fragment(104, Bytes(8), true)), Outcome::kPending);
  EXPECT_EQ(Add(whole, whole.Fragment(96, Bytes(8), false)), Outcome::kOverlap)
      << "an end before what has come";
  ++whole.id;
  EXPECT_EQ(Add(whole, whole.Fragment(96, Bytes(8), false)), Outcome::kPending);
  EXPECT_EQ(Add(whole, whole.Fragment(96, Bytes(8), true)), Outcome::kOverlap)
      << "the same bytes, but not the end";
}

TEST_P(ReassemblyBothFamilies, ImpossibleLengthsAreMalformed) {
  const Whole whole(GetParam(), 200);
  EXPECT_EQ(Add(whole, whole.Fragment(0, Bytes(47), true)), Outcome::kMalformed);
  EXPECT_EQ(Add(whole, whole.Fragment(8, Bytes(1), true)), Outcome::kMalformed);
  EXPECT_EQ(Add(whole, whole.Fragment(0, Bytes(0), true)), Outcome::kMalformed);
  EXPECT_EQ(Add(whole, whole.Fragment(8, Bytes(0), false)), Outcome::kMalformed);
  EXPECT_EQ(reassembler_.pending(), 0u);
}

TEST_P(ReassemblyBothFamilies, EveryTruncationIsMalformed) {
  const Whole whole(GetParam(), 200);
  const Bytes fragment = whole.Fragment(0, 96);
  for (size_t size = 0; size < fragment.size(); ++size) {
    EXPECT_EQ(Add(whole, Bytes(fragment.begin(), fragment.begin() + size)), Outcome::kMalformed)
        << size;
  }
  EXPECT_EQ(reassembler_.Add(0, fragment, 19, now_ms_).outcome, Outcome::kMalformed);
  EXPECT_EQ(reassembler_.Add(0, fragment, 100'000, now_ms_).outcome, Outcome::kMalformed);
  EXPECT_EQ(reassembler_.pending(), 0u);
}

TEST_P(ReassemblyBothFamilies, WhatIsNoFragmentIsMalformedHere) {
  const Whole whole(GetParam(), 100);
  EXPECT_EQ(Add(whole, whole.Unfragmented()), Outcome::kMalformed);
}

TEST_P(ReassemblyBothFamilies, OtherProtocolsAreRefused) {
  Whole whole(GetParam(), 200);
  whole.protocol = 6;
  EXPECT_EQ(Add(whole, whole.Fragment(0, 96)), Outcome::kNotUdp);
  EXPECT_EQ(reassembler_.pending(), 0u);
}

TEST_P(ReassemblyBothFamilies, TooManyFragmentsLoseTheDatagram) {
  const Whole whole(GetParam(), 200);
  for (size_t i = 0; i < 4; ++i) {
    EXPECT_EQ(Add(whole, whole.Fragment(8 * i, 8 * i + 8)), Outcome::kPending);
  }
  EXPECT_EQ(Add(whole, whole.Fragment(32, 200)), Outcome::kTooManyFragments);
  EXPECT_EQ(Add(whole, whole.Fragment(32, 200)), Outcome::kTooManyFragments);
}

TEST_P(ReassemblyBothFamilies, TheLongestPacketIsBounded) {
  const size_t fits = 2000 - IpHeaderSize(GetParam() ? IpFamily::kV4 : IpFamily::kV6);
  Whole whole(GetParam(), fits);
  EXPECT_EQ(Add(whole, whole.Fragment(0, 1000)), Outcome::kPending);
  EXPECT_EQ(Add(whole, whole.Fragment(1000, fits)), Outcome::kComplete);
  EXPECT_EQ(last_.size(), 2014u);
  EXPECT_EQ(last_, whole.Unfragmented());
  Whole longer(GetParam(), fits + 1);
  ++longer.id;
  EXPECT_EQ(Add(longer, longer.Fragment(0, 1000)), Outcome::kPending);
  EXPECT_EQ(Add(longer, longer.Fragment(1000, fits + 1)), Outcome::kTooLong);
  // The ping of death: an offset and a length that pass 65535 together.
  ++longer.id;
  EXPECT_EQ(Add(longer, longer.Fragment(65528, Bytes(1000), false)), Outcome::kTooLong);
}

TEST_P(ReassemblyBothFamilies, IncompleteDatagramsEndInTime) {
  const Whole whole(GetParam(), 200);
  EXPECT_EQ(Add(whole, whole.Fragment(0, 96)), Outcome::kPending);
  now_ms_ += 1'999;
  reassembler_.Expire(now_ms_);
  EXPECT_EQ(reassembler_.pending(), 1u);
  now_ms_ += 1;
  EXPECT_EQ(Add(whole, whole.Fragment(96, 200)), Outcome::kPending) << "a datagram of its own";
  EXPECT_EQ(reassembler_.counters().timed_out, 1u);
  now_ms_ += 2'000;
  reassembler_.Expire(now_ms_);
  EXPECT_EQ(reassembler_.pending(), 0u);
}

TEST_F(ReassemblyTest, AtomicFragmentsAreWholeByThemselves) {
  const Whole whole(false, 200);
  EXPECT_EQ(Add(whole, whole.Fragment(0, 96)), Outcome::kPending);
  EXPECT_EQ(Add(whole, whole.Fragment(0, whole.udp, false)), Outcome::kComplete);
  EXPECT_EQ(last_, whole.Unfragmented());
  EXPECT_EQ(Add(whole, whole.Fragment(96, 200)), Outcome::kComplete) << "others aren't disturbed";
  EXPECT_EQ(last_, whole.Unfragmented());
  const Whole longer(false, 1961);
  EXPECT_EQ(Add(longer, longer.Fragment(0, longer.udp, false)), Outcome::kTooLong);
}

TEST_F(ReassemblyTest, AFragmentHeaderBehindAnotherExtensionHeaderIsRefused) {
  const Whole whole(false, 200);
  Bytes payload = {kProtocolFragment, 0, 1, 4, 0, 0, 0, 0, 17, 0, 0, 1, 0, 0, 0, 1};
  payload.resize(64);
  EXPECT_EQ(Add(whole, whole.Frame(payload, kProtocolDestinationOptions)), Outcome::kMalformed);
}

TEST_F(ReassemblyTest, Ipv4OptionsOfTheFirstFragmentAreKept) {
  const Whole whole(true, 200);
  Bytes first = whole.Fragment(0, 96);
  first.insert(first.begin() + 34, {1, 1, 1, 0});
  first[14] = 0x46;
  StoreBe16(&first[16], 24 + 96);
  testing::FixIpv4Checksum(first);
  EXPECT_EQ(Add(whole, whole.Fragment(96, 200)), Outcome::kPending);
  EXPECT_EQ(Add(whole, first), Outcome::kComplete);
  IpPacket packet;
  ASSERT_EQ(ParseIp(std::span(last_).subspan(14), packet), L3Event::kNone);
  EXPECT_EQ(Bytes(packet.payload.begin(), packet.payload.end()), whole.udp);
  EXPECT_FALSE(packet.is_fragment());
}

TEST_F(ReassemblyTest, OptionsCountAsPartOfThePacket) {
  const Whole whole(true, 1980);
  Bytes first = whole.Fragment(0, 96);
  first.insert(first.begin() + 34, {1, 1, 1, 0});
  first[14] = 0x46;
  StoreBe16(&first[16], 24 + 96);
  testing::FixIpv4Checksum(first);
  EXPECT_EQ(Add(whole, first), Outcome::kPending);
  EXPECT_EQ(Add(whole, whole.Fragment(96, 1980)), Outcome::kTooLong);
}

TEST_F(ReassemblyTest, DontFragmentSurvives) {
  const Whole whole(true, 200);
  Bytes first = whole.Fragment(0, 96);
  first[20] |= 0x40;
  testing::FixIpv4Checksum(first);
  Add(whole, first);
  EXPECT_EQ(Add(whole, whole.Fragment(96, 200)), Outcome::kComplete);
  EXPECT_EQ(last_[20], 0x40);
}

class ReassemblyBoundsTest : public ReassemblyTest {
 protected:
  ReassemblyBoundsTest()
      : ReassemblyTest({.max_datagrams = 8,
                        .max_datagrams_per_source = 3,
                        .fragments_per_second = 10,
                        .fragments_burst = 20}) {}
};

TEST_F(ReassemblyBoundsTest, OnePrefixCantTakeAllPlaces) {
  Whole whole(true, 200);
  for (int i = 0; i < 3; ++i, ++whole.id) {
    whole.source = IpAddress::V4(192, 0, 2, static_cast<uint8_t>(50 + i));
    EXPECT_EQ(Add(whole, whole.Fragment(0, 96)), Outcome::kPending);
  }
  EXPECT_EQ(Add(whole, whole.Fragment(0, 96)), Outcome::kSourceFull);
  whole.source = Ip("198.51.100.1");
  EXPECT_EQ(Add(whole, whole.Fragment(0, 96)), Outcome::kPending) << "others have room";
  now_ms_ += 2'000;
  whole.source = Ip("192.0.2.53");
  EXPECT_EQ(Add(whole, whole.Fragment(0, 96)), Outcome::kPending) << "room comes back";
}

TEST_F(ReassemblyBoundsTest, AFloodMakesRoomByGivingUpTheOldest) {
  Whole whole(true, 200);
  for (int i = 0; i < 100; ++i) {
    whole.source = IpAddress::V4(10, 0, static_cast<uint8_t>(i), 1);
    EXPECT_EQ(Add(whole, whole.Fragment(0, 96)), Outcome::kPending);
    now_ms_ += 1;
  }
  EXPECT_EQ(reassembler_.pending(), 8u);
  EXPECT_EQ(reassembler_.counters().given_up, 92u);
  EXPECT_EQ(Add(whole, whole.Fragment(96, 200)), Outcome::kComplete) << "the newest is there";
}

TEST_F(ReassemblyBoundsTest, FragmentsAreLimitedForEachPrefix) {
  Whole whole(true, 200);
  for (int i = 0; i < 10; ++i, ++whole.id) {
    EXPECT_EQ(Add(whole, whole.Fragment(0, 96)), Outcome::kPending);
    EXPECT_EQ(Add(whole, whole.Fragment(96, 200)), Outcome::kComplete);
  }
  EXPECT_EQ(Add(whole, whole.Fragment(0, 96)), Outcome::kRateLimited);
  now_ms_ += 100;
  EXPECT_EQ(Add(whole, whole.Fragment(0, 96)), Outcome::kPending);
  EXPECT_EQ(reassembler_.counters().outcomes[static_cast<size_t>(Outcome::kRateLimited)], 1u);
}

// Random cuts, orders, repetitions and overlaps of one datagram: whatever is put together is the
// datagram that was cut, and nothing stays behind.
TEST_F(ReassemblyTest, RandomFragmentsNeverYieldAnythingButTheDatagram) {
  uint64_t state = 7;
  const auto random = [&state](uint64_t below) {
    state = state * 6364136223846793005ULL + 1442695040888963407ULL;
    return (state >> 33) % below;
  };
  int complete = 0;
  for (int round = 0; round < 20'000; ++round) {
    Whole whole(round % 2 == 0, 16 + random(300));
    whole.id = static_cast<uint32_t>(round);
    const Bytes expected = whole.Unfragmented();
    const size_t units = (whole.udp.size() + 7) / 8;
    std::set<size_t> cuts = {0, units};
    for (uint64_t i = 1 + random(3); i > 0; --i) cuts.insert(random(units));
    std::vector<std::pair<size_t, size_t>> pieces;
    for (auto cut = cuts.begin(); *cut != units;) {
      const size_t begin = *cut++;
      pieces.emplace_back(begin * 8, std::min(*cut * 8, whole.udp.size()));
    }
    if (pieces.size() == 1) continue;  // nothing was cut
    if (random(3) == 0) pieces.push_back(pieces[random(pieces.size())]);
    if (random(3) == 0) {
      const size_t begin = random(units) * 8;
      pieces.emplace_back(begin, std::min(begin + 8 + random(units) * 8, whole.udp.size()));
      if (pieces.back() == std::pair{size_t{0}, whole.udp.size()}) pieces.pop_back();
    }
    for (size_t i = pieces.size(); i > 1; --i) std::swap(pieces[i - 1], pieces[random(i)]);
    for (const auto& [begin, end] : pieces) {
      if (Add(whole, whole.Fragment(begin, end)) == Outcome::kComplete) {
        ++complete;
        ASSERT_EQ(last_, expected);
      }
    }
    now_ms_ += 5;
  }
  EXPECT_GT(complete, 10'000);
  now_ms_ += 2'000;
  reassembler_.Expire(now_ms_, 100'000);
  EXPECT_EQ(reassembler_.pending(), 0u);
}

TEST(ReassemblyOutcomeTest, EachHasANameOfItsOwnAndASentence) {
  std::set<std::string_view> names;
  for (size_t i = 0; i < static_cast<size_t>(Outcome::kCount); ++i) {
    const Outcome outcome = static_cast<Outcome>(i);
    EXPECT_TRUE(names.insert(Name(outcome)).second);
    EXPECT_EQ(Sentence(outcome).back(), '.');
  }
}

}  // namespace
}  // namespace sotto::dataplane
