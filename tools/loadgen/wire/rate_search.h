// SPDX-License-Identifier: Apache-2.0
// Finds the highest rate that a device forwards with no more than an allowed loss: RFC 2544,
// section 26.1, by bisection. The trials are the caller's.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

namespace sotto::tools {

struct RateSearchOptions {
  double max_loss = 0;      // share of the packets, 0 to 1
  double precision = 0.02;  // ends when the answer is known as closely as that
  uint32_t attempts = 1;    // trials that a rate may fail before it has failed
};

// One trial at a rate.
struct RateTrial {
  double asked_pps = 0;    // 0: as fast as possible
  double offered_pps = 0;  // what the sender managed
  double received_pps = 0;
  double loss = 0;      // share of what was sent
  bool passed = false;  // set by RateSearch
};

class RateSearch {
 public:
  explicit RateSearch(const RateSearchOptions& options) : options_(options) {}

  // The rate of the next trial, 0 for as fast as possible; nothing when the search is over. The
  // first trial is one at full speed: what arrives of it bounds the answer.
  std::optional<double> Next() const;
  // The outcome of the trial that Next() asked for.
  void Note(RateTrial trial);

  // The best trial that passed; nothing if none did.
  const std::optional<RateTrial>& best() const { return best_; }
  const std::vector<RateTrial>& trials() const { return trials_; }

 private:
  RateSearchOptions options_;
  std::vector<RateTrial> trials_;
  std::optional<RateTrial> best_;
  std::optional<double> failed_pps_;  // the least rate that failed
  double next_pps_ = 0;
  uint32_t failures_ = 0;  // at next_pps_
  bool done_ = false;
};

}  // namespace sotto::tools
