// SPDX-License-Identifier: Apache-2.0
// What happens to a burst of packets: parse, classify, look up, rewrite. One per worker; it has no
// ports and no loop of its own, so tests and benchmarks drive it packet by packet.
//
// Read Process() first: it is the whole journey.
#pragma once

#include <rte_mbuf.h>

#include <array>
#include <cstdint>
#include <optional>
#include <vector>

#include "dataplane/l3/interface.h"
#include "dataplane/l3/next_hop.h"
#include "dataplane/packet/keystream.h"
#include "dataplane/packet/local_addresses.h"
#include "dataplane/packet/parse.h"
#include "dataplane/packet/payload.h"
#include "dataplane/table/tables.h"
#include "dataplane/worker/capture_ring.h"
#include "dataplane/worker/counters.h"
#include "dataplane/worker/punt.h"
#include "relay/base/source_budget.h"
#include "relay/stun/message.h"

namespace sotto::dataplane {

// What every worker shares; all read-only to them. Must outlive the forwarders.
struct ForwarderContext {
  const InterfaceTable& interfaces;
  const LocalAddresses& locals;
  const NextHopTable& next_hops;
  const Tables& tables;
  // By port id: its other end is a kernel that may leave UDP checksums unfinished.
  std::vector<bool> finish_checksums;
};

// What a worker does at the request of strangers, for each source prefix.
struct ForwarderBudgets {
  // STUN requests a second that one source prefix may send to control, and the burst.
  uint32_t request_rate = 2'000;
  uint32_t request_burst = 4'000;
  // Bytes a second by which Binding answers to one prefix may exceed their requests.
  uint32_t answer_excess_rate = 64 * 1024;
  uint32_t answer_excess_burst = 256 * 1024;
};

struct ForwarderOptions {
  ForwarderBudgets budgets;
  uint64_t budget_key = 0;                  // secret: keys the budgets' hash
  std::array<uint8_t, 16> random_key = {};  // secret: transaction ids and IP ids
  bool spend_rates = true;                  // false: looks at what is left, and takes nothing
};

class Forwarder {
 public:
  static constexpr uint32_t kMaxBurst = 32;

  Forwarder(const ForwarderContext& context, const ForwarderOptions& options,
            WorkerCounters& counters);

  // Takes `count` (at most kMaxBurst) mbufs that arrived on mbuf->port. Each ends in one of the
  // queues below, or is freed and counted as a drop.
  void Process(rte_mbuf* const mbufs[], uint32_t count, uint64_t now_ms);

  // Frames ready to send, by port id; and what control must see. The caller empties them.
  std::vector<std::vector<rte_mbuf*>>& transmit() { return transmit_; }
  std::vector<rte_mbuf*>& punts() { return punts_; }

  // Any thread.
  void SetBudgets(const ForwarderBudgets& budgets);

  void Drop(rte_mbuf* mbuf, DropReason reason) {
    CountDrop(mbuf, reason);
    rte_pktmbuf_free(mbuf);
  }

  // While a capture looks: where drops are told too. Null: nowhere.
  void TellDrops(CaptureRing* ring) { capture_ = ring; }

 private:
  // What a packet is, as far as its first bytes and its destination tell.
  enum class Arrival : uint8_t {
    kChannelData,
    kFromClient,  // anything else at a listening address
    kFromPeer,    // at another port of the relay
  };
  // One packet of the burst.
  struct Packet {
    rte_mbuf* mbuf;
    uint8_t* frame;
    uint64_t hash;  // of `channel`
    ParsedFrame parsed;
    ListenerIndex listener;
    Arrival arrival;
    KeyWords<ClientKey> channel;  // with kChannelData
  };
  // What has been found of a packet that isn't ChannelData, before it is acted on.
  struct Found {
    // Of which the packet is (with a Send indication), or for which (with kFromPeer); null: none.
    const LegRecord* leg = nullptr;
    std::optional<relay::StunMessage> message;  // with kFromClient
    std::optional<TransportAddress> peer;       // with a Send indication
  };
  // An interface as frames leave by it. The words are what stands behind the destination's MAC
  // address: the interface's own and the EtherType, or the tag's; then, with a tag, the rest.
  struct Link {
    uint64_t v4 = 0;
    uint64_t v6 = 0;
    uint32_t tag_v4 = 0;
    uint32_t tag_v6 = 0;
    uint16_t port = 0;
    uint16_t mtu = 0;
    uint8_t header_size = 0;
  };
  static Link LinkOf(const Interface& interface);
  // Where a frame leaves.
  struct Way {
    NextHopTable::Hop hop;
    const Link* link;
  };

