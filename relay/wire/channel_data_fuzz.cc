// SPDX-License-Identifier: Apache-2.0
// ChannelData from anybody: what parses lies within the datagram and says so again when rebuilt.
#include <cstdlib>
#include <cstring>
#include <vector>

#include "relay/wire/channel_data.h"

using namespace sotto::relay;  // NOLINT(google-build-using-namespace): a one-function program

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::span<const uint8_t> datagram(data, size);
  const auto parsed = ParseChannelData(datagram);
  if (!parsed) return 0;
  if (!LooksLikeChannelData(datagram) || !IsChannelNumber(parsed->number)) std::abort();
  std::vector<uint8_t> rebuilt(kChannelDataHeaderSize + parsed->data.size());
  WriteChannelDataHeader(rebuilt.data(), parsed->number,
                         static_cast<uint16_t>(parsed->data.size()));
  for (size_t i = 0; i < parsed->data.size(); ++i) rebuilt[4 + i] = parsed->data[i];
  if (rebuilt.size() > size || std::memcmp(rebuilt.data(), data, rebuilt.size()) != 0) std::abort();
  return 0;
}
