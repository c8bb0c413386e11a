// SPDX-License-Identifier: Apache-2.0
// The parts of a packet's way, one at a time: parsing, checksums, rewriting. Outputs are checked
// against what DPDK or a computation in full says. `cycles` are TSC cycles a packet.
#include <benchmark/benchmark.h>
#include <rte_cycles.h>
#include <rte_ip.h>
#include <rte_udp.h>

#include <array>
#include <cstring>
#include <utility>

#include "dataplane/packet/data_indication.h"
#include "dataplane/packet/header_template.h"
#include "dataplane/packet/local_addresses.h"
#include "dataplane/packet/parse.h"
#include "dataplane/packet/payload.h"
#include "relay/wire/channel_data.h"

namespace sotto::bench {
namespace {

using dataplane::HeaderTemplate;
using dataplane::ParsedFrame;
using dataplane::Payload;

constexpr size_t kHeadroom = 128;
constexpr uint16_t kMedia = 160;

const TransportAddress kClient = {IpAddress::V4(10, 1, 2, 3), 40000};
const TransportAddress kPeer = {IpAddress::V4(11, 4, 5, 6), 50000};
const TransportAddress kListener = {IpAddress::V4(198, 18, 0, 10), 3478};

const dataplane::InterfaceTable& Interfaces() {
  static const dataplane::InterfaceTable interfaces = [] {
    dataplane::Interface interface;
    interface.name = "bench";
    interface.mac = {{2, 0, 0, 0, 0, 1}};
    interface.addresses = {{kListener.ip, IpPrefix(kListener.ip, 24)}};
    return dataplane::InterfaceTable::Create({interface}).value();
  }();
  return interfaces;
}
const dataplane::LocalAddresses& Locals() {
  static const dataplane::LocalAddresses locals = [] {
    dataplane::LocalAddressOptions options;
    options.listen = {kListener};
    options.relay_addresses = {kListener.ip};
    return dataplane::LocalAddresses(Interfaces(), options);
  }();
  return locals;
}

// Runs `body` in every iteration and counts its cycles.
template <typename Body>
void RunCounted(benchmark::State& state, Body body) {
  const uint64_t begin = rte_rdtsc_precise();
  for (auto _ : state) body();
  state.counters["cycles"] =
      static_cast<double>(rte_rdtsc_precise() - begin) / static_cast<double>(state.iterations());
}

// ChannelData from the client in an Ethernet frame, with room in front.
struct Frame {
  std::array<uint8_t, 2048> buffer = {};
  uint8_t* bytes() { return buffer.data() + kHeadroom; }
  const uint8_t* bytes() const { return buffer.data() + kHeadroom; }
  size_t size = 42 + 4 + kMedia;

