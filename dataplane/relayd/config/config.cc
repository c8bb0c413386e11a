// SPDX-License-Identifier: Apache-2.0
#include "dataplane/relayd/config/config.h"

#include <utility>

#include "dataplane/relayd/config/config_reader.h"

namespace sotto::dataplane {
namespace {

const RelaydConfigReader& Reader() {
  static const RepeatedSectionReader<RelaydConfig> kRepeated[] = {
      {{.name = "interface",
        .most = kMaxInterfaces,
        .missing = "there is no [[interface]]; add at least one, with port and addresses."},
       [](RelaydConfig& config) { config.interfaces.emplace_back(); }}};
  static const auto* const reader =
      new RelaydConfigReader(ConfigKeyReaders(), kRepeated, CheckConfig);
  return *reader;
}

RelaydConfig Defaults() {
  RelaydConfig config;
  config.server.limits.max_allocations = config.dataplane.max_allocations;
  return config;
}

}  // namespace

const ConfigSchema& RelaydConfigSchema() { return Reader().schema(); }

absl::StatusOr<RelaydConfig> ParseConfig(std::string_view text, std::string_view name) {
  return Reader().Parse(text, name, Defaults());
}

absl::StatusOr<RelaydConfig> LoadConfig(const std::string& path) {
  return Reader().Load(path, Defaults());
}

std::string ConfigReference() { return sotto::ConfigReference(Reader().schema()); }

}  // namespace sotto::dataplane
