// SPDX-License-Identifier: Apache-2.0
#include "tools/loadgen/wire/mix.h"

#include <fmt/format.h>

#include <algorithm>

#include "tools/loadgen/wire/packet.h"

namespace sotto::tools {

absl::StatusOr<WireMix> WireMix::Named(std::string_view name) {
  if (name == "opus") return Of(110);
  if (name == "video") return Of({{1150, 6}, {110, 1}});
  if (name == "64") return Of(kMinPayload);
  if (name == "imix") return Of({{14, 7}, {544, 4}, {1468, 1}});
  return absl::InvalidArgumentError(
      fmt::format("--mix {} is unknown; use opus, video, 64 or imix", name));
}

absl::StatusOr<WireMix> WireMix::Of(std::vector<Share> shares) {
  if (shares.empty() || shares.size() > kMaxSizes) {
    return absl::InvalidArgumentError(
        fmt::format("a mix must have 1 to {} sizes, but has {}", kMaxSizes, shares.size()));
  }
  uint32_t total = 0;
  for (const Share& share : shares) {
    if (share.payload < kMinPayload || share.payload > kMaxPayload) {
      return absl::InvalidArgumentError(
          fmt::format("--payload must be from {} to {} bytes; the first {} identify the packet, "
                      "and an IP packet has at most 1500",
                      kMinPayload, kMaxPayload, kMinPayload));
    }
    if (share.weight < 1 || share.weight > kOrder / 2) {
      return absl::InvalidArgumentError(
          fmt::format("the weight of a size must be from 1 to {}", kOrder / 2));
    }
    total += share.weight;
  }
  WireMix mix;
  mix.size_count_ = shares.size();
  for (size_t i = 0; i < shares.size(); ++i) mix.sizes_[i] = shares[i].payload;
  // Each slot goes to the size that is furthest behind its share, so that sizes alternate.
  std::array<uint32_t, kMaxSizes> given = {};
  for (size_t slot = 0; slot < kOrder; ++slot) {
    size_t next = 0;
    double furthest = -1e9;
    for (size_t i = 0; i < shares.size(); ++i) {
      const double due = static_cast<double>(slot + 1) * shares[i].weight / total - given[i];
      if (due > furthest) {
        furthest = due;
        next = i;
      }
    }
    ++given[next];
    mix.order_[slot] = static_cast<uint8_t>(next);
  }
  return mix;
}

uint16_t WireMix::max_payload() const {
  return *std::max_element(sizes_.begin(), sizes_.begin() + size_count_);
}

double WireMix::mean_frame() const {
  double sum = 0;
  for (const uint8_t index : order_) sum += sizes_[index];
  return sum / kOrder + static_cast<double>(kWireHeaderSize);
}

}  // namespace sotto::tools
