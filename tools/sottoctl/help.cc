// SPDX-License-Identifier: Apache-2.0
#include "tools/sottoctl/help.h"

#include <fmt/format.h>

#include <CLI/StringTools.hpp>
#include <algorithm>

#include "tools/sottoctl/units.h"

namespace sotto::tools {
namespace {

constexpr size_t kWidth = 80;
constexpr size_t kIndent = 2;
constexpr size_t kTextColumn = 24;

// A name, and what it means in a column of its own.
std::string Entry(const std::string& name, const std::string& text) {
  std::string line(kIndent, ' ');
  line += name;
  if (text.empty()) return line + "\n";
  if (line.size() + 2 > kTextColumn) {
    line += '\n';
    line.append(kTextColumn, ' ');
  } else {
    line.append(kTextColumn - line.size(), ' ');
  }
  return line + Wrap(text, kWidth, kTextColumn) + "\n";
}

}  // namespace

std::vector<std::pair<std::string, std::vector<const CLI::App*>>> VisibleCommands(
    const CLI::App& app) {
  std::vector<std::pair<std::string, std::vector<const CLI::App*>>> groups;
  for (const CLI::App* command : app.get_subcommands([](const CLI::App*) { return true; })) {
    const std::string& heading = command->get_group();
    if (heading.empty()) continue;
    auto group = std::ranges::find_if(groups, [&](const auto& g) { return g.first == heading; });
    if (group == groups.end()) group = groups.insert(group, {heading, {}});
    group->second.push_back(command);
  }
  return groups;
}

std::vector<const CLI::Option*> NamedOptions(const CLI::App& app) {
  // Every command has --help, so it's named once.
  return app.get_options([&app](const CLI::Option* o) {
    return o->nonpositional() && (app.get_parent() == nullptr || o != app.get_help_ptr());
  });
}

std::vector<const CLI::Option*> Positionals(const CLI::App& app) {
  return app.get_options([](const CLI::Option* o) { return o->get_positional(); });
}

std::string OptionSpelling(const CLI::Option& option) {
  if (option.get_positional()) return option.get_name(true, false);
  std::vector<std::string> names;
  for (const std::string& name : option.get_snames()) names.push_back("-" + name);
  for (const std::string& name : option.get_lnames()) names.push_back("--" + name);
  std::string spelling = fmt::format("{}", fmt::join(names, ", "));
  if (option.get_type_size() != 0) spelling += " " + option.get_type_name();
  if (option.get_expected_max() > 1) spelling += "...";
  return spelling;
}

std::string UsageArguments(const CLI::App& app) {
  std::string text;
  const auto add = [&text](const std::string& word) { text += (text.empty() ? "" : " ") + word; };
  if (!NamedOptions(app).empty()) add("[OPTIONS]");
  for (const CLI::Option* positional : Positionals(app)) {
    std::string name = positional->get_name(true, false);
    if (positional->get_expected_max() > 1) name += "...";
    add(positional->get_required() ? name : "[" + name + "]");
  }
  if (!VisibleCommands(app).empty()) {
    add(app.get_require_subcommand_min() > 0 ? "COMMAND" : "[COMMAND]");
  }
  return text;
}

std::vector<std::string> Choices(const CLI::Option& option) {
  const std::string kind = option.get_type_name();
  if (kind.find('|') == std::string::npos) return {};
  return CLI::detail::split(kind, '|');
}

std::string HelpFormatter::make_help(const CLI::App* app, std::string name,
                                     CLI::AppFormatMode) const {
  std::string out = fmt::format("Usage: {} {}\n\n{}\n", name, UsageArguments(*app),
                                Wrap(app->get_description() + ".", kWidth, 0));
  for (const auto& [heading, commands] : VisibleCommands(*app)) {
    out += fmt::format("\n{}:\n", heading);
    for (const CLI::App* command : commands) {
      out += Entry(command->get_name(), command->get_description());
    }
  }
  const auto positionals = Positionals(*app);
  if (!positionals.empty()) out += "\nArguments:\n";
  for (const CLI::Option* positional : positionals) {
    out += Entry(OptionSpelling(*positional), positional->get_description());
  }
  const auto options = NamedOptions(*app);
  if (!options.empty()) out += "\nOptions:\n";
  for (const CLI::Option* option : options) {
    out += Entry(OptionSpelling(*option), option->get_description());
  }
  if (!app->get_footer().empty()) {
    out += '\n';
    for (const std::string& line : CLI::detail::split(app->get_footer(), '\n')) {
      // Examples stand as they are.
      out += (line.starts_with("  ") ? line : Wrap(line, kWidth, 0)) + "\n";
    }
  }
  if (app->get_parent() != nullptr) out += "\nOptions of every command: sottoctl --help\n";
  return out;
}

}  // namespace sotto::tools
