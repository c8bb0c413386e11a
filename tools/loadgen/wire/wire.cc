// SPDX-License-Identifier: Apache-2.0
#include "tools/loadgen/wire/wire.h"

#include <fmt/format.h>
#include <poll.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <sstream>
#include <string>
#include <utility>

#include "tools/loadgen/wire/engine.h"
#include "tools/loadgen/wire/port.h"

namespace sotto::tools {
namespace {

void Add(const WireCounts& from, WireCounts& to) {
  to.sent += from.sent;
  to.received += from.received;
  to.reordered += from.reordered;
  to.duplicated += from.duplicated;
  to.corrupted += from.corrupted;
  to.bad_checksum += from.bad_checksum;
  to.misdelivered += from.misdelivered;
  to.no_checksum += from.no_checksum;
  to.stale += from.stale;
  to.foreign += from.foreign;
  to.missed += from.missed;
  to.slipped += from.slipped;
}

absl::Status RunOnce(double pps, double seconds, WireEngine& engine, WireReport& report) {
  WireTrial trial;
  absl::Status status = engine.RunTrial(pps, seconds, trial);
  Add(trial.counts, report.totals);
  report.trial = std::move(trial);
  return status;
}

absl::Status FindRate(const RateSearchOptions& options, double seconds, WireEngine& engine,
                      WireReport& report) {
  RateSearch search(options);
  while (const std::optional<double> pps = search.Next()) {
    WireTrial trial;
    absl::Status status = engine.RunTrial(*pps, seconds, trial);
    Add(trial.counts, report.totals);
    if (!status.ok()) return status;
    search.Note({.offered_pps = trial.offered_pps(),
                 .received_pps = trial.received_pps(),
                 .loss = trial.counts.loss()});
    report.search = search.trials();
    if (search.trials().back().passed && search.best()->received_pps == trial.received_pps()) {
      report.trial = std::move(trial);
    }
  }
  return absl::OkStatus();
}

absl::Status Measure(const WireOptions& options, WireEngine& engine, WireReport& report) {
  if (options.warmup > 0) {
    absl::Status status = RunOnce(options.rate, options.warmup, engine, report);
    report.trial.reset();
    if (!status.ok()) return status;
  }
  if (!options.find_rate) return RunOnce(options.rate, options.seconds, engine, report);
  absl::Status status = FindRate(options.search, options.seconds, engine, report);
  if (status.ok() && !report.trial) {
    return absl::DataLossError(fmt::format(
        "every rate lost more than {} % of the packets; check whether something else runs on these "
        "cores",
        100 * options.search.max_loss));
  }
  return status;
}

// One line of --control. INVALID_ARGUMENT if it isn't understood.
absl::Status Obey(const std::string& line, WireEngine& engine, WireReport& report) {
  std::istringstream words(line);
  std::string verb;
  words >> verb;
  if (verb == "run") {
    std::string rate;
    double seconds = 0;
    words >> rate >> seconds;
    const double pps = rate == "max" ? 0 : std::strtod(rate.c_str(), nullptr);
    if (words && seconds > 0 && (rate == "max" || pps >= 1)) {
      return RunOnce(pps, seconds, engine, report);
    }
  } else if (verb == "find") {
    double seconds = 0;
    RateSearchOptions search;
    words >> seconds >> search.max_loss >> search.precision >> search.attempts;
    if (words && seconds > 0 && search.precision > 0) {
      return FindRate(search, seconds, engine, report);
    }
  }
  return absl::InvalidArgumentError(
      fmt::format("--control: unknown command \"{}\"; must be run <packets/s or max> <seconds>, or "
                  "find <seconds> <loss> <precision> <attempts>",
                  line));
}

absl::Status TakeOrders(const WireOptions& options, WireEngine& engine, WireReport& report) {
  const auto print = [&] {
    std::fputs(ToJson(options, report).c_str(), stdout);
    std::fflush(stdout);
  };
  print();
  std::string read;
  for (;;) {
    const size_t end = read.find('\n');
    if (end != std::string::npos) {
      const WireCounts before = std::exchange(report.totals, {});
      report.trial.reset();
      report.search.clear();
      absl::Status status = Obey(read.substr(0, end), engine, report);
      read.erase(0, end + 1);
      if (status.ok()) print();
      Add(before, report.totals);
      if (!status.ok()) return status;
      continue;
    }
    if (absl::Status status = engine.Idle(); !status.ok()) return status;
    pollfd input = {.fd = STDIN_FILENO, .events = POLLIN, .revents = 0};
    if (poll(&input, 1, 0) <= 0) continue;
    char bytes[256];
    const ssize_t size = ::read(STDIN_FILENO, bytes, sizeof(bytes));
    constexpr size_t kMaxLine = 4096;
    if (size <= 0 || read.size() > kMaxLine) return absl::OkStatus();
    read.append(bytes, static_cast<size_t>(size));
  }
}

}  // namespace

absl::Status RunWire(const WireOptions& options, const std::atomic<bool>& stop,
                     WireReport& report) {
  auto port = WirePort::Open({options.eal, options.port, options.queues, options.descriptors});
  if (!port.ok()) return port.status();
  report.driver = (*port)->driver();
  WireEngine engine(options, **port, stop);
  absl::Status status = engine.SetUp(report);
  if (status.ok() && !options.pcap.empty()) status = engine.WritePcap(report);
  if (status.ok() && !options.pcap_only && !options.allocate_only) {
    status =
        options.control ? TakeOrders(options, engine, report) : Measure(options, engine, report);
  }
  if (options.release) engine.Release(report);
  report.interrupted = absl::IsCancelled(status);
  if (!status.ok()) return report.interrupted ? absl::OkStatus() : status;
  if (report.totals.wrong() > 0) {
    return absl::DataLossError(fmt::format(
        "{} packets arrived damaged or at the wrong leg: {} corrupted, {} with a bad checksum, {} "
        "misdelivered",
        report.totals.wrong(), report.totals.corrupted, report.totals.bad_checksum,
        report.totals.misdelivered));
  }
  if (report.trial && options.max_loss_percent >= 0 &&
      100 * report.trial->counts.loss() > options.max_loss_percent) {
    return absl::DataLossError(
        fmt::format("{:.4f} % of the packets were lost, more than the {} % that --max-loss allows",
                    100 * report.trial->counts.loss(), options.max_loss_percent));
  }
  return absl::OkStatus();
}

}  // namespace sotto::tools
