// SPDX-License-Identifier: Apache-2.0
// Explains frames with the dataplane itself: a Forwarder of its own, over the tables that the
// workers read, takes a copy of the frame; what it makes of it is the verdict. So there is no
// second dataplane that could differ from the first. Why it does so is told from the same look-ups
// (explain_steps.h).
#pragma once

#include "dataplane/observe/explanation.h"
#include "dataplane/worker/forwarder.h"

struct rte_mempool;

namespace sotto::dataplane {

// The control thread alone: it is the only writer of the tables, so that what it finds there stays
// while it looks, and it needn't be a reader that others wait for.
class Explainer final : public FrameExplainer {
 public:
  // `context` is the workers'. A frame takes a packet buffer of the pool for a moment. Both must
  // outlive the object.
  Explainer(const ForwarderContext& context, rte_mempool* pool);

  absl::StatusOr<Explanation> Explain(std::span<const uint8_t> frame, std::string_view port,
                                      uint64_t now_ms, const LegName& leg_name) override;

 private:
  const ForwarderContext& context_;
  rte_mempool* const pool_;
  WorkerCounters counters_;  // that nobody else reads
  Forwarder forwarder_;
};

}  // namespace sotto::dataplane
