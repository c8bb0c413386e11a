// SPDX-License-Identifier: Apache-2.0
// A FrameExplainer for tests of those who ask one: remembers the question, and gives the answer
// that a test wants.
#pragma once

#include <string>
#include <vector>

#include "dataplane/observe/explanation.h"

namespace sotto::dataplane {

class FakeExplainer final : public FrameExplainer {
 public:
  absl::StatusOr<Explanation> answer = Explanation();
  std::vector<uint8_t> frame;
  std::string port;
  relay::LegId leg = 0;  // whose name is asked for
  std::string leg_name;

  absl::StatusOr<Explanation> Explain(std::span<const uint8_t> asked, std::string_view on, uint64_t,
                                      const LegName& name_of) override {
    frame.assign(asked.begin(), asked.end());
    port = on;
    leg_name = name_of(leg);
    return answer;
  }
};

}  // namespace sotto::dataplane
