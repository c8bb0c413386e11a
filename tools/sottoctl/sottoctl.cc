// SPDX-License-Identifier: Apache-2.0
#include "tools/sottoctl/sottoctl.h"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <ostream>

#include "tools/sottoctl/completion.h"
#include "tools/sottoctl/help.h"
#include "tools/sottoctl/man_page.h"
#include "tools/sottoctl/units.h"

namespace sotto::tools {
namespace {

constexpr const char* kFooter =
    "Environment: SOTTO_TARGET and SOTTO_SIGNALING_TARGET are defaults of --target; NO_COLOR "
    "disables colors.\n"
    "\n"
    "Exit code: 0 success; 1 refused or failed; 2 the command line is wrong; 3 the daemon can't be "
    "reached; 4 not found.";

struct GlobalOptions {
  OutputFormat format = OutputFormat::kTable;
  DaemonTarget target;
  bool signaling = false;
  bool no_color = false;
  bool raw = false;
};

void AddGlobalOptions(CLI::App& app, GlobalOptions& options) {
  AddChoice(
      app, "-o,--output", {"table", "json", "yaml"},
      [&options](const std::string& word) {
        options.format = word == "json"   ? OutputFormat::kJson
                         : word == "yaml" ? OutputFormat::kYaml
                                          : OutputFormat::kTable;
      },
      "Output format; default: table. In JSON and YAML, times are in seconds, and fields have the "
      "names of the .proto files");
  app.add_option(
         "-t,--target", options.target.address,
         fmt::format("The daemon: unix:/PATH, or HOST:PORT with mutual TLS. Default: {}, or {} for "
                     "signaling commands",
                     kRelaySocket, kSignalingSocket))
      ->type_name("TARGET");
  app.add_flag("--signaling", options.signaling,
               "Ask sotto-signald, for commands that both daemons have: status, reload, config, "
               "log");
  AddFile(app, "--ca", options.target.ca_file,
          "The CA that issued the daemon's certificate, in PEM");
  AddFile(app, "--cert", options.target.cert_file, "The client certificate, in PEM");
  AddFile(app, "--key", options.target.key_file,
          "The private key of the client certificate, in PEM");
  AddText(
      app, "--timeout", "DURATION",
      [&options](const std::string& text) {
        const auto timeout = ParseDuration(text);
        if (!timeout.ok()) RefuseOption("--timeout", std::string(timeout.status().message()));
        if (timeout->count() == 0) RefuseOption("--timeout", "must be more than 0");
        options.target.timeout = *timeout;
      },
      "How long to wait for an answer, or for its next part; default: 10s");
  app.add_flag("--raw", options.raw, "Print plain numbers in tables: bytes, seconds, nanoseconds");
  app.add_flag("--no-color", options.no_color,
               "Don't use colors, which are only used on terminals");
}

// The hidden command that the build makes packages' files with.
void AddGenerate(Commands& commands, CLI::App& app) {
  CLI::App& generate = commands.Group("generate", "Prints files that packages install", "");
  const struct {
    const char* name;
    std::string (*make)(const CLI::App&);
  } kKinds[] = {{"man", ManPage}, {"bash", BashCompletion}, {"zsh", ZshCompletion}};
  for (const auto& kind : kKinds) {
    commands.AddTo(generate, kind.name, "", DaemonKind::kNone,
                   [&app, make = kind.make](CommandContext& context) {
                     context.around.out << make(app);
                     return absl::OkStatus();
                   });
  }
}

void BuildTree(CLI::App& app, Commands& commands, GlobalOptions& options) {
  app.formatter(std::make_shared<HelpFormatter>());
  app.option_defaults()->always_capture_default(false);
  app.set_help_flag("-h,--help", "Prints help on a command, and exits");
  app.set_version_flag("--version", "sottoctl " SOTTO_VERSION, "Prints the version, and exits");
  // Subcommands take these over as they are added.
  app.fallthrough();
  AddGlobalOptions(app, options);
  for (const auto add : {
           AddStatus,   AddTop,       AddStats,      AddDrops,  AddAllocations,
           AddCalls,    AddExplain,   AddCapture,    AddDrain,  AddPorts,
           AddWorkers,  AddNeighbors,                 // the relay
           AddUsers,    AddSecrets,   AddCredential,  // who may use it
           AddReload,   AddLog,                       // either daemon
#ifdef SOTTO_SIGNALING
           AddSessions, AddAccounts,  AddTokens,     AddEpochs, AddIdentity,
#endif
       }) {
    add(commands);
  }
  AddGenerate(commands, app);
  app.footer(kFooter);  // last, as commands begin with what there is
  app.require_subcommand(1);
}

DaemonTarget ChooseTarget(const GlobalOptions& options, bool signaling,
                          const Surroundings& around) {
  DaemonTarget target = options.target;
  target.daemon = signaling ? "sotto-signald" : "sotto-relayd";
  if (target.address.empty()) {
    target.address = around.environment(signaling ? "SOTTO_SIGNALING_TARGET" : "SOTTO_TARGET");
  }
  if (target.address.empty()) target.address = signaling ? kSignalingSocket : kRelaySocket;
  return target;
}

ExitCode ExitCodeOf(const absl::Status& status) {
  switch (status.code()) {
    case absl::StatusCode::kOk:
      return kExitDone;
    case absl::StatusCode::kNotFound:
      return kExitNotFound;
    case absl::StatusCode::kUnavailable:
      return kExitUnreachable;
    default:
      return kExitFailed;
  }
}

}  // namespace

ExitCode RunSottoctl(const std::vector<std::string>& arguments, Surroundings& around) {
  const auto complain = [&around](std::string_view what) {
    around.err << "sottoctl: " << what << '\n';
  };
  CLI::App app("Inspects and controls running sotto-relayd and sotto-signald", "sottoctl");
  GlobalOptions options;
  Commands commands(app);
  BuildTree(app, commands, options);
  try {
    app.parse(std::vector<std::string>(arguments.rbegin(), arguments.rend()));
  } catch (const CLI::Success& help_or_version) {
    app.exit(help_or_version, around.out, around.err);
    return kExitDone;
  } catch (const CLI::RequiredError& error) {
    // Of a word that is no command CLI11 says only that it saw none.
    const std::vector<std::string> unknown = app.remaining(true);
    complain(fmt::format("{}; see sottoctl --help",
                         unknown.empty()
                             ? error.what()
                             : fmt::format("there is no command \"{}\"", Printable(unknown[0]))));
    return kExitUsage;
  } catch (const CLI::ParseError& error) {
    complain(fmt::format("{}; see sottoctl --help", Printable(error.what())));
    return kExitUsage;
  }

  const bool signaling = commands.kind() == DaemonKind::kSignaling ||
                         (commands.kind() == DaemonKind::kEither && options.signaling);
  std::unique_ptr<DaemonClient> daemon;
  if (commands.kind() != DaemonKind::kNone) {
    auto made = DaemonClient::Make(ChooseTarget(options, signaling, around), around.stop);
    if (!made.ok()) {
      complain(std::string(made.status().message()));
      return kExitUsage;
    }
    daemon = std::make_unique<DaemonClient>(*std::move(made));
  }
  const bool color =
      around.out_is_terminal && !options.no_color && around.environment("NO_COLOR").empty();
  Output out(around.out, {.format = options.format,
                          .raw = options.raw,
                          .color = color,
                          .width = around.out_is_terminal ? around.width : 0});
  CommandContext context = {daemon.get(), signaling, out, around};
  const absl::Status status = commands.chosen()(context);
  if (!out.Finish()) {
    complain("can't write the output; check that the disk is not full");
    return kExitFailed;
  }
  if (!status.ok()) complain(std::string(status.message()));
  return ExitCodeOf(status);
}

}  // namespace sotto::tools
