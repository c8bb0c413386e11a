// SPDX-License-Identifier: Apache-2.0
// A hash table of records that carry their own keys: one writer, any number of lock-free readers.
//
// A look-up touches two cache lines: a bucket of eight slots (a 16-bit tag and a 32-bit record
// number each), and the first line of the record, where its key stands. Both can be prefetched, so
// that a burst of look-ups waits for memory twice and not once a packet:
//
//   for each packet: hash = table.Hash(key); table.PrefetchBucket(hash);
//   for each packet: table.PrefetchRecord(hash);
//   for each packet: record = table.Find(hash, key);
//
// The hash is keyed with secrets of the table's own, as clients choose their addresses. A bucket
// that is full goes on in an overflow bucket. The writer changes a slot by whole atomic words; a
// reader that meets a slot in between finds a record whose key is another. A record that was taken
// out may still be in readers' hands: whoever calls GiveBack() has waited for them (rte_rcu_qsbr).
#pragma once

#include <emmintrin.h>
#include <rte_prefetch.h>

#include <array>
#include <atomic>
#include <bit>
#include <cstdint>
#include <cstring>
#include <new>
#include <vector>

#include "dataplane/table/table_memory.h"

namespace sotto::dataplane {

// A key as it is hashed and compared: 24 bytes in three words. Workers make the words of a packet's
// key in registers; a key written field by field and then read by words would wait for its stores.
// `kTailMask` of the key's type says which of the last eight bytes belong to it.
template <typename Key>
struct KeyWords {
  uint64_t a, b, c;

  KeyWords() = default;
  constexpr KeyWords(uint64_t first, uint64_t second, uint64_t third)
      : a(first), b(second), c(third) {}
  explicit KeyWords(const Key& key) {
    static_assert(sizeof(Key) == 24);
    const auto* bytes = reinterpret_cast<const uint8_t*>(&key);
    std::memcpy(&a, bytes, 8);
    std::memcpy(&b, bytes + 8, 8);
    std::memcpy(&c, bytes + 16, 8);
    c &= Key::kTailMask;
  }
  bool operator==(const KeyWords& other) const {
    return ((a ^ other.a) | (b ^ other.b) | (c ^ other.c)) == 0;
  }
};

using HashSecret = std::array<uint64_t, 4>;

template <typename Record>
class RecordTable {
 public:
  using Key = typename Record::Key;

  // `capacity` records at most. Check valid().
  RecordTable(const char* name, uint32_t capacity, const HashSecret& secret, int socket)
      : secret_(secret), capacity_(capacity) {
    home_buckets_ = HomeBuckets(capacity);
    bucket_count_ = home_buckets_ + home_buckets_ / 4 + 16;  // the others are for overflow
    next_overflow_ = home_buckets_;
    bucket_memory_ = TableMemory(name, sizeof(Bucket) * bucket_count_, socket);
    record_memory_ = TableMemory(name, sizeof(Record) * capacity, socket);
    buckets_ = static_cast<Bucket*>(bucket_memory_.data());
    records_ = static_cast<Record*>(record_memory_.data());
  }
  RecordTable(const RecordTable&) = delete;
  RecordTable& operator=(const RecordTable&) = delete;

  bool valid() const { return records_ != nullptr && buckets_ != nullptr; }

  static constexpr uint64_t MemoryBytes(uint32_t capacity) {
    const uint64_t buckets = HomeBuckets(capacity);
    return (buckets + buckets / 4 + 16) * sizeof(Bucket) + uint64_t{capacity} * sizeof(Record);
  }

  // --- Readers ---------------------------------------------------------------------------------

