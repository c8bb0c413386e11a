// SPDX-License-Identifier: Apache-2.0
// Reassembly of fragmented UDP datagrams (RFC 791, section 3.2; RFC 8200, section 4.5), bounded in
// every direction.
//
// A fragment's bytes are copied to their place in a buffer of fixed size and the fragment is given
// back at once, so a flood of fragments can't starve a port of its receive buffers. Datagrams whose
// fragments overlap are dropped whole, with what comes later of them (RFC 5722, for IPv4 too);
// repeated fragments are ignored. When all places are taken the oldest one is given up: honest
// fragments arrive back to back, so they get through where those of an attack wait for company.
//
// Byte spans in, byte spans out, and the time is passed in. One thread only.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include "absl/container/btree_set.h"
#include "absl/container/flat_hash_map.h"
#include "dataplane/l3/interface.h"
#include "dataplane/l3/reassembly_outcome.h"
#include "relay/base/ip_address.h"
#include "relay/base/source_budget.h"

namespace sotto::dataplane {

struct ReassemblyOptions {
  uint32_t max_datagrams = 1024;           // incomplete at a time; each takes max_packet bytes
  uint32_t max_datagrams_per_source = 64;  // of them from one prefix (IPv4 /24, IPv6 /56)
  uint32_t max_fragments = 4;              // of one datagram, 2 to kMaxFragments
  uint32_t timeout_ms = 2'000;             // from a datagram's first fragment to its last
  uint16_t max_packet = 2'000;             // bytes of IP packet; what a frame's buffer holds
  uint32_t fragments_per_second = 4'000;   // from one prefix
  uint32_t fragments_burst = 1'000;
  uint64_t secret = 0;  // random: keys the budget
};

struct ReassemblyCounters {
  std::array<uint64_t, kCountOf<ReassemblyOutcome>> outcomes = {};  // fragments
  uint64_t timed_out = 0;  // datagrams whose fragments didn't all come in time
  uint64_t given_up = 0;   // datagrams that made room for newer ones
};

class Reassembler {
 public:
  static constexpr uint32_t kMaxFragments = 8;
  // Bytes in front of an IP packet: Ethernet and one 802.1Q tag at most.
  static constexpr size_t kMaxLinkHeader = 18;

  explicit Reassembler(const ReassemblyOptions& options);

  struct Result {
    ReassemblyOutcome outcome = ReassemblyOutcome::kMalformed;
    // kComplete: the datagram in one frame, with the link header and the IP header of its first
    // fragment, as if it had never been fragmented; valid until the next call of Add().
    std::span<const uint8_t> frame;
  };

  // `frame` holds an IPv4 fragment, or an IPv6 packet whose first header is a fragment header, at
  // `ip_offset`. Bytes behind the IP packet are ignored.
  Result Add(InterfaceId interface, std::span<const uint8_t> frame, size_t ip_offset,
             uint64_t now_ms);

  // Ends what has timed out; at most `budget` datagrams. Add() does so too.
  void Expire(uint64_t now_ms, uint32_t budget = 64);

  const ReassemblyCounters& counters() const { return counters_; }
  uint32_t pending() const { return static_cast<uint32_t>(by_key_.size()); }

 private:
  struct Key {
    IpAddress source, destination;
    uint32_t id = 0;
    InterfaceId interface = 0;

    bool operator==(const Key&) const = default;
    template <typename H>
    friend H AbslHashValue(H h, const Key& k) {
      return H::combine(std::move(h), k.source, k.destination, k.id, k.interface);
    }
  };
  struct Fragment {
    Key key;
    std::span<const uint8_t> link_header;
    std::span<const uint8_t> ip_header;  // IPv6: without the fragment header
    std::span<const uint8_t> data;
    uint32_t offset = 0;  // bytes
    bool more = false;
    uint8_t protocol = 0;

    uint32_t end() const { return offset + static_cast<uint32_t>(data.size()); }
  };
  struct Range {
    uint16_t begin = 0, end = 0;
  };
  struct Datagram {
    Key key;
    uint64_t started_ms = 0;
    uint32_t total = 0;      // bytes of data; 0: the last fragment hasn't come
    uint32_t received = 0;   // bytes of data
    uint16_t head_size = 0;  // of link and IP header; 0: the first fragment hasn't come
    uint8_t link_size = 0;   // of the link header
    uint8_t fragments = 0;
    // kPending, or why the datagram is lost whatever comes.
    ReassemblyOutcome fate = ReassemblyOutcome::kPending;
    std::array<Range, kMaxFragments> ranges;
    std::vector<uint8_t> bytes;  // room for the headers, then the data
  };

  static bool Parse(InterfaceId interface, std::span<const uint8_t> frame, size_t ip_offset,
                    Fragment& out);
  Result AddCounted(InterfaceId interface, std::span<const uint8_t> frame, size_t ip_offset,
                    uint64_t now_ms);
  ReassemblyOutcome Place(Datagram& datagram, const Fragment& fragment);
  Datagram* FindOrCreate(const Fragment& fragment, uint64_t now_ms);
  void WriteHead(std::vector<uint8_t>& bytes, const Fragment& fragment) const;
  static std::span<const uint8_t> Whole(std::span<uint8_t> bytes, size_t head_size,
                                        size_t link_size, size_t data_size);
  void End(uint32_t slot);

  const ReassemblyOptions options_;
  SourceBudget budget_;
  std::vector<Datagram> slots_;
  std::vector<uint32_t> free_;
  absl::flat_hash_map<Key, uint32_t> by_key_;
  absl::flat_hash_map<IpAddress, uint32_t> by_source_;     // prefix: incomplete datagrams
  absl::btree_set<std::pair<uint64_t, uint32_t>> by_age_;  // start, slot
  std::vector<uint8_t> finished_;                          // what was returned last
  ReassemblyCounters counters_;
};

}  // namespace sotto::dataplane
