#include "tools/loadgen/wire_plan.h"

#include "relay/wire/big_endian.h"
#include "relay/wire/channel_data.h"

namespace sotto::tools {

relay::TransportAddress WirePlan::AddressOf(uint32_t leg) const {
  return {IpFromHostOrder(IpOf(leg)), PortOf(leg)};
}

uint16_t WireChannel(uint32_t leg) {
  constexpr uint32_t kHalf = (relay::kMaxChannelNumber - relay::kMinChannelNumber + 1) / 2;
  return static_cast<uint16_t>(relay::kMinChannelNumber + (leg & 1) * kHalf + leg / 2 % kHalf);
}

relay::IpAddress IpFromHostOrder(uint32_t ip) {
  std::array<uint8_t, 4> bytes;
  relay::StoreBe32(bytes.data(), ip);
  return relay::IpAddress::V4(bytes);
}

std::optional<uint32_t> IpToHostOrder(const relay::IpAddress& ip) {
  if (!ip.is_v4()) return std::nullopt;
  return relay::LoadBe32(ip.bytes().data());
}

}  // namespace sotto::tools
