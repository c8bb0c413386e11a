// SPDX-License-Identifier: Apache-2.0
// Next hops as workers see them: an interface and a MAC address, or "not resolved yet".
//
// Control (Neighbors, in dataplane/l3) is the only writer; workers read. An entry is two words,
// each read and written whole, so a reader sees either the old MAC address or the new one.
#pragma once

#include <atomic>
#include <cstdint>
#include <cstring>
#include <memory>

#include "dataplane/l3/interface.h"

namespace sotto::dataplane {

// An index into the table. Stays valid while its holder has a reference (Neighbors::Acquire).
using NextHopId = uint32_t;
constexpr NextHopId kNoNextHop = 0;  // entry 0 is never resolved

class NextHopTable {
 public:
  explicit NextHopTable(uint32_t capacity)
      : entries_(std::make_unique<Entry[]>(capacity)), capacity_(capacity) {}

  struct Hop {
    uint64_t word = 0;  // the MAC address in the first six bytes, in memory order
    InterfaceId interface = 0;

    bool resolved() const { return (word & kResolved) != 0; }
    MacAddress mac() const {
      MacAddress mac;
      std::memcpy(mac.bytes.data(), &word, 6);
      return mac;
    }
  };

  // Any thread.
  Hop Read(NextHopId id) const {
    const Entry& entry = entries_[id];
    const uint64_t word = entry.mac.load(std::memory_order_acquire);
    return {word, entry.interface.load(std::memory_order_relaxed)};
  }

  // Control only.
  void SetInterface(NextHopId id, InterfaceId interface) {
    entries_[id].interface.store(interface, std::memory_order_relaxed);
  }
  void SetResolved(NextHopId id, const MacAddress& mac) {
    uint64_t word = 0;
    std::memcpy(&word, mac.bytes.data(), 6);
    entries_[id].mac.store(word | kResolved, std::memory_order_release);
  }
  void SetUnresolved(NextHopId id) { entries_[id].mac.store(0, std::memory_order_release); }

  uint32_t capacity() const { return capacity_; }

 private:
  static constexpr uint64_t kResolved = uint64_t{1} << 63;
  struct Entry {
    std::atomic<uint64_t> mac = 0;           // control writes, workers read; 6 bytes and kResolved
    std::atomic<InterfaceId> interface = 0;  // control writes before the entry is handed out
  };
  std::unique_ptr<Entry[]> entries_;
  uint32_t capacity_;
};

}  // namespace sotto::dataplane
