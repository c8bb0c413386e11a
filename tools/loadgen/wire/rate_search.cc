// SPDX-License-Identifier: Apache-2.0
#include "tools/loadgen/wire/rate_search.h"

#include <algorithm>

namespace sotto::tools {
namespace {

// A sender that stays this far behind its schedule hasn't tested the rate that was asked for.
constexpr double kLeastOffered = 0.99;
// Below this a device is said to forward nothing.
constexpr double kLeastPps = 100;

}  // namespace

std::optional<double> RateSearch::Next() const {
  if (done_) return std::nullopt;
  return next_pps_;
}

void RateSearch::Note(RateTrial trial) {
  trial.asked_pps = next_pps_;
  const bool full_speed = next_pps_ == 0;
  trial.passed = trial.loss <= options_.max_loss && trial.offered_pps > 0 &&
                 (full_speed || trial.offered_pps >= kLeastOffered * next_pps_);
  trials_.push_back(trial);
  if (trial.passed && (!best_ || trial.received_pps > best_->received_pps)) best_ = trial;
  if (full_speed) {
    if (trial.passed) {
      done_ = true;  // nothing faster can be offered
      return;
    }
    // What arrived under overload is about what can be forwarded; some devices do better when they
    // are not flooded.
    failed_pps_ = trial.offered_pps;
    next_pps_ = std::min(std::max(trial.received_pps, kLeastPps), trial.offered_pps);
    done_ = trial.offered_pps < kLeastPps;
    return;
  }
  if (!trial.passed && ++failures_ < options_.attempts) return;
  failures_ = 0;
  if (!trial.passed) failed_pps_ = next_pps_;
  const double passed_pps = best_ ? best_->asked_pps : 0;
  const double low = passed_pps;
  const double high = *failed_pps_;
  if (high - low <= options_.precision * high || high < kLeastPps) {
    done_ = true;
    return;
  }
  if (low == 0) {
    next_pps_ = high * 0.8;  // the first guess was near; no need to halve it
    if (trials_.size() > 6) next_pps_ = high / 2;
  } else {
    // Steps grow from the first pass on, so that a cautious guess doesn't make a long search.
    next_pps_ = std::min((low + high) / 2, low * 1.15);
  }
}

}  // namespace sotto::tools
