// SPDX-License-Identifier: Apache-2.0
// A relay's tables with many calls in them, and the packets of those calls: what the worker's
// benchmarks forward. Built through the compiler, as control does it.
#pragma once

#include <rte_mbuf.h>

#include <array>
#include <cstdint>
#include <memory>
#include <vector>

#include "dataplane/l3/neighbors.h"
#include "dataplane/table/compiler.h"
#include "dataplane/worker/forwarder.h"

namespace sotto::bench {

enum class PacketClass : uint8_t {
  kFused,          // ChannelData from a leg to the other leg of its call
  kChannelToPeer,  // ChannelData to a peer outside: stripped
  kPeerToChannel,  // from that peer: wrapped
  kSendToPeer,     // a Send indication to a peer outside
  kPeerToData,     // from a peer with a permission alone: a Data indication
  kBinding,        // a Binding request
};

struct SceneOptions {
  uint32_t legs = 1000;
  PacketClass packet_class = PacketClass::kFused;
  uint16_t media_size = 160;  // bytes of application data
  uint32_t workers = 1;       // forwarders that share the tables
  bool rates = false;         // of legs and users, above what a benchmark sends

  bool operator==(const SceneOptions&) const = default;
};

// Neighbours hear nothing of a benchmark.
class Silent final : public dataplane::FrameSender {
 public:
  void SendFrame(dataplane::InterfaceId, std::span<const uint8_t>) override {}
};

class Scene {
 public:
  static constexpr uint32_t kBurst = dataplane::Forwarder::kMaxBurst;
  // What the pool has for each worker.
  static constexpr uint32_t kMbufs = 4096;

  explicit Scene(const SceneOptions& options);
  ~Scene();

  // Makes the mbufs hold packets of these legs, as a port would have received them. Reads no table.
  void Fill(rte_mbuf* const mbufs[], const uint32_t legs[], uint32_t count) const;
  // Ends the program with a sentence unless the worker's forwarder made of these packets, in this
  // order, what the class says.
  void Verify(const uint32_t legs[], uint32_t count, uint32_t worker = 0);
  // Empties the forwarder's queues; the mbufs stay the caller's.
  void Clear(uint32_t worker = 0);

  // Each worker's is for one thread at a time, as are Verify() and Clear() of that worker.
  dataplane::Forwarder& forwarder(uint32_t worker = 0) { return *workers_[worker].forwarder; }
  rte_mempool* pool() { return pool_; }
  uint32_t legs() const { return options_.legs; }
  uint32_t workers() const { return options_.workers; }
  // Bytes of EAL memory that the tables take, per leg.
  double table_bytes_per_leg() const { return table_bytes_per_leg_; }

  static constexpr uint64_t kNowMs = 1'000'000;

 private:
  struct alignas(64) Worker {
    dataplane::WorkerCounters counters;
    std::unique_ptr<dataplane::Forwarder> forwarder;
  };

  TransportAddress Relayed(uint32_t index) const;
  TransportAddress Client(uint32_t index) const;
  TransportAddress Peer(uint32_t index) const;
  void AddLegs();

  SceneOptions options_;
  dataplane::InterfaceTable interfaces_;
  dataplane::LocalAddresses locals_;
  dataplane::NextHopTable next_hops_{4096};
  Silent frames_;
  dataplane::Neighbors neighbors_;
  std::unique_ptr<dataplane::Tables> tables_;
  std::unique_ptr<dataplane::ForwardingCompiler> compiler_;
  std::unique_ptr<dataplane::ForwarderContext> context_;
  std::unique_ptr<Worker[]> workers_;
  rte_mempool* pool_ = nullptr;
  double table_bytes_per_leg_ = 0;
};

}  // namespace sotto::bench
