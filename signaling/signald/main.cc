// SPDX-License-Identifier: Apache-2.0
// sotto-signald: the signaling server.

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <exception>
#include <string>

#include "signaling/signald/config/config.h"
#include "signaling/signald/daemon.h"

namespace {

// Each failure is known here by one code, so that a service manager needn't retry what can't work.
constexpr int kCannotStart = 2;

int Fail(const absl::Status& status) {
  const absl::string_view message = status.message();
  fmt::print(stderr, "{}{}", std::string_view(message.data(), message.size()),
             message.empty() || message.back() != '\n' ? "\n" : "");
  return kCannotStart;
}

}  // namespace

int main(int argc, char** argv) try {
  CLI::App app("sotto-signald: a signaling server that silences unknown callers");
  app.set_version_flag("--version", "sotto-signald " SOTTO_VERSION);
  std::string path;
  bool check = false;
  bool reference = false;
  const CLI::Option* config_option =
      app.add_option("--config", path, "The configuration file (TOML)")->type_name("FILE");
  app.add_flag("--check-config", check,
               "Check the configuration and the files that it names, and exit");
  app.add_flag("--print-config-reference", reference,
               "Print all configuration keys as Markdown, and exit");
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : kCannotStart;
  }

  if (reference) {
    fmt::print("{}", sotto::signaling::ConfigReference());
    return 0;
  }
  if (config_option->empty()) {
    fmt::print(stderr, "Name the configuration file with --config FILE.\n");
    return kCannotStart;
  }
  const auto config = sotto::signaling::LoadConfig(path);
  if (!config.ok()) return Fail(config.status());
  if (check) {
    const auto warnings = sotto::signaling::CheckFiles(*config);
    if (!warnings.ok()) return Fail(warnings.status());
    for (const auto& list : {config->warnings, *warnings}) {
      for (const std::string& warning : list) fmt::print(stderr, "{}\n", warning);
    }
    fmt::print("{} is valid.\n", path);
    return 0;
  }
  const absl::Status status = sotto::signaling::RunDaemon(path, *config);
  return status.ok() ? 0 : Fail(status);
} catch (const std::exception& error) {
  fmt::print(stderr, "sotto-signald: {}\n", error.what());
  return 2;
}
