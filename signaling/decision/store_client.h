// SPDX-License-Identifier: Apache-2.0
// The store as those see it who give it work: jobs and decisions, which StoreThread does, and in
// tests whatever stands in for it.
#pragma once

#include <functional>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "signaling/decision/decider.h"
#include "signaling/decision/decision.h"
#include "signaling/decision/notice_box.h"
#include "signaling/store/store.h"

namespace sotto::signaling {

// What jobs work with. Lives on the store's thread.
struct StoreContext {
  Store& store;
  NoticeBox& notices;
  Decider& decider;
};

class StoreClient {
 public:
  // RESOURCE_EXHAUSTED leaves the batch's other jobs alone; any other error rolls all of it back,
  // and each job's `done` gets the error.
  using Job = std::function<absl::Status(StoreContext&)>;
  using Done = std::function<void(const absl::Status&)>;
  using Decided = std::function<void(const absl::StatusOr<Decision>&)>;

  virtual ~StoreClient() = default;
  // From one thread. False, and nothing is done, when the queue is full.
  virtual bool Submit(Job job, Done done) = 0;
  virtual bool Decide(DecisionRequest request, Decided decided) = 0;
};

}  // namespace sotto::signaling
