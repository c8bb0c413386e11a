// SPDX-License-Identifier: Apache-2.0
// What --help prints, and what the man page and the completions are made from: the tree of
// commands.
#pragma once

#include <CLI/App.hpp>
#include <CLI/FormatterFwd.hpp>
#include <string>
#include <utility>
#include <vector>

namespace sotto::tools {

// The subcommands of `app` that aren't hidden, under their headings, in the order of the tree.
std::vector<std::pair<std::string, std::vector<const CLI::App*>>> VisibleCommands(
    const CLI::App& app);

// Options; positionals apart, and --help but for that of the whole.
std::vector<const CLI::Option*> NamedOptions(const CLI::App& app);
std::vector<const CLI::Option*> Positionals(const CLI::App& app);

// "-o, --output table|json|yaml"; of a positional, its name.
std::string OptionSpelling(const CLI::Option& option);
// "NAME [FILE] [OPTIONS]", "COMMAND"
std::string UsageArguments(const CLI::App& app);
// The words that the option takes, if it takes one of a few.
std::vector<std::string> Choices(const CLI::Option& option);

class HelpFormatter : public CLI::FormatterBase {
 public:
  std::string make_help(const CLI::App* app, std::string name,
                        CLI::AppFormatMode mode) const override;
};

}  // namespace sotto::tools
