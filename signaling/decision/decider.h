// SPDX-License-Identifier: Apache-2.0
// Whether a call rings:
//
//   ring = not blocked and standing_ok and pair_rate_ok and (silencing off or token valid and
//   fresh)
//
// An account that the operator blocks is to callers as one that doesn't exist, and none of its
// calls ring.
//
// Every term is evaluated for every call, with stand-ins where something is missing (an unknown
// recipient, no token, no device), down to the store: the same statements run whatever the outcome,
// so that neither the answer nor the time it takes says which term it was. What differs still is
// how much of it a page cache holds, how many pages a commit writes, and one sealed notice for each
// of the recipient's devices beyond the first. Nothing that a caller sees waits for a decision.
//
// A call to oneself, and one to an account that doesn't exist, are decided alike. A token is used
// up by a call that rings and by no other, whether or not the recipient silences unknown callers.
//
// Runs on the store's thread.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "absl/status/statusor.h"
#include "signaling/decision/decision.h"
#include "signaling/store/store.h"

namespace sotto::signaling {

struct DeciderOptions {
  // Calls from one account to one other, within `pair_window_s`: beyond, they are silenced.
  uint32_t pair_calls = 10;
  uint32_t pair_window_s = 3600;
  // An account of whose calls more than this didn't ring within `standing_window_s`, whyever, has
  // all of its calls silenced until the window ends.
  uint32_t standing_silenced = 100;
  uint32_t standing_window_s = 24 * 3600;
};

class NoticeBox;

class Decider {
 public:
  // All must outlive the object. `key` keys the hashes of blocks and pairs.
  Decider(const DeciderOptions& options, const ServerKey& key, Store& store, NoticeBox& notices);
  ~Decider();

  // Decides a batch, one call after the other, within one transaction of its own; what it says is
  // durable. On an error nothing is decided, and nothing has changed.
  absl::StatusOr<std::vector<Decision>> Decide(std::span<const DecisionRequest> requests,
                                               int64_t unix_s);

  // Decides within a transaction of the caller's, who then says how that ended: to the Decider and
  // to the NoticeBox. After an error it has to be rolled back.
  absl::StatusOr<Decision> DecideWithin(const DecisionRequest& request, int64_t unix_s);
  void Committed();
  void RolledBack();

  BlockHash HashBlock(const AccountId& owner, const AccountId& blocked) const;

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace sotto::signaling
