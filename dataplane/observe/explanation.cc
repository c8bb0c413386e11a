// SPDX-License-Identifier: Apache-2.0
#include "dataplane/observe/explanation.h"

namespace sotto::dataplane {

std::string_view VerdictName(Explanation::Verdict verdict) {
  switch (verdict) {
    case Explanation::Verdict::kForward:
      return "forward";
    case Explanation::Verdict::kAnswer:
      return "answer";
    case Explanation::Verdict::kControl:
      return "control";
    case Explanation::Verdict::kDrop:
      return "drop";
  }
  return "";
}

}  // namespace sotto::dataplane