  uint64_t Hash(const KeyWords<Key>& words) const {
    const uint64_t hash = Multiply(words.a ^ secret_[0], words.b ^ secret_[1]) ^
                          Multiply(words.c ^ secret_[2], secret_[3]);
    // Keys that count up make products that do: folded and multiplied once more, they don't fall on
    // a few of the buckets.
    return (hash ^ (hash >> 32)) * 0x9E3779B97F4A7C15;
  }
  void PrefetchBucket(uint64_t hash) const { rte_prefetch0(&buckets_[HomeOf(hash)]); }
  // Prefetches what most likely is the record, without looking at its key. False if there is none,
  // but for overflow.
  bool PrefetchRecord(uint64_t hash) const {
    const Bucket& bucket = buckets_[HomeOf(hash)];
    const uint32_t matches = bucket.Matches(TagOf(hash));
    if (matches == 0) return false;
    const uint32_t number = bucket.records[Slot(matches)].load(std::memory_order_relaxed);
    if (number == 0) return false;
    rte_prefetch0(&records_[number - 1]);
    return true;
  }
  // Null if there is none. Holds until the reader's next quiescent state.
  const Record* Find(uint64_t hash, const KeyWords<Key>& wanted) const {
    const uint16_t tag = TagOf(hash);
    const Bucket* bucket = &buckets_[HomeOf(hash)];
    while (true) {
      uint32_t matches = bucket->Matches(tag);
      while (matches != 0) {
        const uint32_t number = bucket->records[Slot(matches)].load(std::memory_order_acquire);
        if (number != 0) {
          const Record& record = records_[number - 1];
          if (KeyWords<Key>(record.key) == wanted) return &record;
        }
        matches = NextMatch(matches);
      }
      const uint32_t next = bucket->next.load(std::memory_order_acquire);
      if (next == 0) [[likely]] {
        return nullptr;
      }
      bucket = &buckets_[next];
    }
  }
  const Record* Find(const KeyWords<Key>& key) const { return Find(Hash(key), key); }
  const Record* Find(const Key& key) const { return Find(KeyWords<Key>(key)); }

  // --- The writer ------------------------------------------------------------------------------

  // A fresh record, or null when all are taken.
  Record* Take() {
    if (!free_.empty()) {
      Record* record = free_.back();
      free_.pop_back();
      return new (record) Record();
    }
    if (used_ == capacity_) return nullptr;
    return new (&records_[used_++]) Record();
  }
  // Only when no reader can hold it any more; it is not in the table.
  void GiveBack(Record* record) { free_.push_back(record); }

  // Puts the record in under record->key; what stands there under the same key is out from that
  // moment on. False: no room (of overflow buckets).
  bool Insert(const Record* record) {
    const uint32_t number = NumberOf(record);
    const uint64_t hash = Hash(KeyWords<Key>(record->key));
    const uint16_t tag = TagOf(hash);
    if (std::atomic<uint32_t>* slot = FindSlot(hash, record->key).record; slot != nullptr) {
      slot->store(number, std::memory_order_release);
      return true;
    }
    Bucket* bucket = &buckets_[HomeOf(hash)];
    while (true) {
      for (uint32_t i = 0; i < kSlots; ++i) {
        if (bucket->TagAt(i) != 0) continue;
        bucket->records[i].store(number, std::memory_order_release);
        bucket->SetTag(i, tag);
        return true;
      }
      uint32_t next = bucket->next.load(std::memory_order_relaxed);
      if (next == 0) {
        if (next_overflow_ == bucket_count_) return false;
        next = next_overflow_++;
        bucket->next.store(next, std::memory_order_release);
      }
      bucket = &buckets_[next];
    }
  }
  // Makes sure that `count` records find room under keys of this one's bucket. False: they wouldn't
  // (no overflow bucket is left), and nothing has changed.
  bool Reserve(const Key& key, uint32_t count) {
    Bucket* bucket = &buckets_[HomeOf(Hash(KeyWords<Key>(key)))];
    uint32_t room = 0;
    while (true) {
      for (uint32_t i = 0; i < kSlots; ++i) room += bucket->TagAt(i) == 0 ? 1 : 0;
      if (room >= count) return true;
      const uint32_t next = bucket->next.load(std::memory_order_relaxed);
      if (next == 0) break;
      bucket = &buckets_[next];
    }
    const uint32_t more = (count - room + kSlots - 1) / kSlots;
    if (more > bucket_count_ - next_overflow_) return false;
    for (uint32_t i = 0; i < more; ++i) {
      bucket->next.store(next_overflow_, std::memory_order_release);
      bucket = &buckets_[next_overflow_++];
    }
    return true;
  }
  // Takes the record out, if it is in. Readers may hold it until their next quiescent state.
  void Remove(const Record* record) {
    const uint32_t number = NumberOf(record);
    const Place place = FindSlot(Hash(KeyWords<Key>(record->key)), record->key);
    if (place.record == nullptr || place.record->load(std::memory_order_relaxed) != number) return;
    place.bucket->SetTag(place.slot, 0);
    place.record->store(0, std::memory_order_release);
  }

