// SPDX-License-Identifier: Apache-2.0
// The payload sizes of a run, and which packet has which. The size of a packet follows from its
// leg and sequence number, so a receiver knows what it must be.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

namespace sotto::tools {

class WireMix {
 public:
  // The payload begins with the leg, the sequence number and the time.
  static constexpr uint32_t kMinPayload = 14;
  // An IP packet of 1500 bytes, less the headers of IPv4, UDP and ChannelData.
  static constexpr uint32_t kMaxPayload = 1468;
  static constexpr size_t kMaxSizes = 4;

  // A `weight` of 1 to 128 is this size's share of the packets.
  struct Share {
    uint16_t payload = 0;
    uint32_t weight = 1;
  };

  // "opus": 20 ms of Opus at 32 kbit/s (80 bytes), RTP with an extension, and an SRTP tag;
  // "video": 1,150-byte packets as libwebrtc cuts them, one in seven of them audio;
  // "64": Ethernet frames of 64 bytes, frame check sequence included;
  // "imix": Simple IMIX, IP packets of 46 (the least that there can be), 576 and 1500 bytes as
  // 7:4:1.
  static absl::StatusOr<WireMix> Named(std::string_view name);
  // INVALID_ARGUMENT if a size is out of range, or there are none or too many.
  static absl::StatusOr<WireMix> Of(std::vector<Share> shares);
  static absl::StatusOr<WireMix> Of(uint32_t payload) { return Of({{CheckedSize(payload), 1}}); }

  size_t size_count() const { return size_count_; }
  uint16_t payload(size_t index) const { return sizes_[index]; }
  uint16_t max_payload() const;
  // Bytes of Ethernet frames, without frame check sequence, on average.
  double mean_frame() const;

  // Index of the size of a packet.
  size_t IndexFor(uint32_t leg, uint32_t sequence) const {
    return size_count_ == 1 ? 0 : order_[(sequence + leg * 7) % kOrder];
  }

 private:
  static constexpr size_t kOrder = 256;
  static uint16_t CheckedSize(uint32_t payload) {
    return static_cast<uint16_t>(payload > UINT16_MAX ? 0 : payload);
  }

  std::array<uint16_t, kMaxSizes> sizes_ = {};
  size_t size_count_ = 0;
  std::array<uint8_t, kOrder> order_ = {};
};

}  // namespace sotto::tools
