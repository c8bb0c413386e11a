// SPDX-License-Identifier: Apache-2.0
#include "relay/daemon/metrics_families.h"

#include <unistd.h>

#include <fstream>
#include <iterator>
#include <limits>
#include <sstream>

namespace sotto {

prometheus::ClientMetric& MetricFamilies::Add(std::string_view name, std::string_view help,
                                              prometheus::MetricType type, Labels labels) {
  auto found = by_name_.find(name);
  if (found == by_name_.end()) {
    found = by_name_.emplace(std::string(name), families_.size()).first;
    families_.push_back({std::string(name), std::string(help), type, {}});
  }
  prometheus::ClientMetric& metric = families_[found->second].metric.emplace_back();
  for (const auto& [key, value] : labels) {
    metric.label.push_back({std::string(key), std::string(value)});
  }
  return metric;
}

void MetricFamilies::Counter(std::string_view name, std::string_view help, double value,
                             Labels labels) {
  Add(name, help, prometheus::MetricType::Counter, labels).counter.value = value;
}

void MetricFamilies::Gauge(std::string_view name, std::string_view help, double value,
                           Labels labels) {
  Add(name, help, prometheus::MetricType::Gauge, labels).gauge.value = value;
}

void MetricFamilies::Histogram(std::string_view name, std::string_view help,
                               std::span<const Bucket> buckets, double sum, Labels labels) {
  auto& histogram = Add(name, help, prometheus::MetricType::Histogram, labels).histogram;
  for (const Bucket& bucket : buckets) {
    histogram.sample_count += bucket.count;
    histogram.bucket.push_back({histogram.sample_count, bucket.upper});
  }
  if (!histogram.bucket.empty()) {
    histogram.bucket.back().upper_bound = std::numeric_limits<double>::infinity();
  }
  histogram.sample_sum = sum;
}

void AddProcessMetrics(MetricFamilies& families) {
  // proc(5): the name, in parentheses, may hold anything; state is the field behind it.
  std::string line;
  std::getline(std::ifstream("/proc/self/stat"), line);
  const size_t name_end = line.rfind(')');
  if (name_end == std::string::npos) return;
  std::istringstream rest(line.substr(name_end + 1));
  const std::vector<std::string> fields{std::istream_iterator<std::string>(rest), {}};
  constexpr size_t kUserTime = 11, kSystemTime = 12, kThreads = 17, kStart = 19, kVirtual = 20,
                   kResident = 21;
  if (fields.size() <= kResident) return;
  const auto ticks = static_cast<double>(sysconf(_SC_CLK_TCK));
  const auto number = [&](size_t field) { return std::stod(fields[field]); };
  families.Counter("process_cpu_seconds_total",
                   "CPU time of the process, user and system, in seconds.",
                   (number(kUserTime) + number(kSystemTime)) / ticks);
  families.Gauge("process_threads", "Threads of the process.", number(kThreads));
  families.Gauge("process_virtual_memory_bytes", "Virtual memory of the process.",
                 number(kVirtual));
  families.Gauge("process_resident_memory_bytes", "Resident memory of the process.",
                 number(kResident) * static_cast<double>(sysconf(_SC_PAGESIZE)));
  // The start is told since the machine's own.
  std::ifstream stat("/proc/stat");
  for (std::string word; stat >> word;) {
    double boot = 0;
    if (word != "btime" || !(stat >> boot)) continue;
    families.Gauge("process_start_time_seconds",
                   "Start time of the process, in seconds since the Unix epoch.",
                   boot + number(kStart) / ticks);
    break;
  }
}

}  // namespace sotto
