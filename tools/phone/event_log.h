// SPDX-License-Identifier: Apache-2.0
// What sotto-phone says: one JSON object a line on stdout, "event" and "t_ms" first.
#pragma once

#include <chrono>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <string_view>

namespace sotto::tools {

class EventLog {
 public:
  using Json = nlohmann::ordered_json;

  // "t_ms" are milliseconds since the object was made, to the microsecond.
  void Write(std::string_view event, Json fields = Json::object()) const {
    const auto since = std::chrono::steady_clock::now() - began_;
    const auto us = std::chrono::duration_cast<std::chrono::microseconds>(since).count();
    Json line = {{"event", event}, {"t_ms", static_cast<double>(us) / 1000}};
    line.update(fields);
    // Names that come from a server are bytes until proven text.
    const std::string text = line.dump(-1, ' ', false, Json::error_handler_t::replace);
    std::fprintf(stdout, "%s\n", text.c_str());
    std::fflush(stdout);
  }

 private:
  std::chrono::steady_clock::time_point began_ = std::chrono::steady_clock::now();
};

}  // namespace sotto::tools
