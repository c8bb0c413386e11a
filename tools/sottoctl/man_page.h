// SPDX-License-Identifier: Apache-2.0
// The man page, made from the tree of commands.
#pragma once

#include <CLI/App.hpp>
#include <string>

namespace sotto::tools {

// sottoctl.1, in the man(7) macros.
std::string ManPage(const CLI::App& app);

}  // namespace sotto::tools
