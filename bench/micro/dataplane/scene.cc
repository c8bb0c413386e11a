// SPDX-License-Identifier: Apache-2.0
#include "bench/micro/dataplane/scene.h"

#include <fmt/format.h>

#include <cstdlib>
#include <cstring>

#include "relay/stun/message.h"
#include "relay/wire/channel_data.h"

namespace sotto::bench {
namespace {

using dataplane::Interface;
using dataplane::InterfaceTable;
using dataplane::MacAddress;

constexpr uint32_t kRelayAddresses = 64;
constexpr uint32_t kPortsPerAddress = 16384;
constexpr uint16_t kFirstPort = 49152;
constexpr uint16_t kChannel = 0x4000;
constexpr MacAddress kRelayMac = {{2, 0, 0, 0, 0, 1}};
constexpr MacAddress kGatewayMac = {{2, 0, 0, 0, 0, 2}};

[[noreturn]] void Die(std::string_view what) {
  fmt::print(stderr, "{}\n", what);
  std::exit(1);
}

IpAddress V4(uint32_t value) {
  return IpAddress::V4(static_cast<uint8_t>(value >> 24), static_cast<uint8_t>(value >> 16),
                       static_cast<uint8_t>(value >> 8), static_cast<uint8_t>(value));
}

IpAddress RelayAddress(uint32_t index) { return V4(0xc6120000 + 10 + index); }  // 198.18.0.10...

InterfaceTable MakeInterfaces() {
  Interface interface;
  interface.name = "bench";
  interface.mac = kRelayMac;
  for (uint32_t i = 0; i < kRelayAddresses; ++i) {
    interface.addresses.push_back({RelayAddress(i), IpPrefix(RelayAddress(i), 24)});
  }
  interface.gateways = {V4(0xc6120001)};
  return InterfaceTable::Create({interface}).value();
}

dataplane::LocalAddressOptions MakeOptions() {
  dataplane::LocalAddressOptions options;
  options.listen = {{RelayAddress(0), 3478}};
  for (uint32_t i = 0; i < kRelayAddresses; ++i) options.relay_addresses.push_back(RelayAddress(i));
  return options;
}

// A bijection of 32-bit numbers, so that neighbours in the tables aren't neighbours in memory.
uint32_t Scatter(uint32_t x) {
  x ^= x >> 16;
  x *= 0x7feb352d;
  x ^= x >> 15;
  x *= 0x846ca68b;
  return x ^ (x >> 16);
}

uint16_t WriteUdp(uint8_t* frame, const TransportAddress& from, const TransportAddress& to,
                  std::span<const uint8_t> payload) {
  std::memcpy(frame, kRelayMac.bytes.data(), 6);
  std::memcpy(frame + 6, kGatewayMac.bytes.data(), 6);
  StoreBe16(frame + 12, dataplane::kEtherTypeIpv4);
  const dataplane::HeaderTemplate header(from, to, 1);
  header.Write(frame + 14, static_cast<uint16_t>(payload.size()),
               dataplane::FullChecksum(header.sum, payload), 7, false);
  std::memcpy(frame + 42, payload.data(), payload.size());
  return static_cast<uint16_t>(42 + payload.size());
}

}  // namespace

Scene::Scene(const SceneOptions& options)
    : options_(options),
      interfaces_(MakeInterfaces()),
      locals_(interfaces_, MakeOptions()),
      neighbors_(interfaces_, next_hops_, frames_) {
  neighbors_.Tick(kNowMs);
  dataplane::TableSizes sizes;
  sizes.legs = options.legs;
  sizes.channels = options.legs;
  sizes.permissions = options.legs;
  auto tables = dataplane::Tables::Create(sizes, locals_, options.workers, 0);
  if (!tables.ok()) Die(std::string_view(tables.status().message().data()));
  tables_ = *std::move(tables);
  table_bytes_per_leg_ =
      static_cast<double>(sizes.MemoryBytes(locals_.relayed_slots(options.legs))) / options.legs;
  compiler_ =
      std::make_unique<dataplane::ForwardingCompiler>(locals_, neighbors_, *tables_, options.legs);
  if (options.rates) {
    compiler_->SetRates({.packets_per_leg = 1'000'000, .bytes_per_user = 1'000'000'000'000});
  }
  AddLegs();
  // What Neighbors does when the gateway answers; every client and peer is behind it.
  const auto hop = neighbors_.Acquire(Client(0).ip);
  if (!hop.ok()) Die("no next hop");
  next_hops_.SetResolved(*hop, kGatewayMac);
  context_ = std::make_unique<dataplane::ForwarderContext>(
      dataplane::ForwarderContext{interfaces_, locals_, next_hops_, *tables_, {false}});
  workers_ = std::make_unique<Worker[]>(options.workers);
  for (uint32_t i = 0; i < options.workers; ++i) {
    workers_[i].forwarder = std::make_unique<dataplane::Forwarder>(
        *context_, dataplane::ForwarderOptions{}, workers_[i].counters);
  }
  static int serial = 0;
  pool_ =
      rte_pktmbuf_pool_create(fmt::format("bench{}", serial++).c_str(), options.workers * kMbufs, 0,
                              dataplane::kMbufPrivateSize, RTE_MBUF_DEFAULT_BUF_SIZE, 0);
  if (pool_ == nullptr) Die("no memory for packets");
}

Scene::~Scene() {
  workers_.reset();
  compiler_.reset();
  tables_.reset();
  rte_mempool_free(pool_);
}

TransportAddress Scene::Relayed(uint32_t index) const {
  const uint32_t scattered = index;
  return {RelayAddress(scattered / kPortsPerAddress),
          static_cast<uint16_t>(kFirstPort + scattered % kPortsPerAddress)};
}

// Of 10.0.0.0/8, no two alike.
TransportAddress Scene::Client(uint32_t index) const {
  return {V4(0x0a000000 | (Scatter(index) & 0xffffff)),
          static_cast<uint16_t>(1024 + (Scatter(index) >> 24))};
}

// Of 11.0.0.0/8.
TransportAddress Scene::Peer(uint32_t index) const {
  const uint32_t scattered = Scatter(~index);
  return {V4(0x0b000000 | (scattered & 0xffffff)), static_cast<uint16_t>(2048 + (scattered >> 24))};
}

void Scene::AddLegs() {
  const uint64_t expires_at = kNowMs + 3'600'000;
  const auto check = [](const absl::Status& status) {
    if (!status.ok()) Die(std::string(status.message()));
  };
  for (uint32_t i = 0; i < options_.legs; ++i) {
    relay::ForwardingLeg leg;
    leg.id = i;
    leg.path = {Client(i), {RelayAddress(0), 3478}};
    leg.relayed_v4 = Relayed(i);
    leg.user = i / 2 + 1;
    leg.expires_at = expires_at;
    if (options_.packet_class == PacketClass::kFused) {
      leg.call = {.number = i / 2 + 1, .side = static_cast<uint8_t>(i % 2), .armed = true};
    }
    check(compiler_->Upsert(leg));
  }
  for (uint32_t i = 0; i < options_.legs; ++i) {
    TransportAddress peer = Peer(i);
    switch (options_.packet_class) {
      case PacketClass::kBinding:
        continue;
      case PacketClass::kFused:
        peer = Relayed(i ^ 1);
        [[fallthrough]];
      case PacketClass::kChannelToPeer:
      case PacketClass::kPeerToChannel:
        check(compiler_->Upsert(relay::ForwardingPermission{i, peer.ip, expires_at}));
        check(compiler_->Upsert(relay::ForwardingChannel{i, kChannel, peer, expires_at}));
        break;
      case PacketClass::kSendToPeer:
      case PacketClass::kPeerToData:
        check(compiler_->Upsert(relay::ForwardingPermission{i, peer.ip, expires_at}));
        break;
    }
  }
  if (options_.packet_class == PacketClass::kFused &&
      compiler_->fused_channels() != options_.legs) {
    Die("not all channels are fused");
  }
}

void Scene::Fill(rte_mbuf* const mbufs[], const uint32_t legs[], uint32_t count) const {
  const TransportAddress listener = {RelayAddress(0), 3478};
  std::array<uint8_t, 2048> payload;
  for (uint32_t i = 0; i < count; ++i) {
    const uint32_t leg = legs[i];
    const std::span<uint8_t> media(payload.data(), options_.media_size);
    // The media is of a leg: a packet that ends up elsewhere is seen.
    for (size_t k = 0; k < media.size(); ++k) media[k] = static_cast<uint8_t>(leg + 31 * k);
    std::array<uint8_t, 2048> out;
    std::span<const uint8_t> datagram = media;
    TransportAddress from = Client(leg);
    TransportAddress to = listener;
    switch (options_.packet_class) {
      case PacketClass::kFused:
      case PacketClass::kChannelToPeer:
        relay::WriteChannelDataHeader(out.data(), kChannel, options_.media_size);
        std::memcpy(out.data() + 4, media.data(), media.size());
        datagram = {out.data(), media.size() + 4};
        break;
      case PacketClass::kPeerToChannel:
      case PacketClass::kPeerToData:
        from = Peer(leg);
        to = Relayed(leg);
        break;
      case PacketClass::kSendToPeer: {
        relay::StunBuilder builder(out, relay::StunMethod::kSend, relay::StunClass::kIndication,
                                   relay::TransactionId{1, 2, 3});
        builder.AddXorAddress(relay::StunAttributeType::kXorPeerAddress, Peer(leg));
        builder.Add(relay::StunAttributeType::kData, media);
        datagram = builder.Finish();
        break;
      }
      case PacketClass::kBinding: {
        relay::StunBuilder builder(out, relay::StunMethod::kBinding, relay::StunClass::kRequest,
                                   relay::TransactionId{1, 2, 3});
        datagram = builder.Finish();
        break;
      }
    }
    rte_mbuf* mbuf = mbufs[i];
    rte_pktmbuf_reset(mbuf);
    mbuf->port = 0;
    mbuf->data_len = WriteUdp(rte_pktmbuf_mtod(mbuf, uint8_t*), from, to, datagram);
    mbuf->pkt_len = mbuf->data_len;
  }
}

void Scene::Verify(const uint32_t legs[], uint32_t count, uint32_t worker) {
  const std::vector<rte_mbuf*>& sent = forwarder(worker).transmit()[0];
  if (sent.size() != count || !forwarder(worker).punts().empty()) {
    Die(fmt::format("{} of {} packets came out", sent.size(), count));
  }
  for (uint32_t i = 0; i < count; ++i) {
    const uint32_t leg = legs[i];
    const uint8_t* frame = rte_pktmbuf_mtod(sent[i], const uint8_t*);
    const dataplane::FrameHints hints;
    TransportAddress to = Client(leg);
    size_t skip = 0;
    switch (options_.packet_class) {
      case PacketClass::kFused:
        to = Client(leg ^ 1);
        skip = 4;
        break;
      case PacketClass::kChannelToPeer:
      case PacketClass::kSendToPeer:
        to = Peer(leg);
        break;
      case PacketClass::kPeerToChannel:
        skip = 4;
        break;
      case PacketClass::kPeerToData:
        skip = 36;
        break;
      case PacketClass::kBinding:
        skip = 32;
        break;
    }
    dataplane::ParsedFrame parsed;
    parsed.v4 = true;
    parsed.ip_offset = 14;
    parsed.udp_offset = 34;
    parsed.payload_size = static_cast<uint16_t>(sent[i]->data_len - 42);
    const bool checksums =
        FoldSum(SumWords(frame + 14, 20)) == 0xffff && dataplane::UdpChecksumHolds(frame, parsed);
    const bool addressed =
        dataplane::DestinationOf(frame, parsed) == to.ip && LoadBe16(frame + 36) == to.port;
    bool media = options_.packet_class == PacketClass::kBinding ||
                 parsed.payload_size >= skip + options_.media_size;
    for (size_t k = 0;
         media && options_.packet_class != PacketClass::kBinding && k < options_.media_size; ++k) {
      media = frame[42 + skip + k] == static_cast<uint8_t>(leg + 31 * k);
    }
    if (!checksums || !addressed || !media) {
      Die(fmt::format("a packet of leg {} came out wrong: checksums {}, destination {}, media {}",
                      leg, checksums, addressed, media));
    }
  }
}

void Scene::Clear(uint32_t worker) {
  for (auto& queue : forwarder(worker).transmit()) queue.clear();
  forwarder(worker).punts().clear();
}

}  // namespace sotto::bench
