// SPDX-License-Identifier: Apache-2.0
// What the dataplane would do with a frame, and why: as a value, without DPDK.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "dataplane/packet/drop_reason.h"
#include "dataplane/worker/counters.h"
#include "relay/forwarding.h"

namespace sotto::dataplane {

struct Explanation {
  enum class Verdict : uint8_t { kForward, kAnswer, kControl, kDrop };
  struct Step {
    // parse, classify, look up, permission, rate, rewrite, next hop, verdict
    std::string_view what;
    std::string text;  // one sentence or two
  };

  std::vector<Step> steps;
  Verdict verdict = Verdict::kDrop;
  std::optional<PacketPath> path;         // as it would be counted; nothing if it is dropped
  std::optional<DropReason> drop_reason;  // with kDrop
  std::vector<uint8_t> frame;             // what would be sent, with kForward and kAnswer
  std::string port;                       // where
};
std::string_view VerdictName(Explanation::Verdict verdict);

class FrameExplainer {
 public:
  // An allocation as operators know it, such as "allocation 18368913".
  using LegName = std::function<std::string(relay::LegId)>;

  virtual ~FrameExplainer() = default;

  // What would become of the frame (from the Ethernet header on, without FCS) if it arrived on
  // `port` now; empty: on the first. Nothing is sent, counted or changed. A frame alone says
  // nothing of load: budgets of source prefixes, rings, and ports that are full aren't foreseen,
  // nor is what control does with what is handed to it. NOT_FOUND: no such port. INVALID_ARGUMENT:
  // longer than any port takes. RESOURCE_EXHAUSTED: no packet buffer. The control thread.
  virtual absl::StatusOr<Explanation> Explain(std::span<const uint8_t> frame, std::string_view port,
                                              uint64_t now_ms, const LegName& leg_name) = 0;
};

}  // namespace sotto::dataplane
