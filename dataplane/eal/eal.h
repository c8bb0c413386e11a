// SPDX-License-Identifier: Apache-2.0
// DPDK's environment abstraction layer, started once in a process.
//
// Planning (what arguments EAL is given, and why) is apart from starting, so that it can be tested
// on machines of any shape.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace sotto::dataplane {

struct EalOptions {
  // As the operator wrote them; what they leave open is added.
  std::vector<std::string> args;
  uint16_t workers = 1;
  // What DPDK will need in all. Taken at start without hugepages, on demand with them.
  uint32_t memory_mb = 512;
};

// What the plan depends on.
struct Machine {
  std::vector<int> cpus;  // that this process may use
  uint64_t free_hugepage_mb = 0;

  static Machine Detect();
};

struct EalPlan {
  std::vector<std::string> argv;   // with the program's name
  std::vector<std::string> notes;  // sentences for the operator
};

// INVALID_ARGUMENT if the operator's arguments can't work for a relay.
//
//   lcores     without -l, -c or --lcores: main is lcore 0, workers are 1, 2, ...; each on a CPU of
//              its own while there are enough
//   memory     hugepages; when too few are free, --no-huge with a note
//   sharing    none: --in-memory or --no-shconf, no telemetry; relays run beside each other
//   devices    without any arguments, --no-pci
absl::StatusOr<EalPlan> PlanEal(const EalOptions& options, const Machine& machine);

class Eal {
 public:
  enum class LogLevel : uint8_t { kDebug, kError };
  // What DPDK logs, line by line, from any thread.
  using LogSink = std::function<void(LogLevel level, std::string_view line)>;

  // Once in a process; the calling thread becomes the main lcore. INVALID_ARGUMENT or
  // FAILED_PRECONDITION with what EAL said. `verbose`: notices and debug messages too.
  static absl::StatusOr<std::unique_ptr<Eal>> Start(const EalPlan& plan, uint16_t workers,
                                                    bool verbose, LogSink sink);
  // All ports must be closed and all workers have returned.
  ~Eal();
  Eal(const Eal&) = delete;
  Eal& operator=(const Eal&) = delete;

  // How much DPDK logs from now on.
  void SetVerbose(bool verbose);
  // The last errors that DPDK logged, joined to one line; empty if there were none. EAL starts
  // even if a device of its arguments failed, so this is what a missing port is explained by.
  std::string RecentErrors() const;

 private:
  class Log;
  explicit Eal(std::unique_ptr<Log> log);
  std::unique_ptr<Log> log_;
};

}  // namespace sotto::dataplane
