// SPDX-License-Identifier: Apache-2.0
// Completion for shells, made from the tree of commands.
#pragma once

#include <CLI/App.hpp>
#include <string>

namespace sotto::tools {

std::string BashCompletion(const CLI::App& app);
std::string ZshCompletion(const CLI::App& app);

}  // namespace sotto::tools
