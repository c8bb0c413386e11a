// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>
#include <sched.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <initializer_list>

#include "dataplane/eal/eal.h"

namespace sotto::dataplane {
namespace {

// Whether one of the options is given: "-l 0", "-l0", "--lcores 0" and "--lcores=0" alike.
bool Has(const std::vector<std::string>& args, std::initializer_list<std::string_view> options) {
  return std::any_of(args.begin(), args.end(), [&](std::string_view arg) {
    return std::any_of(options.begin(), options.end(), [&](std::string_view option) {
      if (option.size() == 2) return arg.starts_with(option);
      return arg == option || (arg.starts_with(option) && arg[option.size()] == '=');
    });
  });
}

// Takes an option away, with its value if that stands in the next argument.
void Remove(std::vector<std::string>& args, std::string_view option, bool has_value) {
  for (auto it = args.begin(); it != args.end();) {
    const bool exact = *it == option;
    if (!exact && !(it->starts_with(option) && (*it)[option.size()] == '=')) {
      ++it;
      continue;
    }
    it = args.erase(it);
    if (exact && has_value && it != args.end()) it = args.erase(it);
  }
}

std::string LcoreMap(uint16_t workers, const std::vector<int>& cpus) {
  std::string map;
  for (size_t lcore = 0; lcore <= workers; ++lcore) {
    map += fmt::format("{}{}@{}", lcore == 0 ? "" : ",", lcore, cpus[lcore % cpus.size()]);
  }
  return map;
}

}  // namespace

Machine Machine::Detect() {
  Machine machine;
  cpu_set_t set;
  CPU_ZERO(&set);
  if (sched_getaffinity(0, sizeof(set), &set) == 0) {
    for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
      if (CPU_ISSET(cpu, &set)) machine.cpus.push_back(cpu);
    }
  }
  if (machine.cpus.empty()) machine.cpus.push_back(0);

  // Pages of every size; /proc/meminfo knows only the default one.
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator("/sys/kernel/mm/hugepages", error)) {
    const std::string name = entry.path().filename();  // hugepages-2048kB
    uint64_t pages = 0;
    std::ifstream(entry.path() / "free_hugepages") >> pages;
    machine.free_hugepage_mb +=
        pages * std::strtoull(name.c_str() + name.find('-') + 1, nullptr, 10) / 1024;
  }
  return machine;
}

absl::StatusOr<EalPlan> PlanEal(const EalOptions& options, const Machine& machine) {
  std::vector<std::string> args = options.args;
  EalPlan plan;

  for (const std::string& arg : args) {
    if (arg == "--" || arg == "-h" || arg == "--help") {
      return absl::InvalidArgumentError(
          fmt::format("[dataplane] eal_args: the relay does not support {}; remove it.", arg));
    }
  }
  if (Has(args, {"--proc-type"})) {
    return absl::InvalidArgumentError(
        "[dataplane] eal_args: --proc-type is not supported, as the relay is always a primary "
        "process; remove it.");
  }

  if (args.empty()) args.emplace_back("--no-pci");
  if (!Has(args, {"--telemetry", "--no-telemetry"})) args.emplace_back("--no-telemetry");

  if (!Has(args, {"-l", "-c", "--lcores"})) {
    args.push_back("--lcores=" + LcoreMap(options.workers, machine.cpus));
    // Without a main lcore of the operator's, EAL takes the least one: 0.
    if (machine.cpus.size() <= options.workers) {
      plan.notes.push_back(fmt::format(
          "There are {} CPUs for {} lcores, so some lcores share a CPU; for steady latency, use "
          "fewer workers or more CPUs.",
          machine.cpus.size(), options.workers + 1));
    }
  }

  const bool wants_no_huge = Has(args, {"--no-huge"});
  const bool sized = Has(args, {"-m", "--socket-mem"});
  if (!wants_no_huge && machine.free_hugepage_mb < options.memory_mb) {
    plan.notes.push_back(fmt::format(
        "Hugepages: {} MB are free but {} MB are needed, so the relay uses ordinary pages; for "
        "speed, set vm.nr_hugepages to {} or more.",
        machine.free_hugepage_mb, options.memory_mb, (options.memory_mb + 1) / 2));
    // EAL refuses these together with --no-huge, and sizes by -m alone.
    Remove(args, "--in-memory", false);
    Remove(args, "--huge-unlink", false);
    Remove(args, "--single-file-segments", false);
    Remove(args, "--match-allocations", false);
    Remove(args, "--huge-dir", true);
    Remove(args, "--socket-mem", true);
    Remove(args, "--socket-limit", true);
    args.emplace_back("--no-huge");
  }
  if (Has(args, {"--no-huge"})) {
    if (!Has(args, {"--no-shconf"})) args.emplace_back("--no-shconf");
    if (!Has(args, {"-m"}) && !(wants_no_huge && sized)) {
      args.emplace_back("-m");
      args.push_back(fmt::format("{}", options.memory_mb));
    }
  } else if (!Has(args, {"--in-memory", "--no-shconf", "--file-prefix", "--huge-unlink",
                         "--legacy-mem"})) {
    args.emplace_back("--in-memory");
  }

  plan.argv.emplace_back("sotto-relayd");
  plan.argv.insert(plan.argv.end(), args.begin(), args.end());
  return plan;
}

}  // namespace sotto::dataplane
