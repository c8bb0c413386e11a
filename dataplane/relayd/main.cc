// SPDX-License-Identifier: Apache-2.0
// sotto-relayd: the media relay.

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <exception>
#include <string>

#include "dataplane/relayd/config/config.h"
#include "dataplane/relayd/config/running_config.h"
#include "dataplane/relayd/daemon.h"

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

#ifdef __SANITIZE_ADDRESS__
// libxdp 1.3 keeps 80 bytes of each net_af_xdp port.
extern "C" const char* __lsan_default_suppressions() { return "leak:xsk_umem__create\n"; }
#endif

int main(int argc, char** argv) try {
  CLI::App app("sotto-relayd: a TURN media relay on DPDK");
  app.set_version_flag("--version", "sotto-relayd " SOTTO_VERSION);
  std::string path;
  bool check = false;
  bool reference = false;
  const CLI::Option* config_option =
      app.add_option("--config", path, "The configuration file (TOML)")->type_name("FILE");
  app.add_flag("--check-config", check, "Check the configuration, print every error, and exit");
  app.add_flag("--print-config-reference", reference,
               "Print all configuration keys as Markdown, and exit");
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : kCannotStart;
  }

  if (reference) {
    fmt::print("{}", sotto::dataplane::ConfigReference());
    return 0;
  }
  if (config_option->empty()) {
    fmt::print(stderr, "Name the configuration file with --config FILE.\n");
    return kCannotStart;
  }
  const auto config = sotto::dataplane::LoadConfig(path);
  if (!config.ok()) return Fail(config.status());
  if (check) {
    // With the files that it names, as the start reads them.
    const auto running = sotto::dataplane::RunningConfig::Load(path, *config);
    if (!running.ok()) return Fail(running.status());
    for (const std::string& warning : running->config().warnings) {
      fmt::print(stderr, "{}\n", warning);
    }
    fmt::print("{} is valid.\n", path);
    return 0;
  }
  const absl::Status status = sotto::dataplane::RunDaemon(path, *config);
  return status.ok() ? 0 : Fail(status);
} catch (const std::exception& error) {
  fmt::print(stderr, "sotto-relayd: {}\n", error.what());
  return 2;
}
