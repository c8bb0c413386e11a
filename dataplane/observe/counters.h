// What one worker has counted since it started. The worker is the only writer; any thread may read,
// and sums over the workers itself. Reads of different counters are not one moment.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <string_view>

#include "dataplane/packet/drop_reason.h"

namespace sotto::dataplane {

// Ways through the dataplane that a packet can take.
enum class PacketPath : uint8_t {
  kFused,          // ChannelData, client to client in one rewrite
  kChannelToPeer,  // ChannelData to a peer outside
  kChannelToLeg,   // ChannelData to a leg of this relay, the long way
  kSendToPeer,     // Send indication to a peer outside
  kSendToLeg,      // Send indication to a leg of this relay
  kPeerToChannel,  // from a peer outside, as ChannelData
  kPeerToData,     // from a peer outside, as a Data indication
  kBinding,        // answered in place
  kControl,        // handed to control
  kCount,
};
constexpr size_t kPacketPathCount = static_cast<size_t>(PacketPath::kCount);
std::string_view PacketPathName(PacketPath path);

class Counter {
 public:
  // The writer alone: no locked instruction.
  void Add(uint64_t n) {
    value_.store(value_.load(std::memory_order_relaxed) + n, std::memory_order_relaxed);
  }
  uint64_t Read() const { return value_.load(std::memory_order_relaxed); }

 private:
  std::atomic<uint64_t> value_ = 0;
};

struct alignas(64) WorkerCounters {
  Counter rx_packets;
  Counter rx_bytes;
  Counter tx_packets;
  Counter tx_bytes;
  Counter polls;
  Counter empty_polls;
  std::array<Counter, kPacketPathCount> paths;
  std::array<Counter, kDropReasonCount> drops;
};

}  // namespace sotto::dataplane
