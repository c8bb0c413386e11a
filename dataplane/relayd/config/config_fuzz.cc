// SPDX-License-Identifier: Apache-2.0
// A configuration from anywhere: it is understood or refused with a sentence, and what is
// understood can be printed and compared.

#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "dataplane/relayd/config/config.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto config = sotto::dataplane::ParseConfig(text, "fuzz.toml");
  if (!config.ok()) {
    if (config.status().message().empty()) std::abort();
    return 0;
  }
  if (config->interfaces.empty() || config->server.listen.empty()) std::abort();
  const sotto::ConfigSchema& schema = sotto::dataplane::RelaydConfigSchema();
  if (!sotto::CompareConfigs(schema, config->settings, config->settings).init_only.empty()) {
    std::abort();
  }
  if (sotto::ConfigEntries(schema, config->settings).size() < schema.keys.size()) std::abort();
  return 0;
}
