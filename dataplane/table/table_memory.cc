// SPDX-License-Identifier: Apache-2.0
#include "dataplane/table/table_memory.h"

#include <rte_common.h>
#include <rte_eal.h>
#include <rte_malloc.h>
#include <sys/mman.h>

namespace sotto::dataplane {
namespace {

constexpr size_t kHugePage = size_t{2} << 20;

}  // namespace

TableMemory::TableMemory(const char* name, size_t bytes, int socket) {
  if (rte_eal_has_hugepages() != 0) {
    data_ = rte_zmalloc_socket(name, bytes, RTE_CACHE_LINE_SIZE, socket);
    return;
  }
  // Room to begin at a huge page's edge isn't worth it for what is smaller than one.
  const size_t size = bytes < kHugePage ? bytes : RTE_ALIGN_CEIL(bytes, kHugePage);
  Map(size);
}

TableMemory TableMemory::OnUse(size_t bytes) {
  TableMemory memory;
  memory.Map(bytes);
  return memory;
}

void TableMemory::Map(size_t bytes) {
  void* mapped = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (mapped == MAP_FAILED) return;
  if (bytes >= kHugePage) madvise(mapped, bytes, MADV_HUGEPAGE);
  data_ = mapped;
  mapped_ = bytes;
}

TableMemory::~TableMemory() {
  if (mapped_ != 0) {
    munmap(data_, mapped_);
  } else {
    rte_free(data_);
  }
}

}  // namespace sotto::dataplane
