// SPDX-License-Identifier: Apache-2.0
// What `top` shows, as lines: no terminal, no clock, no connection.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "relay/api/admin.pb.h"
#include "tools/sottoctl/terminal.h"

namespace sotto::tools {

struct TopReading {
  relay::v1::Status status;
  relay::v1::Counters counters;
  relay::v1::ListWorkersResponse workers;
};

enum class TopPage { kOverview, kDrops, kWorkers, kTurn };

struct TopState {
  std::optional<TopReading> before;
  std::optional<TopReading> now;
  std::string trouble;  // why there is no newer reading; else empty
  TopPage page = TopPage::kOverview;
  size_t scroll = 0;  // lines of the page's list that are above the screen
  bool paused = false;
};

// At most `size.rows` lines of at most `size.columns`. `state.scroll` is brought back to where the
// page has lines.
std::vector<ScreenLine> RenderTop(TopState& state, const Terminal::Size& size);

}  // namespace sotto::tools
