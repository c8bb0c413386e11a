// SPDX-License-Identifier: Apache-2.0
// The packet pool that all ports and workers share.
#pragma once

#include <cstdint>
#include <span>

#include "absl/status/statusor.h"
#include "dataplane/port/port.h"

struct rte_mempool;

namespace sotto::dataplane {

struct PoolOptions {
  uint32_t mbufs = 0;         // 0: PoolSize()
  uint16_t lcores = 2;        // workers and main
  uint32_t held = 4096;       // mbufs that wait in rings, for control, for reassembly
  uint16_t private_size = 0;  // bytes of each mbuf for our own use; a multiple of 8
};

// Mbufs such that every descriptor of every queue may hold one, every lcore has its cache and a
// burst in hand, and `held` more wait elsewhere.
uint32_t PoolSize(std::span<const Port> ports, const PoolOptions& options);
// Bytes of data in an mbuf behind its headroom: the largest frame of any port.
uint16_t PoolDataRoom(std::span<const Port> ports);
// Bytes that a pool takes.
uint64_t PoolBytes(uint32_t mbufs, uint16_t data_room, uint16_t private_size);

// RESOURCE_EXHAUSTED if DPDK's memory doesn't suffice. The caller frees it with rte_mempool_free
// after all ports are closed.
absl::StatusOr<rte_mempool*> CreatePool(std::span<const Port> ports, const PoolOptions& options);

}  // namespace sotto::dataplane
