// SPDX-License-Identifier: Apache-2.0
// A burst that a capture looks at, from when the worker has it until it is sent.
#pragma once

#include <rte_mbuf.h>

#include <cstddef>
#include <cstdint>

#include "dataplane/worker/capture_ring.h"
#include "dataplane/worker/captured_mbuf.h"
#include "dataplane/worker/forwarder.h"

namespace sotto::dataplane {

// While it lives, the ring of the capture is in use; if there is none any more, it does nothing.
class CapturedBurst {
 public:
  // `tick` in the capture's clock, `now_ms` in the worker's.
  CapturedBurst(CaptureTap& tap, Forwarder& forwarder, uint64_t tick, uint64_t now_ms)
      : tap_(tap), forwarder_(forwarder), ring_(tap.Hold()) {
    if (ring_ == nullptr) return;
    ring_->Begin(tick, now_ms);
    forwarder_.TellDrops(ring_);
  }
  ~CapturedBurst() {
    if (ring_ == nullptr) return;
    forwarder_.TellDrops(nullptr);
    ring_->End();
    tap_.Release();
  }
  CapturedBurst(const CapturedBurst&) = delete;
  CapturedBurst& operator=(const CapturedBurst&) = delete;

  void Add(rte_mbuf* const packets[], size_t count, CaptureDirection direction) {
    if (ring_ == nullptr || !ring_->Wants(direction)) return;
    if (ring_->Spent()) return ring_->Miss(count);
    for (size_t i = 0; i < count; ++i) ring_->Add(CapturedMbuf(packets[i]), direction);
  }

 private:
  CaptureTap& tap_;
  Forwarder& forwarder_;
  CaptureRing* const ring_;
};

}  // namespace sotto::dataplane
