// SPDX-License-Identifier: Apache-2.0
// DPDK, parsed once for all of the dataplane (SottoBuild.cmake).
#pragma once

// First, as DPDK's own flags have it.
#include <rte_config.h>
// After it.
#include <rte_cycles.h>
#include <rte_ethdev.h>
#include <rte_mbuf.h>
#include <rte_mempool.h>

#include "cmake/pch/core.h"