  // A record's number, from 1 on, and the record of a number, for as long as it is taken.
  uint32_t NumberOf(const Record* record) const {
    return static_cast<uint32_t>(record - records_) + 1;
  }
  Record* At(uint32_t number) { return &records_[number - 1]; }
  const Record* At(uint32_t number) const { return &records_[number - 1]; }

  uint32_t capacity() const { return capacity_; }
  uint32_t taken() const { return used_ - static_cast<uint32_t>(free_.size()); }

 private:
  static constexpr uint32_t kSlots = 8;

  struct alignas(64) Bucket {
    // Four 16-bit tags each; 0: the slot is empty.
    std::atomic<uint64_t> tags[2] = {};          // the writer writes, readers read
    std::atomic<uint32_t> records[kSlots] = {};  // the writer writes, readers read; number + 1
    std::atomic<uint32_t> next = 0;              // the writer writes, readers read; 0: none

    // Two bits for each slot whose tag is this.
    uint32_t Matches(uint16_t tag) const {
      const __m128i all =
          _mm_set_epi64x(static_cast<int64_t>(tags[1].load(std::memory_order_acquire)),
                         static_cast<int64_t>(tags[0].load(std::memory_order_acquire)));
      return static_cast<uint32_t>(
          _mm_movemask_epi8(_mm_cmpeq_epi16(all, _mm_set1_epi16(static_cast<int16_t>(tag)))));
    }
    uint16_t TagAt(uint32_t slot) const {
      return static_cast<uint16_t>(tags[slot / 4].load(std::memory_order_relaxed) >>
                                   (slot % 4 * 16));
    }
    void SetTag(uint32_t slot, uint16_t tag) {
      std::atomic<uint64_t>& word = tags[slot / 4];
      const uint32_t shift = slot % 4 * 16;
      const uint64_t others = word.load(std::memory_order_relaxed) & ~(uint64_t{0xffff} << shift);
      word.store(others | (uint64_t{tag} << shift), std::memory_order_release);
    }
  };
  static_assert(sizeof(Bucket) == 64);

  // Five of eight slots are taken on the average when the table is full.
  static constexpr uint32_t HomeBuckets(uint32_t capacity) { return capacity / 5 + 1; }
  uint32_t HomeOf(uint64_t hash) const {
    return static_cast<uint32_t>((hash >> 32) * home_buckets_ >> 32);
  }

  static uint32_t Slot(uint32_t matches) {
    return static_cast<uint32_t>(std::countr_zero(matches)) / 2;
  }
  static uint32_t NextMatch(uint32_t matches) {
    return matches & ~(uint32_t{3} << (Slot(matches) * 2));
  }
  static uint16_t TagOf(uint64_t hash) { return static_cast<uint16_t>((hash >> 16) | 1); }

  static uint64_t Multiply(uint64_t a, uint64_t b) {
    const unsigned __int128 product = static_cast<unsigned __int128>(a) * b;
    return static_cast<uint64_t>(product) ^ static_cast<uint64_t>(product >> 64);
  }

  struct Place {
    Bucket* bucket = nullptr;
    uint32_t slot = 0;
    std::atomic<uint32_t>* record = nullptr;
  };
  Place FindSlot(uint64_t hash, const Key& key) {
    const KeyWords<Key> wanted(key);
    for (Bucket* bucket = &buckets_[HomeOf(hash)];;) {
      for (uint32_t i = 0; i < kSlots; ++i) {
        const uint32_t number = bucket->records[i].load(std::memory_order_relaxed);
        if (number != 0 && bucket->TagAt(i) == TagOf(hash) &&
            KeyWords<Key>(records_[number - 1].key) == wanted) {
          return {bucket, i, &bucket->records[i]};
        }
      }
      const uint32_t next = bucket->next.load(std::memory_order_relaxed);
      if (next == 0) return {};
      bucket = &buckets_[next];
    }
  }

  const HashSecret secret_;
  TableMemory bucket_memory_;
  TableMemory record_memory_;
  Bucket* buckets_ = nullptr;
  Record* records_ = nullptr;
  uint32_t home_buckets_ = 0;
  uint32_t bucket_count_ = 0;
  uint32_t next_overflow_ = 0;
  uint32_t capacity_;
  uint32_t used_ = 0;  // records that were ever taken
  std::vector<Record*> free_;
};

}  // namespace sotto::dataplane
