// The table of keys and the checks of sotto-relayd's configuration. Private to the config*.cc
// files.
#pragma once

#include <span>

#include "dataplane/relayd/config.h"
#include "relay/daemon/config_value.h"

namespace sotto::dataplane {

using RelaydConfigReader = ConfigReader<RelaydConfig>;

std::span<const ConfigKeyReader<RelaydConfig>> ConfigKeyReaders();

// What no key can tell by itself: each address on an interface, nothing twice, and so on. Expects
// that all keys were read without an error.
void CheckConfig(const RelaydConfig& config, ConfigErrors& errors);

}  // namespace sotto::dataplane
