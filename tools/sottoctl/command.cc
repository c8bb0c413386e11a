// SPDX-License-Identifier: Apache-2.0
#include "tools/sottoctl/command.h"

#include <CLI/App.hpp>

namespace sotto::tools {

CLI::App& Commands::Group(const std::string& name, const std::string& about,
                          const std::string& heading) {
  CLI::App* group = app_.add_subcommand(name, about)->group(heading);
  group->require_subcommand(1);
  return *group;
}

CLI::App& Commands::Add(const std::string& name, const std::string& about,
                        const std::string& heading, DaemonKind kind, Command command) {
  CLI::App& app = AddTo(app_, name, about, kind, std::move(command));
  app.group(heading);
  return app;
}

CLI::App& Commands::AddTo(CLI::App& group, const std::string& name, const std::string& about,
                          DaemonKind kind, Command command) {
  CLI::App& app = *group.add_subcommand(name, about)->group("Commands");
  Runs(app, kind, std::move(command));
  return app;
}

void Commands::Runs(CLI::App& app, DaemonKind kind, Command command) {
  // A command within another one is chosen first.
  app.final_callback([this, kind, command = std::move(command)] {
    if (chosen_) return;
    chosen_ = command;
    kind_ = kind;
  });
}

}  // namespace sotto::tools
