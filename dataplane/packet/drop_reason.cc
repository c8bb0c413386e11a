// SPDX-License-Identifier: Apache-2.0
#include "dataplane/packet/drop_reason.h"

namespace sotto::dataplane {
namespace {

struct Row {
  std::string_view name;
  std::string_view sentence;
};

constexpr Row kRows[] = {
#define SOTTO_X(symbol, name, sentence) {name, sentence},
    SOTTO_DROP_REASONS(SOTTO_X)
#undef SOTTO_X
};

}  // namespace

std::string_view DropReasonName(DropReason reason) {
  return kRows[static_cast<size_t>(reason)].name;
}

std::string_view DropReasonSentence(DropReason reason) {
  return kRows[static_cast<size_t>(reason)].sentence;
}

}  // namespace sotto::dataplane
