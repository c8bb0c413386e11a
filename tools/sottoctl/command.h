// SPDX-License-Identifier: Apache-2.0
// What each file of commands is built from: how a command joins the tree of sottoctl.cc, and what
// it gets when it runs.
#pragma once

#include <atomic>
#include <chrono>
#include <functional>
#include <iosfwd>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "tools/sottoctl/daemon_client.h"
#include "tools/sottoctl/options.h"
#include "tools/sottoctl/output.h"

namespace CLI {
class App;
}

namespace sotto::tools {

// Which daemon a command speaks with, and so which target it has unless told.
enum class DaemonKind {
  kNone,
  kRelay,
  kSignaling,
  kEither,  // sotto-relayd; sotto-signald with --signaling
};

// The process around a command: tests have their own.
struct Surroundings {
  std::istream& in;
  std::ostream& out;
  std::ostream& err;
  bool out_is_terminal = false;
  size_t width = 0;                                     // of the terminal
  std::function<std::string(const char*)> environment;  // a variable; "" if it isn't set
  std::function<std::chrono::system_clock::time_point()> now;
  const std::atomic<bool>& stop;  // SIGINT or SIGTERM
};

struct CommandContext {
  const DaemonClient* daemon;  // null with DaemonKind::kNone
  bool signaling;              // whether it is sotto-signald
  Output& out;
  Surroundings& around;
};

// The status says how it went; its code decides the exit code (sottoctl.h).
using Command = std::function<absl::Status(CommandContext&)>;

// The tree, and what was chosen from it.
class Commands {
 public:
  explicit Commands(CLI::App& app) : app_(app) {}

  // A group of commands, which needs one of them.
  CLI::App& Group(const std::string& name, const std::string& about, const std::string& heading);
  // `heading` is that of the list in the help of the whole.
  CLI::App& Add(const std::string& name, const std::string& about, const std::string& heading,
                DaemonKind kind, Command command);
  CLI::App& AddTo(CLI::App& group, const std::string& name, const std::string& about,
                  DaemonKind kind, Command command);
  // `app` itself is a command.
  void Runs(CLI::App& app, DaemonKind kind, Command command);

  const Command& chosen() const { return chosen_; }
  DaemonKind kind() const { return kind_; }

 private:
  CLI::App& app_;
  Command chosen_;
  DaemonKind kind_ = DaemonKind::kNone;
};

constexpr const char* kRelayHeading = "Relay";
constexpr const char* kAccessHeading = "Access to the relay";
constexpr const char* kDaemonHeading = "Daemons";
constexpr const char* kSignalingHeading = "Signaling";

// Registered by sottoctl.cc, in the order of its help.
void AddStatus(Commands& commands);       // status.cc
void AddTop(Commands& commands);          // top.cc
void AddStats(Commands& commands);        // stats.cc
void AddDrops(Commands& commands);        // drops.cc
void AddAllocations(Commands& commands);  // allocations.cc
void AddCalls(Commands& commands);        // calls.cc
void AddExplain(Commands& commands);      // explain.cc
void AddCapture(Commands& commands);      // capture.cc
void AddDrain(Commands& commands);        // drain.cc: drain, undrain
void AddPorts(Commands& commands);        // ports.cc
void AddWorkers(Commands& commands);      // workers.cc
void AddNeighbors(Commands& commands);    // neighbors.cc
void AddUsers(Commands& commands);        // users.cc
void AddSecrets(Commands& commands);      // secrets.cc
void AddCredential(Commands& commands);   // credential.cc
void AddReload(Commands& commands);       // config.cc: reload, config
void AddLog(Commands& commands);          // log.cc
void AddSessions(Commands& commands);     // sessions.cc
void AddAccounts(Commands& commands);     // accounts.cc
void AddTokens(Commands& commands);       // tokens.cc
void AddEpochs(Commands& commands);       // epochs.cc
void AddIdentity(Commands& commands);     // identity.cc

}  // namespace sotto::tools
