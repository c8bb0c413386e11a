// SPDX-License-Identifier: Apache-2.0
// The table of keys and the checks of sotto-relayd's configuration. Private to the config*.cc
// files.
#pragma once

#include <span>

#include "dataplane/relayd/config/config.h"
#include "relay/daemon/config_value.h"

namespace sotto::dataplane {

using RelaydConfigReader = ConfigReader<RelaydConfig>;

std::span<const ConfigKeyReader<RelaydConfig>> ConfigKeyReaders();

// Users by name, with their passwords: a table.
void ReadUsers(const ConfigValue& value, std::map<std::string, std::string>& users);

// What no key can tell by itself: each address on an interface, nothing twice, and so on. Expects
// that all keys were read without an error.
void CheckConfig(const RelaydConfig& config, ConfigErrors& errors);

}  // namespace sotto::dataplane
