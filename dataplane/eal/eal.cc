// SPDX-License-Identifier: Apache-2.0
#include "dataplane/eal/eal.h"

#include <fmt/format.h>
#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_lcore.h>
#include <rte_log.h>
#include <unistd.h>

#include <atomic>
#include <cstdio>
#include <deque>
#include <mutex>

#include "dataplane/eal/silence.h"

namespace sotto::dataplane {

// Receives rte_log's stream.
class Eal::Log {
 public:
  explicit Log(LogSink sink) : sink_(std::move(sink)) {
    cookie_io_functions_t functions = {};
    functions.write = [](void* cookie, const char* bytes, size_t size) -> ssize_t {
      static_cast<Log*>(cookie)->Write({bytes, size});
      return static_cast<ssize_t>(size);
    };
    stream_ = fopencookie(this, "w", functions);
    rte_openlog_stream(stream_);
  }
  ~Log() {
    rte_openlog_stream(nullptr);
    fclose(stream_);
  }
  Log(const Log&) = delete;
  Log& operator=(const Log&) = delete;

  std::string Errors() const {
    const std::lock_guard lock(mutex_);
    return fmt::format("{}", fmt::join(errors_, "; "));
  }

 private:
  // rte_log flushes after each message, on the thread that wrote it.
  void Write(std::string_view bytes) {
    const bool error = rte_log_cur_msg_loglevel() <= static_cast<int>(RTE_LOG_ERR);
    std::vector<std::string> lines;
    {
      const std::lock_guard lock(mutex_);
      partial_ += bytes;
      for (size_t end; (end = partial_.find('\n')) != std::string::npos;) {
        lines.push_back(partial_.substr(0, end));
        partial_.erase(0, end + 1);
      }
      for (const std::string& line : lines) {
        if (!error || line.empty()) continue;
        constexpr size_t kMost = 3;
        if (errors_.size() == kMost) errors_.pop_front();
        // They become parts of a sentence.
        errors_.push_back(line.substr(0, line.find_last_not_of(" .") + 1));
      }
    }
    for (const std::string& line : lines) {
      if (!line.empty()) sink_(error ? LogLevel::kError : LogLevel::kDebug, line);
    }
  }

  const LogSink sink_;
  FILE* stream_ = nullptr;
  mutable std::mutex mutex_;
  std::string partial_;             // guarded by mutex_
  std::deque<std::string> errors_;  // guarded by mutex_
};

namespace {

// EAL makes its runtime folder even if it puts nothing there.
void RemoveEmptyRuntimeFolder() {
  const std::string folder = rte_eal_get_runtime_dir();
  if (rmdir(folder.c_str()) != 0) return;
  const size_t slash = folder.rfind('/');
  if (slash != std::string::npos && folder.substr(0, slash).ends_with("/dpdk")) {
    rmdir(folder.substr(0, slash).c_str());
  }
}

}  // namespace

Eal::Eal(std::unique_ptr<Log> log) : log_(std::move(log)) {}

absl::StatusOr<std::unique_ptr<Eal>> Eal::Start(const EalPlan& plan, uint16_t workers, bool verbose,
                                                LogSink sink) {
  // The lines that come while EAL starts are held back: stderr is silent then.
  struct HeldBack {
    std::mutex mutex;
    bool started = false;
    std::vector<std::pair<LogLevel, std::string>> lines;
  };
  auto held = std::make_shared<HeldBack>();
  auto log = std::make_unique<Log>([held, sink](LogLevel level, std::string_view line) {
    {
      const std::lock_guard lock(held->mutex);
      if (!held->started) {
        held->lines.emplace_back(level, line);
        return;
      }
    }
    sink(level, line);
  });
  rte_log_set_global_level(verbose ? RTE_LOG_DEBUG : RTE_LOG_ERR);

  // EAL keeps the pointers and changes their order.
  static auto* const kept = new std::vector<std::string>(plan.argv);
  std::vector<char*> argv;
  for (std::string& arg : *kept) argv.push_back(arg.data());
  argv.push_back(nullptr);

  int result;
  {
    const Silence silence;
    result = rte_eal_init(static_cast<int>(argv.size() - 1), argv.data());
  }
  const int error = rte_errno;
  std::vector<std::pair<LogLevel, std::string>> lines;
  {
    const std::lock_guard lock(held->mutex);
    held->started = true;
    lines.swap(held->lines);
  }
  RemoveEmptyRuntimeFolder();
  if (result < 0) {
    const std::string said = log->Errors();
    return absl::FailedPreconditionError(
        fmt::format("DPDK's EAL failed to start with \"{}\": {}; check [dataplane] eal_args.",
                    fmt::join(plan.argv.begin() + 1, plan.argv.end(), " "),
                    said.empty() ? std::string(rte_strerror(error)) : said));
  }
  if (result + 1 < static_cast<int>(kept->size())) {
    rte_eal_cleanup();
    return absl::InvalidArgumentError(
        fmt::format("[dataplane] eal_args: {} is not an EAL option; options begin with a dash.",
                    argv[static_cast<size_t>(result) + 1]));
  }
  // A device that failed is told about when its port is looked for.
  if (verbose) {
    for (const auto& [level, line] : lines) sink(level, line);
  }
  std::unique_ptr<Eal> eal(new Eal(std::move(log)));
  if (rte_lcore_count() != workers + 1u) {
    return absl::InvalidArgumentError(fmt::format(
        "[dataplane] eal_args name {} lcores, but workers = {} needs {}, one of them for control; "
        "change one of the two, or leave the lcores to the relay.",
        rte_lcore_count(), workers, workers + 1));
  }
  return eal;
}

Eal::~Eal() { rte_eal_cleanup(); }

void Eal::SetVerbose(bool verbose) {
  rte_log_set_global_level(verbose ? RTE_LOG_DEBUG : RTE_LOG_ERR);
}

std::string Eal::RecentErrors() const { return log_->Errors(); }

}  // namespace sotto::dataplane