  Frame() {
    const uint8_t mac[6] = {2, 0, 0, 0, 0, 1};
    std::memcpy(bytes(), mac, 6);
    StoreBe16(bytes() + 12, dataplane::kEtherTypeIpv4);
    uint8_t* payload = bytes() + 42;
    relay::WriteChannelDataHeader(payload, 0x4000, kMedia);
    for (size_t i = 0; i < kMedia; ++i) payload[4 + i] = static_cast<uint8_t>(31 * i);
    const HeaderTemplate header(kClient, kListener, 1);
    const std::span<const uint8_t> datagram(payload, 4 + kMedia);
    header.Write(bytes() + 14, 4 + kMedia, dataplane::FullChecksum(header.sum, datagram), 7, false);
  }
  ParsedFrame Parse() const {
    ParsedFrame parsed;
    dataplane::ParseFrame({bytes(), size}, {}, Interfaces(), Locals(), parsed);
    return parsed;
  }
};

void Parse(benchmark::State& state) {
  const Frame frame;
  ParsedFrame parsed;
  RunCounted(state, [&] {
    dataplane::ParseFrame({frame.bytes(), frame.size}, {}, Interfaces(), Locals(), parsed);
    benchmark::DoNotOptimize(parsed);
  });
  if (parsed.verdict != dataplane::ParseVerdict::kUdp || parsed.payload_size != 4 + kMedia) {
    state.SkipWithError("not parsed");
  }
}
BENCHMARK(Parse)->Name("packet/parse");

// The checksum for other headers and another channel number: from the difference.
void ChecksumIncremental(benchmark::State& state) {
  Frame frame;
  const ParsedFrame parsed = frame.Parse();
  const HeaderTemplate out(kListener, kPeer, 1);
  uint16_t checksum = 0;
  RunCounted(state, [&] {
    Payload payload(frame.bytes(), parsed);
    payload.ReplaceFirstWord(0x4000);
    checksum = payload.ChecksumBehind(out);
    benchmark::DoNotOptimize(checksum);
  });
  if (checksum != dataplane::FullChecksum(out.sum, {frame.bytes() + 42, 4 + kMedia})) {
    state.SkipWithError("wrong checksum");
  }
}
BENCHMARK(ChecksumIncremental)->Name("packet/checksum/incremental");

void ChecksumFull(benchmark::State& state) {
  const Frame frame;
  std::array<uint8_t, 2048> copy = frame.buffer;
  uint8_t* datagram = copy.data() + kHeadroom + 14;
  auto* udp = reinterpret_cast<rte_udp_hdr*>(datagram + 20);
  const uint16_t expected = udp->dgram_cksum;
  uint16_t checksum = 0;
  udp->dgram_cksum = 0;
  RunCounted(state, [&] {
    checksum = rte_ipv4_udptcp_cksum(reinterpret_cast<const rte_ipv4_hdr*>(datagram), udp);
    benchmark::DoNotOptimize(checksum);
    benchmark::ClobberMemory();
  });
  if (checksum != expected) state.SkipWithError("wrong checksum");
}
BENCHMARK(ChecksumFull)->Name("packet/checksum/dpdk_full");

// A rewrite in place of 32 frames, fresh each time; the time is that of the rewrites alone.
template <typename Rewrite>
void RunRewrite(benchmark::State& state, Rewrite rewrite) {
  constexpr size_t kFrames = 32;
  static std::array<Frame, kFrames> frames;
  const ParsedFrame parsed = frames[0].Parse();
  const HeaderTemplate source = dataplane::DerivedHeader::SourceTemplate(kListener.ip);
  const dataplane::Flow flow(0, kListener, kPeer, 1);
  uint64_t cycles = 0;
  for (auto _ : state) {
    for (Frame& frame : frames) frame = Frame();
    std::array<std::pair<uint8_t*, uint16_t>, kFrames> payloads;
    const uint64_t begin = rte_rdtsc_precise();
    for (size_t i = 0; i < kFrames; ++i) {
      Payload payload(frames[i].bytes(), parsed);
      rewrite(payload);
      const dataplane::DerivedHeader out(source, flow);
      out.Write(payload.data() - out.size(), payload.size(), payload.ChecksumBehind(out), 7, false);
      payloads[i] = {payload.data(), payload.size()};
    }
    const uint64_t took = rte_rdtsc_precise() - begin;
    cycles += took;
    for (const auto& [data, size] : payloads) {
      uint16_t checksum;
      std::memcpy(&checksum, data - 2, 2);
      if (LoadBe16(data - 6) != kPeer.port ||
          checksum != dataplane::FullChecksum(flow.sum, {data, size})) {
        return state.SkipWithError("rewritten wrong");
      }
    }
    state.SetIterationTime(static_cast<double>(took) / static_cast<double>(rte_get_tsc_hz()));
  }
  state.counters["cycles"] =
      static_cast<double>(cycles) / static_cast<double>(state.iterations() * kFrames);
  state.SetItemsProcessed(static_cast<int64_t>(state.iterations() * kFrames));
}

void StripToPeer(benchmark::State& state) {
  RunRewrite(state, [](Payload& payload) {
    payload.RemoveFront(relay::kChannelDataHeaderSize);
    payload.Truncate(kMedia);
  });
}
BENCHMARK(StripToPeer)->Name("packet/rewrite/strip")->UseManualTime()->Iterations(20'000);

// What stands before the data of a Send indication goes: header, XOR-PEER-ADDRESS, DATA's own.
void UnwrapSend(benchmark::State& state) {
  constexpr uint16_t kBefore = 20 + 12 + 4;
  RunRewrite(state, [](Payload& payload) {
    payload.RemoveFront(kBefore);
    payload.Truncate(static_cast<uint16_t>(payload.size() - 3));  // padding
  });
}
BENCHMARK(UnwrapSend)->Name("packet/rewrite/send")->UseManualTime()->Iterations(20'000);

void Fuse(benchmark::State& state) {
  RunRewrite(state, [](Payload& payload) { payload.ReplaceFirstWord(0x4001); });
}
BENCHMARK(Fuse)->Name("packet/rewrite/fused")->UseManualTime()->Iterations(20'000);

void WrapAsChannelData(benchmark::State& state) {
  RunRewrite(state, [](Payload& payload) {
    const uint16_t size = payload.size();
    payload.MoveFront(relay::kChannelDataHeaderSize);
    relay::WriteChannelDataHeader(payload.data(), 0x4001, size);
    payload.AddedFront(relay::kChannelDataHeaderSize);
  });
}
BENCHMARK(WrapAsChannelData)->Name("packet/rewrite/wrap")->UseManualTime()->Iterations(20'000);

void WrapAsDataIndication(benchmark::State& state) {
  const relay::TransactionId id = {1, 2, 3};
  RunRewrite(state, [&](Payload& payload) {
    const uint16_t size = payload.size();
    const uint16_t header = dataplane::DataIndicationHeaderSize(IpFamily::kV4);
    payload.MoveFront(header);
    dataplane::WriteDataIndicationHeader(payload.data(), kPeer, id, size);
    payload.AddedFront(header);
  });
}
BENCHMARK(WrapAsDataIndication)
    ->Name("packet/rewrite/data_indication")
    ->UseManualTime()
    ->Iterations(20'000);

}  // namespace
}  // namespace sotto::bench
