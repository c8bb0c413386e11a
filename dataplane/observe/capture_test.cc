// SPDX-License-Identifier: Apache-2.0
// Captures as a worker feeds them and a reader takes them, without a dataplane.
#include "dataplane/observe/capture.h"

#include <fmt/format.h>
#include <gmock/gmock.h>

#include <cstring>
#include <thread>

#include "dataplane/observe/pcapng.h"
#include "dataplane/packet/header_template.h"

namespace sotto::dataplane {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;
using State = CaptureSession::State;
using Bytes = std::vector<uint8_t>;

constexpr auto kReceived = CaptureDirection::kReceived;
constexpr auto kSent = CaptureDirection::kSent;
constexpr uint64_t kUnixNs = 1'800'000'000'123'456'789;
constexpr uint64_t kManyMs = 1'000'000;

TransportAddress At(std::string_view text) { return TransportAddress::Parse(text).value(); }

Bytes Udp(std::string_view from, std::string_view to, size_t payload_size, uint16_t vlan = 0) {
  const HeaderTemplate header(At(from), At(to), kNoNextHop);
  const size_t l2 = kEthernetHeaderSize + (vlan != 0 ? kVlanTagSize : 0);
  Bytes frame(l2 + header.size() + payload_size, 0xaa);
  if (vlan != 0) {
    StoreBe16(&frame[12], kEtherTypeVlan);
    StoreBe16(&frame[14], vlan);
  }
  StoreBe16(&frame[l2 - 2], header.v4() ? kEtherTypeIpv4 : kEtherTypeIpv6);
  header.Write(&frame[l2], static_cast<uint16_t>(payload_size), 0, 1, false);
  return frame;
}
const Bytes kMedia = Udp("198.51.100.10:40001", "192.0.2.10:3478", 200);

CapturedPacket PacketOf(const Bytes& frame, uint16_t port = 0) {
  return {.id = &frame, .frame = frame, .size = static_cast<uint32_t>(frame.size()), .port = port};
}

// --- pcapng, read by the letter of the draft -----------------------------------------------------

struct Block {
  uint32_t type = 0;
  std::string body;
  uint32_t U32(size_t at) const {
    uint32_t value = 0;
    std::memcpy(&value, body.data() + at, sizeof(value));
    return value;
  }
  // The option of that code behind the fixed fields; "none" if there isn't.
  std::string OptionAt(size_t at, uint16_t code) const {
    while (at + 4 <= body.size()) {
      uint16_t header[2];
      std::memcpy(header, body.data() + at, sizeof(header));
      if (header[0] == 0) break;
      if (header[0] == code) return body.substr(at + 4, header[1]);
      at += 4 + (header[1] + 3u) / 4 * 4;
    }
    return "none";
  }
};

std::vector<Block> BlocksOf(const std::string& file) {
  std::vector<Block> blocks;
  for (size_t at = 0; at < file.size();) {
    uint32_t header[2] = {}, again = 0;
    EXPECT_LE(at + 12, file.size());
    std::memcpy(header, file.data() + at, sizeof(header));
    EXPECT_EQ(header[1] % 4, 0u);
    EXPECT_LE(at + header[1], file.size());
    std::memcpy(&again, file.data() + at + header[1] - 4, sizeof(again));
    EXPECT_EQ(again, header[1]) << "the length doesn't stand at the block's end";
    blocks.push_back({header[0], file.substr(at + 8, header[1] - 12)});
    at += header[1];
  }
  return blocks;
}

struct Packet {
  uint32_t interface;
  uint64_t unix_ns;
  std::string bytes;
  uint32_t original_size;
  bool outbound;
  std::string comment;
};
std::vector<Packet> PacketsOf(const std::string& file) {
  std::vector<Packet> packets;
  for (const Block& block : BlocksOf(file)) {
    if (block.type != 6) continue;
    const uint32_t size = block.U32(12);
    const size_t options = 20 + (size + 3) / 4 * 4;
    packets.push_back({block.U32(0), uint64_t{block.U32(4)} << 32 | block.U32(8),
                       block.body.substr(20, size), block.U32(16),
                       block.OptionAt(options, 2) == std::string("\2\0\0\0", 4),
                       block.OptionAt(options, 1)});
  }
  return packets;
}

TEST(PcapngTest, AFileBeginsWithItsSectionAndItsInterfaces) {
  std::string file;
  AppendPcapngSection("sotto", file);
  AppendPcapngInterface("net_af_packet0", 96, file);
  const std::vector<Block> blocks = BlocksOf(file);
  ASSERT_THAT(blocks, SizeIs(2));
  EXPECT_EQ(blocks[0].type, 0x0a0d0d0au);
  EXPECT_EQ(blocks[0].U32(0), 0x1a2b3c4du);
  EXPECT_EQ(blocks[0].U32(4), 1u);  // version 1.0
  EXPECT_EQ(blocks[0].OptionAt(16, 4), "sotto");
  EXPECT_EQ(blocks[1].type, 1u);
  EXPECT_EQ(blocks[1].U32(0), 1u);  // Ethernet
  EXPECT_EQ(blocks[1].U32(4), 96u);
  EXPECT_EQ(blocks[1].OptionAt(8, 2), "net_af_packet0");
  EXPECT_EQ(blocks[1].OptionAt(8, 9), "\x09");
}

TEST(PcapngTest, APacketOfAnySizeIsPadded) {
  for (size_t size = 0; size < 9; ++size) {
    const Bytes bytes(size, 'x');
    std::string file;
    AppendPcapngPacket({.interface = 3,
                        .unix_ns = kUnixNs,
                        .bytes = bytes,
                        .original_size = 1000,
                        .outbound = size % 2 == 0,
                        .comment = size % 3 == 0 ? "" : "dropped: port_closed"},
                       file);
    const std::vector<Packet> packets = PacketsOf(file);
    ASSERT_THAT(packets, SizeIs(1));
    EXPECT_EQ(packets[0].interface, 3u);
    EXPECT_EQ(packets[0].unix_ns, kUnixNs);
    EXPECT_EQ(packets[0].bytes, std::string(size, 'x'));
    EXPECT_EQ(packets[0].original_size, 1000u);
    EXPECT_EQ(packets[0].outbound, size % 2 == 0);
    EXPECT_EQ(packets[0].comment, size % 3 == 0 ? "none" : "dropped: port_closed");
  }
}

// --- Outlines and filters ------------------------------------------------------------------------

TEST(FrameOutlineTest, HeadersEndFourBytesIntoThePayload) {
  const size_t v4 = 14 + 20 + 8 + 4, v6 = 14 + 40 + 8 + 4;
  EXPECT_EQ(OutlineOf(Udp("192.0.2.1:5", "192.0.2.2:6", 100)).header_size, v4);
  EXPECT_EQ(OutlineOf(Udp("192.0.2.1:5", "192.0.2.2:6", 2)).header_size, v4 - 2);
  EXPECT_EQ(OutlineOf(Udp("192.0.2.1:5", "192.0.2.2:6", 100, 7)).header_size, v4 + 4);
  const FrameOutline outline = OutlineOf(Udp("[2001:db8::1]:5", "[2001:db8::2]:6", 100));
  EXPECT_EQ(outline.header_size, v6);
  EXPECT_EQ(outline.source_port, 5);
  EXPECT_EQ(outline.destination_port, 6);
}

TEST(FrameOutlineTest, WhatIsBehindTheHeadersIsNeverKept) {
  Bytes options = Udp("192.0.2.1:5", "192.0.2.2:6", 200);
  options[14] = 0x4f;  // 60 bytes of IPv4 header: the rest of the frame moves behind it
  EXPECT_EQ(OutlineOf(options).header_size, 14 + 60 + 8 + 4);
  Bytes later = Udp("192.0.2.1:5", "192.0.2.2:6", 200);
  later[21] = 1;  // a fragment at offset 8: its payload begins where UDP would
  EXPECT_EQ(OutlineOf(later).header_size, 14 + 20);
  EXPECT_EQ(OutlineOf(later).source_port, 0);
  Bytes icmp = Udp("192.0.2.1:5", "192.0.2.2:6", 200);
  icmp[23] = 1;
  EXPECT_EQ(OutlineOf(icmp).header_size, 14 + 20 + 8);
  Bytes v6_fragment = Udp("[2001:db8::1]:5", "[2001:db8::2]:6", 200);
  v6_fragment[20] = 44;
  v6_fragment[54] = 17;
  v6_fragment[56] = v6_fragment[57] = 0;  // the first
  EXPECT_EQ(OutlineOf(v6_fragment).header_size, 14 + 40 + 8 + 8 + 4);
  v6_fragment[57] = 8;
  EXPECT_EQ(OutlineOf(v6_fragment).header_size, 14 + 40 + 8);
  Bytes other(300, 0x33);
  EXPECT_EQ(OutlineOf(other).header_size, 14 + 4);
  StoreBe16(&other[12], kEtherTypeArp);
  EXPECT_EQ(OutlineOf(other).header_size, 14 + 28);
}

// Every prefix of every kind of frame, in a buffer of exactly its size: ASan sees a read beyond.
TEST(FrameOutlineTest, FramesMayEndAnywhere) {
  Bytes v6_fragment = Udp("[2001:db8::1]:5", "[2001:db8::2]:6", 20);
  v6_fragment[20] = 44;
  for (const Bytes& whole : {Udp("192.0.2.1:5", "192.0.2.2:6", 20, 9), v6_fragment,
                             Udp("[2001:db8::1]:5", "[2001:db8::2]:6", 20)}) {
    for (size_t size = 0; size <= whole.size(); ++size) {
      const Bytes frame(whole.begin(), whole.begin() + static_cast<ptrdiff_t>(size));
      const FrameOutline outline = OutlineOf(frame);
      EXPECT_LE(outline.header_size, size);
      CaptureFilter filter;
      filter.host.Set(IpPrefix::Parse("::/0").value());
      filter.Matches(outline);
    }
  }
}

TEST(CaptureFilterTest, EverythingThatIsGivenMustHold) {
  const Bytes v4 = Udp("198.51.100.10:40001", "192.0.2.10:3478", 20);
  const Bytes v6 = Udp("[2001:db8:1::2]:40002", "[2001:db8::10]:3478", 20);
  const auto matches = [](const CaptureFilter& filter, const Bytes& frame) {
    return filter.Matches(OutlineOf(frame));
  };
  const auto host = [](const char* prefix) {
    CaptureFilter filter;
    filter.host.Set(IpPrefix::Parse(prefix).value());
    return filter;
  };
  EXPECT_TRUE(matches({}, v4));
  EXPECT_TRUE(matches({}, Bytes(10)));
  for (const char* yes : {"198.51.100.10", "198.51.100.0/28", "192.0.2.10", "0.0.0.0/0"}) {
    EXPECT_TRUE(matches(host(yes), v4)) << yes;
    EXPECT_FALSE(matches(host(yes), v6)) << yes;
    EXPECT_FALSE(matches(host(yes), Bytes(60))) << yes;
  }
  for (const char* no : {"198.51.100.11", "198.51.100.16/28", "::/0"}) {
    EXPECT_FALSE(matches(host(no), v4)) << no;
  }
  for (const char* yes : {"2001:db8:1::2", "2001:db8:1::/48", "2001:db8::10", "::/0"}) {
    EXPECT_TRUE(matches(host(yes), v6)) << yes;
  }
  EXPECT_FALSE(matches(host("2001:db8:1::3"), v6));
  EXPECT_FALSE(matches(host("2001:db8:1::2:0:0/97"), v6));

  CaptureFilter filter = host("198.51.100.10");
  filter.udp_port = 3478;
  EXPECT_TRUE(matches(filter, v4));
  EXPECT_FALSE(matches(filter, v6));
  filter.udp_port = 40001;
  EXPECT_TRUE(matches(filter, v4));
  filter.udp_port = 40002;
  EXPECT_FALSE(matches(filter, v4));

  CaptureFilter client;
  client.client.Set(IpPrefix::Parse("198.51.100.10").value());
  client.client_port = 40001;
  EXPECT_TRUE(matches(client, v4));
  EXPECT_TRUE(matches(client, Udp("192.0.2.10:3478", "198.51.100.10:40001", 20)));
  EXPECT_FALSE(matches(client, Udp("192.0.2.10:40001", "198.51.100.10:3478", 20)));
  EXPECT_FALSE(matches(client, Udp("198.51.100.10:40003", "192.0.2.10:3478", 20)));
}

// --- Sessions ------------------------------------------------------------------------------------

class CaptureTest : public testing::Test {
 protected:
  CaptureTest()
      : capture_({&taps_[0], &taps_[1]}, {{4, "port0"}, {7, "port1"}}, 1600,
                 {.now =
                      [this] {
                        return CaptureMoment{tick_, kUnixNs};
                      },
                  .hz = 2'000'000'000}) {}

  std::unique_ptr<CaptureSession> Start(const CaptureOptions& options = {}) {
    auto session = capture_.Start(options);
    EXPECT_TRUE(session.ok()) << session.status();
    return *std::move(session);
  }
  // A burst of a worker.
  template <typename Work>
  bool Burst(const Work& work, size_t worker = 0) {
    CaptureTap& tap = taps_[worker];
    if (!tap.armed()) return false;
    CaptureRing* ring = tap.Hold();
    if (ring == nullptr) return false;
    ring->Begin(tick_, now_ms_);
    work(*ring);
    ring->End();
    tap.Release();
    return true;
  }
  std::vector<Packet> Read(CaptureSession& session, State expected = State::kIdle) {
    std::vector<Packet> packets;
    State state = State::kMore;
    while (state == State::kMore) {
      std::string out;
      state = session.Read(out);
      EXPECT_LE(out.size(), CaptureSession::kChunkSize + 2048);
      for (Packet& packet : PacketsOf(out)) packets.push_back(std::move(packet));
    }
    EXPECT_EQ(state, expected);
    return packets;
  }

  uint64_t tick_ = 10'000'000'000;
  uint64_t now_ms_ = kManyMs;
  CaptureTap taps_[2];
  PacketCapture capture_;
};

TEST_F(CaptureTest, PacketsComeWithTimePortDirectionAndReason) {
  const auto session = Start();
  std::string out;
  EXPECT_EQ(session->Read(out), State::kIdle);
  const std::vector<Block> header = BlocksOf(out);
  ASSERT_THAT(header, SizeIs(3)) << "a section and two interfaces, though no packet came yet";
  EXPECT_EQ(header[2].OptionAt(8, 2), "port1");

  tick_ += 3'000'000'000;  // 1.5 s
  const Bytes dropped = Udp("203.0.113.9:9", "192.0.2.10:50000", 10);
  EXPECT_TRUE(Burst([&](CaptureRing& ring) {
    ring.Add(PacketOf(kMedia, 7), kReceived);
    ring.Add(PacketOf(dropped, 4), kReceived);
    ring.Dropped(PacketOf(dropped, 4), kReceived, DropReason::kPortClosed);
    ring.Add(PacketOf(kMedia, 4), kSent);
    ring.Dropped(PacketOf(kMedia, 4), kSent, DropReason::kTxFull);
  }));
  const std::vector<Packet> packets = Read(*session);
  ASSERT_THAT(packets, SizeIs(3));
  EXPECT_EQ(packets[0].interface, 1u);
  EXPECT_EQ(packets[0].unix_ns, kUnixNs + 1'500'000'000);
  EXPECT_EQ(packets[0].original_size, kMedia.size());
  EXPECT_EQ(packets[0].bytes.size(), 46u) << "headers alone";
  EXPECT_EQ(packets[0].bytes, std::string(kMedia.begin(), kMedia.begin() + 46));
  EXPECT_FALSE(packets[0].outbound);
  EXPECT_EQ(packets[0].comment, "none");
  EXPECT_EQ(packets[1].comment, "dropped: port_closed");
  EXPECT_TRUE(packets[2].outbound);
  EXPECT_EQ(packets[2].interface, 0u);
  EXPECT_EQ(packets[2].comment, "dropped: tx_full");
  EXPECT_EQ(session->packets(), 3u);
  EXPECT_EQ(session->missed(), 0u);
}

TEST_F(CaptureTest, AnUnpublishedBurstIsNotRead) {
  const auto session = Start();
  CaptureRing* ring = taps_[0].Hold();
  ASSERT_NE(ring, nullptr);
  ring->Begin(tick_, now_ms_);
  ring->Add(PacketOf(kMedia, 4), kReceived);
  EXPECT_THAT(Read(*session), IsEmpty());
  ring->End();
  taps_[0].Release();
  EXPECT_THAT(Read(*session), SizeIs(1));
}

TEST_F(CaptureTest, AllOfAPacketIsKeptWhereItIsAskedFor) {
  const auto session = Start({.payload = true});
  const Bytes large = Udp("192.0.2.1:5", "192.0.2.2:6", 1600);  // more than a port takes
  Burst([&](CaptureRing& ring) {
    ring.Add(PacketOf(kMedia, 4), kReceived);
    ring.Add(PacketOf(large, 4), kReceived);
  });
  const std::vector<Packet> packets = Read(*session);
  ASSERT_THAT(packets, SizeIs(2));
  EXPECT_EQ(packets[0].bytes, std::string(kMedia.begin(), kMedia.end()));
  EXPECT_EQ(packets[1].bytes.size(), 1604u);
  EXPECT_EQ(packets[1].original_size, large.size());
}

TEST_F(CaptureTest, ATagThatTheDriverTookOffIsPutBack) {
  for (const bool payload : {false, true}) {
    const auto session = Start({.payload = payload});
    CapturedPacket packet = PacketOf(kMedia, 4);
    packet.vlan_tci = 0x2064;
    Burst([&](CaptureRing& ring) { ring.Add(packet, kReceived); });
    const std::vector<Packet> packets = Read(*session);
    ASSERT_THAT(packets, SizeIs(1));
    Bytes tagged = Udp("198.51.100.10:40001", "192.0.2.10:3478", 200, 0x2064);
    EXPECT_EQ(packets[0].original_size, tagged.size());
    if (!payload) tagged.resize(50);
    EXPECT_EQ(packets[0].bytes, std::string(tagged.begin(), tagged.end()));
  }
}

TEST_F(CaptureTest, AFilterForDropsTakesThemAlone) {
  CaptureOptions options;
  options.filter.dropped = DropReason::kCount;
  {
    const auto session = Start(options);
    Burst([&](CaptureRing& ring) {
      ring.Add(PacketOf(kMedia, 4), kReceived);
      ring.Dropped(PacketOf(kMedia, 4), kReceived, DropReason::kChannelUnbound);
      ring.Dropped(PacketOf(kMedia, 4), kSent, DropReason::kTxFull);
    });
    const std::vector<Packet> packets = Read(*session);
    ASSERT_THAT(packets, SizeIs(2));
    EXPECT_EQ(packets[0].comment, "dropped: channel_unbound");
    EXPECT_EQ(packets[1].comment, "dropped: tx_full");
  }
  options.filter.dropped = DropReason::kTxFull;
  options.filter.received = false;
  const auto session = Start(options);
  Burst([&](CaptureRing& ring) {
    ring.Dropped(PacketOf(kMedia, 4), kReceived, DropReason::kTxFull);
    ring.Dropped(PacketOf(kMedia, 4), kSent, DropReason::kNoBuffer);
    ring.Dropped(PacketOf(kMedia, 4), kSent, DropReason::kTxFull);
  });
  EXPECT_THAT(Read(*session), SizeIs(1));
}

TEST_F(CaptureTest, DirectionsAreToldApart) {
  for (const bool sent : {false, true}) {
    CaptureOptions options;
    (sent ? options.filter.received : options.filter.sent) = false;
    const auto session = Start(options);
    Burst([&](CaptureRing& ring) {
      ring.Add(PacketOf(kMedia, 4), kReceived);
      ring.Add(PacketOf(kMedia, 4), kSent);
    });
    const std::vector<Packet> packets = Read(*session);
    ASSERT_THAT(packets, SizeIs(1));
    EXPECT_EQ(packets[0].outbound, sent);
  }
}

// As many as the budget of the time that has passed allows, and all others are counted.
TEST_F(CaptureTest, TheBudgetBoundsWhatIsCopied) {
  const auto session = Start({.max_packets = 100'000});
  constexpr double kPerMs = 1.0 * kCaptureNsPerMs / (kCaptureCopyNs + kCaptureLookNs + 46);
  constexpr uint64_t kFlood = 500'000;  // more than there is time to look at
  uint64_t offered = 0, read = 0;
  const auto flood = [&](uint64_t packets) {
    offered += packets;
    Burst([&](CaptureRing& ring) {
      for (uint64_t i = 0; i < packets; ++i) ring.Add(PacketOf(kMedia, 4), kReceived);
    });
    const size_t now = Read(*session).size();
    read += now;
    return now;
  };
  EXPECT_NEAR(static_cast<double>(flood(7000)), kPerMs * kCaptureSavedMs, 10);
  EXPECT_EQ(flood(kFlood), 0u);
  now_ms_ += 1;
  EXPECT_NEAR(static_cast<double>(flood(kFlood)), kPerMs, 5);
  now_ms_ += 1'000'000;
  EXPECT_NEAR(static_cast<double>(flood(kFlood)), kPerMs * kCaptureSavedMs, 10);
  EXPECT_EQ(session->missed(), offered - read);
}

// Looking costs too: past the budget packets aren't looked at, and may have matched.
TEST_F(CaptureTest, TheBudgetBoundsWhatIsLookedAt) {
  CaptureOptions options;
  options.filter.udp_port = 9;
  const auto session = Start(options);
  const auto flood = [&](uint64_t packets) {
    const uint64_t before = session->missed();
    Burst([&](CaptureRing& ring) {
      for (uint64_t i = 0; i < packets; ++i) ring.Add(PacketOf(kMedia, 4), kReceived);
    });
    EXPECT_THAT(Read(*session), IsEmpty());
    return packets - (session->missed() - before);
  };
  constexpr uint64_t kPerMs = kCaptureNsPerMs / kCaptureLookNs;
  EXPECT_EQ(flood(1000), 1000u);
  EXPECT_NEAR(static_cast<double>(flood(1'000'000)), kPerMs * kCaptureSavedMs - 1000, 10);
  now_ms_ += 2;
  EXPECT_NEAR(static_cast<double>(flood(1'000'000)), kPerMs * 2, 3);
}

TEST_F(CaptureTest, ASlowReaderCostsPacketsAndNothingElse) {
  const auto session = Start({.max_packets = 1'000'000, .payload = true});
  uint64_t offered = 0;
  for (int i = 0; i < 5000; ++i) {
    now_ms_ += 1;
    ++offered;
    ASSERT_TRUE(Burst([&](CaptureRing& ring) { ring.Add(PacketOf(kMedia, 4), kReceived); }));
  }
  EXPECT_GT(session->missed(), 0u);
  EXPECT_EQ(Read(*session).size() + session->missed(), offered);
}

TEST_F(CaptureTest, WorkersAreMergedInTheOrderOfTime) {
  const auto session = Start();
  for (int i = 0; i < 10; ++i) {
    tick_ += 1000;
    Burst([&](CaptureRing& ring) { ring.Add(PacketOf(kMedia, 4), kReceived); },
          static_cast<size_t>(i % 3 == 0));
  }
  const std::vector<Packet> packets = Read(*session);
  ASSERT_THAT(packets, SizeIs(10));
  for (size_t i = 1; i < packets.size(); ++i) {
    EXPECT_EQ(packets[i].unix_ns, packets[i - 1].unix_ns + 500);
  }
}

TEST_F(CaptureTest, ItEndsAtItsNumberOfPackets) {
  const auto session = Start({.max_packets = 3});
  Burst([&](CaptureRing& ring) {
    for (int i = 0; i < 5; ++i) ring.Add(PacketOf(kMedia, 4), kReceived);
  });
  EXPECT_THAT(Read(*session, State::kOver), SizeIs(3));
  EXPECT_FALSE(taps_[0].armed());
  EXPECT_THAT(Read(*session, State::kOver), IsEmpty());
  EXPECT_EQ(session->packets(), 3u);
}

TEST_F(CaptureTest, ItEndsAtItsTimeWithAllThatWasCopied) {
  const auto session = Start({.max_seconds = 2});
  Burst([&](CaptureRing& ring) { ring.Add(PacketOf(kMedia, 4), kReceived); });
  tick_ += 3'999'999'999;
  EXPECT_THAT(Read(*session), SizeIs(1));
  Burst([&](CaptureRing& ring) { ring.Add(PacketOf(kMedia, 4), kReceived); });
  tick_ += 1;
  EXPECT_THAT(Read(*session, State::kOver), SizeIs(1));
  EXPECT_FALSE(taps_[0].armed());
  EXPECT_FALSE(taps_[1].armed());
}

TEST_F(CaptureTest, OneAtATimeAndNoneOnceTheRelayStops) {
  auto session = Start();
  const auto second = capture_.Start({});
  EXPECT_EQ(second.status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(second.status().message()), HasSubstr("another capture is running"));
  session->Stop();
  EXPECT_FALSE(taps_[0].armed());
  auto next = Start();
  session.reset();  // which isn't the next one's business
  EXPECT_TRUE(taps_[0].armed());
  EXPECT_FALSE(capture_.Start({}).ok());
  session = std::move(next);
  Burst([&](CaptureRing& ring) { ring.Add(PacketOf(kMedia, 4), kReceived); });
  capture_.Close();
  EXPECT_FALSE(taps_[0].armed());
  EXPECT_THAT(Read(*session, State::kClosed), SizeIs(1)) << "what was copied isn't lost";
  session.reset();
  EXPECT_EQ(capture_.Start({}).status().code(), absl::StatusCode::kUnavailable);
}

// Workers run through bursts while sessions come and go: nobody uses a ring that is gone, and every
// packet is read, missed, or came when nobody looked. Worth most under ThreadSanitizer.
TEST_F(CaptureTest, SessionsComeAndGoUnderRunningWorkers) {
  std::atomic<bool> stop = false;
  std::atomic<uint64_t> offered = 0;
  std::vector<std::thread> workers;
  for (CaptureTap& tap : taps_) {
    workers.emplace_back([&] {
      uint64_t ms = kManyMs;
      while (!stop.load(std::memory_order_relaxed)) {
        CaptureRing* ring = tap.armed() ? tap.Hold() : nullptr;
        if (ring == nullptr) {
          std::this_thread::yield();
          continue;
        }
        ++ms;
        ring->Begin(10'000'000'000 + ms, ms);
        for (int i = 0; i < 8; ++i) ring->Add(PacketOf(kMedia, 4), kReceived);
        ring->Dropped(PacketOf(kMedia, 4), kReceived, DropReason::kPortClosed);
        ring->End();
        tap.Release();
        offered.fetch_add(8);
      }
    });
  }
  uint64_t sum = 0;
  for (int round = 0; round < 100; ++round) {
    const auto session = Start({.max_packets = 1'000'000});
    std::string out;
    while (session->packets() + session->missed() == 0) {
      session->Read(out);
      out.clear();
      std::this_thread::yield();
    }
    session->Stop();
    while (session->Read(out) == State::kMore) out.clear();
    sum += session->packets() + session->missed();
  }
  stop = true;
  for (std::thread& worker : workers) worker.join();
  EXPECT_EQ(sum, offered.load());
}

}  // namespace
}  // namespace sotto::dataplane
