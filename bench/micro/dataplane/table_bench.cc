// SPDX-License-Identifier: Apache-2.0
// A burst of 32 look-ups of random clients' channels, each with a read of what was found: our
// table, rte_hash in bulk with records behind it (what our table replaced), absl::flat_hash_map.
// What is found is checked. `cycles` are TSC cycles a look-up, the median of bursts.
#include <benchmark/benchmark.h>
#include <fmt/format.h>
#include <rte_cycles.h>
#include <rte_hash.h>
#include <rte_hash_crc.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <memory>
#include <random>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "dataplane/table/record_table.h"
#include "dataplane/table/records.h"

namespace sotto::bench {
namespace {

using dataplane::ClientKey;
using dataplane::KeyWords;

constexpr uint32_t kBurst = 32;

// As large as a channel's record, with a value in its first line.
struct alignas(64) BenchRecord {
  using Key = ClientKey;
  ClientKey key;
  uint32_t value = 0;
  uint8_t rest[96] = {};
};
static_assert(sizeof(BenchRecord) == 128);

ClientKey KeyOf(uint32_t n) {
  const uint32_t scattered = n * 0x9e3779b1u;
  return dataplane::MakeClientKey(
      IpAddress::V4(static_cast<uint8_t>(scattered >> 24), static_cast<uint8_t>(scattered >> 16),
                    static_cast<uint8_t>(scattered >> 8), static_cast<uint8_t>(scattered)),
      static_cast<uint16_t>(n * 7 + 1), 0x4000, 0);
}

class Ours {
 public:
  explicit Ours(uint32_t entries)
      : table_("bench", entries,
               {0x9e3779b97f4a7c15, 0xbf58476d1ce4e5b9, 0x94d049bb133111eb, 0x2545f4914f6cdd1d},
               0) {
    for (uint32_t n = 0; n < entries; ++n) {
      BenchRecord* record = table_.Take();
      record->key = KeyOf(n);
      record->value = n;
      if (!table_.Insert(record)) std::abort();
    }
  }
  void Find(const ClientKey keys[], uint32_t values[]) const {
    std::array<KeyWords<ClientKey>, kBurst> words;
    std::array<uint64_t, kBurst> hashes;
    for (uint32_t i = 0; i < kBurst; ++i) {
      words[i] = KeyWords<ClientKey>(keys[i]);
      hashes[i] = table_.Hash(words[i]);
      table_.PrefetchBucket(hashes[i]);
    }
    for (uint32_t i = 0; i < kBurst; ++i) table_.PrefetchRecord(hashes[i]);
    for (uint32_t i = 0; i < kBurst; ++i) values[i] = table_.Find(hashes[i], words[i])->value;
  }

 private:
  dataplane::RecordTable<BenchRecord> table_;
};

class RteHash {
 public:
  explicit RteHash(uint32_t entries) : records_(entries) {
    static int serial = 0;
    const std::string name = fmt::format("bench{}", serial++);
    rte_hash_parameters parameters = {};
    parameters.name = name.c_str();
    parameters.entries = entries + entries / 8 + 1024;
    parameters.key_len = sizeof(ClientKey);
    parameters.hash_func = rte_hash_crc;
    parameters.extra_flag = RTE_HASH_EXTRA_FLAGS_RW_CONCURRENCY_LF | RTE_HASH_EXTRA_FLAGS_EXT_TABLE;
    hash_ = rte_hash_create(&parameters);
    if (hash_ == nullptr) std::abort();
    for (uint32_t n = 0; n < entries; ++n) {
      const ClientKey key = KeyOf(n);
      records_[n].value = n;
      if (rte_hash_add_key_data(hash_, &key, &records_[n]) != 0) std::abort();
    }
  }
  ~RteHash() { rte_hash_free(hash_); }
  void Find(const ClientKey keys[], uint32_t values[]) const {
    const void* pointers[kBurst];
    void* data[kBurst];
    for (uint32_t i = 0; i < kBurst; ++i) pointers[i] = &keys[i];
    uint64_t hits = 0;
    rte_hash_lookup_bulk_data(hash_, pointers, kBurst, &hits, data);
    for (uint32_t i = 0; i < kBurst; ++i) rte_prefetch0(data[i]);
    for (uint32_t i = 0; i < kBurst; ++i) values[i] = static_cast<BenchRecord*>(data[i])->value;
  }

 private:
  rte_hash* hash_;
  std::vector<BenchRecord> records_;
};

class FlatHashMap {
 public:
  explicit FlatHashMap(uint32_t entries) : records_(entries) {
    map_.reserve(entries);
    for (uint32_t n = 0; n < entries; ++n) {
      const KeyWords<ClientKey> words(KeyOf(n));
      records_[n].value = n;
      map_.emplace(std::array<uint64_t, 3>{words.a, words.b, words.c}, &records_[n]);
    }
  }
  void Find(const ClientKey keys[], uint32_t values[]) const {
    for (uint32_t i = 0; i < kBurst; ++i) {
      const KeyWords<ClientKey> words(keys[i]);
      values[i] = map_.find(std::array<uint64_t, 3>{words.a, words.b, words.c})->second->value;
    }
  }

 private:
  absl::flat_hash_map<std::array<uint64_t, 3>, BenchRecord*> map_;
  std::vector<BenchRecord> records_;
};

template <typename Table>
void LookUp(benchmark::State& state) {
  const auto entries = static_cast<uint32_t>(state.range(0));
  static std::unique_ptr<Table> table;
  static uint32_t built_for = 0;
  if (built_for != entries) {
    table.reset();
    table = std::make_unique<Table>(entries);
    built_for = entries;
  }
  std::minstd_rand random(1);
  std::array<uint32_t, kBurst> wanted;
  std::array<ClientKey, kBurst> keys;
  std::array<uint32_t, kBurst> values;
  std::vector<uint32_t> cycles;
  for (auto _ : state) {
    for (uint32_t i = 0; i < kBurst; ++i) {
      wanted[i] = static_cast<uint32_t>(random()) % entries;
      keys[i] = KeyOf(wanted[i]);
    }
    const uint64_t begin = rte_rdtsc_precise();
    table->Find(keys.data(), values.data());
    const uint64_t took = rte_rdtsc_precise() - begin;
    if (values != wanted) {
      state.SkipWithError("found what wasn't looked for");
      return;
    }
    cycles.push_back(static_cast<uint32_t>(took));
    state.SetIterationTime(static_cast<double>(took) / static_cast<double>(rte_get_tsc_hz()));
  }
  std::nth_element(cycles.begin(), cycles.begin() + cycles.size() / 2, cycles.end());
  state.counters["cycles"] = static_cast<double>(cycles[cycles.size() / 2]) / kBurst;
  state.SetItemsProcessed(static_cast<int64_t>(state.iterations()) * kBurst);
}

#define SOTTO_TABLE(Table)          \
  BENCHMARK_TEMPLATE(LookUp, Table) \
      ->Name("table/" #Table)       \
      ->Arg(1000)                   \
      ->Arg(65'536)                 \
      ->Arg(1'048'576)              \
      ->UseManualTime()             \
      ->Iterations(20'000)
SOTTO_TABLE(Ours);
SOTTO_TABLE(RteHash);
SOTTO_TABLE(FlatHashMap);

}  // namespace
}  // namespace sotto::bench