  void CountDrop(const rte_mbuf* mbuf, DropReason reason) {
    counters_.drops[static_cast<size_t>(reason)].Add(1);
    if (capture_ != nullptr) [[unlikely]] {
      CaptureDrop(mbuf, reason);
    }
  }
  void CaptureDrop(const rte_mbuf* mbuf, DropReason reason);

  bool Parse(Packet& packet);
  // Finds legs and messages of what isn't ChannelData, and asks memory for what comes next.
  void FindForOthers(const Packet packets[], uint32_t count);
  // Asks memory for rates: a pure hint.
  void PrefetchMeters(const Packet packets[], uint32_t count) const;
  void FromClient(Packet& packet, const Found& found);
  void ChannelData(Packet& packet);
  void Stun(Packet& packet, const Found& found);
  void Binding(Packet& packet, const relay::StunMessage& request);
  void Send(Packet& packet, const relay::StunMessage& indication, const Found& found);
  void FromPeer(Packet& packet, const Found& found);

  // From one leg to another of this relay, both named by what control has compiled.
  void ToLeg(Packet& packet, Payload& payload, const LegRecord& from, RelayedSlot slot,
             IpFamily family, uint16_t port, PacketPath path);
  // To the leg's client, as ChannelData or as a Data indication, as the leg's permissions say.
  void ToClient(Packet& packet, Payload& payload, const LegRecord& leg,
                const TransportAddress& source, PacketPath as_channel, PacketPath as_data);
  template <typename Header>
  Way WayOf(const Header& header) const {
    const NextHopTable::Hop hop = context_.next_hops.Read(header.next_hop);
    return {hop, &links_[hop.interface]};
  }
  // Puts `header` before the payload and queues the frame. The payload has its final size.
  template <typename Header>
  [[gnu::always_inline]] inline void Emit(Packet& packet, const Payload& payload,
                                          const Header& header, const Way& way, bool dont_fragment,
                                          PacketPath path);
  // Whether a payload of that size fits the way out; if not, the sender is told by ICMP. Asked
  // before a byte of the packet is changed, since the ICMP error quotes it.
  template <typename Header>
  bool Fits(Packet& packet, size_t payload_size, const Header& header, const Way& way) {
    if (header.size() + payload_size <= way.link->mtu) [[likely]] {
      return true;
    }
    return header.next_hop == kNoNextHop || TooBig(packet, header.size() + payload_size, way);
  }
  // Whether the rates let the packet pass, which came in at that side of the leg; if not, it has
  // found its end. Asked only while there are any.
  bool PassesRates(Packet& packet, RecordNumber leg, Meters::Side side);
  bool TooBig(Packet& packet, size_t ip_size, const Way& way);  // false
  void Punt(Packet& packet, PuntKind kind, uint16_t mtu = 0);
  void Count(PacketPath path) { counters_.paths[static_cast<size_t>(path)].Add(1); }

  const ForwarderContext& context_;
  const bool spend_rates_;
  WorkerCounters& counters_;
  CaptureRing* capture_ = nullptr;
  SourceBudget request_budget_;
  SourceBudget answer_budget_;
  Keystream random_;
  std::vector<Link> links_;              // by InterfaceId
  std::vector<HeaderTemplate> sources_;  // by LocalIndex: what headers are derived from
  uint64_t now_ms_ = 0;
  CoarseTime now_ = 0;
  bool metered_ = false;                // the burst
  std::array<Found, kMaxBurst> found_;  // of its packets
  std::vector<std::vector<rte_mbuf*>> transmit_;
  std::vector<rte_mbuf*> punts_;
};

}  // namespace sotto::dataplane
