// SPDX-License-Identifier: Apache-2.0
#include "tools/loadgen/wire/plan.h"

#include "relay/base/big_endian.h"
#include "relay/wire/channel_data.h"

namespace sotto::tools {

TransportAddress WirePlan::AddressOf(uint32_t leg) const {
  return {IpFromHostOrder(IpOf(leg)), PortOf(leg)};
}

uint16_t WireChannel(uint32_t leg) {
  constexpr uint32_t kHalf = (relay::kMaxChannelNumber - relay::kMinChannelNumber + 1) / 2;
  return static_cast<uint16_t>(relay::kMinChannelNumber + (leg & 1) * kHalf + leg / 2 % kHalf);
}

IpAddress IpFromHostOrder(uint32_t ip) {
  std::array<uint8_t, 4> bytes;
  StoreBe32(bytes.data(), ip);
  return IpAddress::V4(bytes);
}

std::optional<uint32_t> IpToHostOrder(const IpAddress& ip) {
  if (!ip.is_v4()) return std::nullopt;
  return LoadBe32(ip.bytes().data());
}

}  // namespace sotto::tools
