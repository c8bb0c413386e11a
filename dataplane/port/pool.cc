// SPDX-License-Identifier: Apache-2.0
#include "dataplane/port/pool.h"

#include <fmt/format.h>
#include <rte_errno.h>
#include <rte_lcore.h>
#include <rte_mbuf.h>
#include <rte_mempool.h>

#include <algorithm>
#include <bit>

namespace sotto::dataplane {
namespace {

constexpr uint32_t kBurst = 64;
constexpr uint32_t kCacheSize = 256;
static_assert(kCacheSize <= RTE_MEMPOOL_CACHE_MAX_SIZE);

}  // namespace

uint32_t PoolSize(std::span<const Port> ports, const PoolOptions& options) {
  // An lcore's cache grows to 1.5 times its size before it is flushed.
  uint32_t needed = options.held + options.lcores * (kCacheSize * 3 / 2 + 2 * kBurst);
  for (const Port& port : ports)
    needed += port.queues * (port.rx_descriptors + port.tx_descriptors);
  // The pool's ring has a power of two of slots and holds one less.
  return std::bit_ceil(needed + 1) - 1;
}

uint16_t PoolDataRoom(std::span<const Port> ports) {
  uint32_t room = RTE_MBUF_DEFAULT_DATAROOM;
  for (const Port& port : ports) {
    room = std::max<uint32_t>({room, port.mtu + uint32_t{kFrameOverhead}, port.min_rx_buffer});
  }
  constexpr uint32_t kMost = UINT16_MAX - RTE_PKTMBUF_HEADROOM - RTE_CACHE_LINE_SIZE;
  return static_cast<uint16_t>(std::min(RTE_ALIGN_CEIL(room, RTE_CACHE_LINE_SIZE), kMost));
}

uint64_t PoolBytes(uint32_t mbufs, uint16_t data_room, uint16_t private_size) {
  // An element has a header and, for the spread over memory channels, up to a cache line or two
  // behind it; the ring has a pointer for each.
  const uint64_t element = sizeof(rte_mempool_objhdr) + sizeof(rte_mbuf) + private_size +
                           RTE_PKTMBUF_HEADROOM + data_room + uint64_t{2 * RTE_CACHE_LINE_SIZE};
  return mbufs * (element + sizeof(void*));
}

absl::StatusOr<rte_mempool*> CreatePool(std::span<const Port> ports, const PoolOptions& options) {
  const uint32_t mbufs = options.mbufs != 0 ? options.mbufs : PoolSize(ports, options);
  const uint16_t data_room = PoolDataRoom(ports);
  const bool one_node = std::all_of(ports.begin(), ports.end(), [&](const Port& port) {
    return port.socket == ports.front().socket;
  });
  // Without a node in common, main's: any memory is better than none.
  const int node = !ports.empty() && one_node && ports.front().socket >= 0
                       ? ports.front().socket
                       : static_cast<int>(rte_socket_id());
  uint32_t cache = std::min(kCacheSize, mbufs / (2 * std::max<uint32_t>(options.lcores, 1)));
  rte_mempool* pool =
      rte_pktmbuf_pool_create("sotto_packets", mbufs, cache, options.private_size,
                              static_cast<uint16_t>(RTE_PKTMBUF_HEADROOM + data_room), node);
  if (pool == nullptr) {
    return absl::ResourceExhaustedError(
        fmt::format("can't allocate {} packet buffers of {} bytes ({}); raise [dataplane] "
                    "memory_mb or the number of hugepages, or lower mbufs, descriptors or mtu.",
                    mbufs, data_room, rte_strerror(rte_errno)));
  }
  return pool;
}

}  // namespace sotto::dataplane
